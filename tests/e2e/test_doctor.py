"""`tradewind doctor`: what it finds is so, and what it advises is a command."""
import json
import os
import subprocess

import pytest

import relaynet
import tw

needs_nat = pytest.mark.skipif(not tw.privileged() or bool(relaynet.available()),
                               reason=str(tw.privileged() and relaynet.available()
                                          or "needs root, for network namespaces"))


def examine(side, *words, code=0, limit=60):
    """The findings by name; the newest of each."""
    process = side.run("doctor", "--json", *words, limit=limit)
    assert process.code == code, process.text()
    told = json.loads(process.out())
    assert told["ok"] == (code == 0)
    for finding in told["findings"]:
        assert finding["verdict"] in ("ok", "warning", "error")
        assert finding["verdict"] != "ok" or not finding["command"]
        assert finding["text"].isprintable()
    return {finding["what"]: finding for finding in told["findings"]}


@pytest.fixture
def sides(place):
    made = []

    def make(name, space=None):
        made.append(tw.Side(os.path.join(place, name), space))
        return made[-1]

    yield make
    for side in made:
        side.close()


def test_all_is_well(direct, pair, place):
    p = pair(direct(mtu=1500))
    found = examine(p.left, "--folder", place, p.receiver.url())
    for what in ("udp", "roundTrip", "loss", "pathMtu", "handshake", "address", "disk"):
        assert found[what]["verdict"] in ("ok", "warning"), found[what]
    assert found["handshake"]["verdict"] == "ok"
    assert p.network.left_ip in found["address"]["text"]
    assert "1472 bytes" in found["pathMtu"]["text"]


def test_for_people(direct, pair):
    """The same in words, with a bare host and port; and jumbo frames."""
    p = pair(direct(mtu=9000))
    process = p.left.run("doctor", p.receiver.url().split("#")[0][5:].strip("/"), limit=60)
    assert process.code == 0, process.text()
    assert "UDP passes both ways" in process.text()
    assert "8972 bytes" in process.text()


def test_small_mtu_and_loss(link, pair):
    p = pair(link(rate="100M", delay="20ms", loss="10%", mtu_drop="1300"))
    found = examine(p.left, p.receiver.url())
    assert found["loss"]["verdict"] == "warning" and "mtr" in found["loss"]["command"]
    assert found["pathMtu"]["verdict"] == "warning" and "1232 bytes" in found["pathMtu"]["text"]
    assert found["pathMtu"]["command"].startswith("tracepath ")


def test_wrong_key(direct, pair):
    p = pair(direct())
    other = "#" + relaynet.key_of(p.left)
    found = examine(p.left, p.receiver.url().split("#")[0] + other, code=5)
    assert found["udp"]["verdict"] == "ok"
    assert found["handshake"]["verdict"] == "error"
    assert found["handshake"]["command"] == "tradewind keygen"


def test_nobody_listens(direct, sides):
    network = direct()
    found = examine(sides("a", network.left), network.right_ip, code=5)
    assert found["udp"]["verdict"] == "error"
    assert "tradewind receive --port 8886" in found["udp"]["command"]
    network.close()


def test_no_such_name(sides):
    found = examine(sides("a"), "no-such-host.invalid", code=5)
    assert found["name"]["verdict"] == "error"
    assert found["name"]["command"].startswith("getent ahosts ")


def test_bad_words(sides):
    side = sides("a")
    for word in ("", "host:0", "host:99999", "#", "host#key", "tw://"):
        process = side.run("doctor", word)
        assert process.code == 2, (word, process.text())


@needs_nat
def test_firewall_and_its_advice(sides, place):
    """A receiver whose own firewall drops UDP: the command that is advised opens it."""
    net = relaynet.Internet()
    host = net.host(30)
    try:
        receiver = sides("b", host)
        net.load(host, "table inet filter { chain input { type filter hook input priority 0;"
                       " policy drop; tcp dport 22 accept; }; }")
        got = relaynet.Receiver(receiver, os.path.join(place, "arrived"), "--bind", host.address)
        sender = sides("a", net.host(31))
        found = examine(sender, got.url, code=5)
        assert found["udp"]["verdict"] == "error"
        subprocess.run(host.inside(found["udp"]["command"].split()), check=True, timeout=20)
        assert examine(sender, got.url)["handshake"]["verdict"] == "ok"
    finally:
        net.close()


@needs_nat
def test_nat_and_relay(sides):
    """How the world sees this machine, and what a relay says to it."""
    net = relaynet.Internet()
    try:
        inside = sides("b", net.site(2))
        relay_side = sides("r", net.host(10))
        relay = relaynet.Relay(relay_side, [relaynet.key_of(inside)])
        receiver = sides("c", net.host(30))
        got = relaynet.Receiver(receiver, os.path.join(receiver.home, "in"), "--bind",
                                receiver.namespace.address)
        found = examine(inside, "--relay", relay.name, got.url)
        assert "203.0.113.22" in found["address"]["text"]
        assert "10.2.0.2" in found["address"]["text"]
        assert found["relay"]["verdict"] == "ok" and "8890" in found["relay"]["text"]
        assert found["relayUdp"]["verdict"] == "ok"
        assert "203.0.113.22" in found["relayUdp"]["text"]
    finally:
        net.close()


@needs_nat
def test_relay_over_tcp_only(sides):
    net = relaynet.Internet()
    try:
        inside = sides("b", net.site(2, firewall=relaynet.DMZ_TCP_ONLY))
        relay_side = sides("r", net.host(10))
        relay = relaynet.Relay(relay_side, [relaynet.key_of(inside)])
        found = examine(inside, "--relay", relay.name, "203.0.113.10", code=5)
        assert found["relay"]["verdict"] == "ok"
        assert found["relayUdp"]["verdict"] == "warning"
        assert "203.0.113.10 udp dport" in found["relayUdp"]["command"]
    finally:
        net.close()


@needs_nat
def test_relay_that_refuses(sides):
    """What is advised where the relay does not know this machine, or has another key, mends it."""
    net = relaynet.Internet()
    try:
        here, there = sides("b", net.host(11)), sides("r", net.host(10))
        key = relaynet.key_of(here)
        relay = relaynet.Relay(there, [relaynet.key_of(there)])
        found = examine(here, "--relay", relay.name, "203.0.113.10", code=5)["relay"]
        assert found["verdict"] == "error" and found["command"] == "tradewind relay --allow " + key
        relay.kill()
        there.start(*found["command"].split()[1:]).wait_for("8887#", 10)
        wrong = relay.name.split("#")[0] + "#" + key
        found = examine(here, "--relay", wrong, "203.0.113.10", code=5)["relay"]
        assert "key" in found["text"] and found["command"] == "tradewind keygen"
        assert there.run(*found["command"].split()[1:]).out().decode().strip() in relay.name
        assert examine(here, "--relay", relay.name, "203.0.113.10",
                       code=5)["relay"]["verdict"] == "ok"
    finally:
        net.close()
