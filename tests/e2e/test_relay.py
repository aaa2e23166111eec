"""Relays: every topology through real NATs and firewalls moves a file whole; what the relay sees is
ciphertext; it survives its own death and that of NAT mappings.

RELAY_MIB sets the size of the files (default 8) and RELAY_KILLS how often a relay dies (default 1);
with larger files every variant runs. `make soak` moves a GiB in each topology.
"""
import filecmp
import os
import re
import socket
import sys
import time

import pytest

import relaynet
import service
import tw

pytestmark = [pytest.mark.root,
              pytest.mark.skipif(not tw.privileged() or bool(relaynet.available()),
                                 reason=str(tw.privileged() and relaynet.available()
                                            or "needs root, for network namespaces"))]

SIZE = int(os.environ.get("RELAY_MIB", "8")) << 20
LONG = SIZE > 8 << 20
KILLS = int(os.environ.get("RELAY_KILLS", "1"))
LIMIT = 60 + SIZE / 1e6
MARK = b"no relay has ever seen this sentence. "


class World:
    def __init__(self, place):
        self.place, self.net, self.made = place, relaynet.Internet(), []

    def side(self, name, space):
        side = tw.Side(os.path.join(self.place, name), space)
        self.made.append(side)
        return side

    def hidden(self, name, number, nat=None, relay="203.0.113.10"):
        """A side whose firewall lets it speak with its relay and with nobody else."""
        return self.side(name, self.net.site(number, nat, relaynet.DMZ, relay))

    def relay(self, number, *sides, options=(), name="relay"):
        host = self.side(name, self.net.host(number))
        return relaynet.Relay(host, [relaynet.key_of(side) for side in sides], *options)

    def receiver(self, side, *options):
        return relaynet.Receiver(side, os.path.join(self.place, "arrived"), *options)

    def file(self, size=SIZE, mark=None):
        path = os.path.join(self.place, "file")
        return relaynet.marked_file(path, size, mark) if mark else tw.make_file(path, size)

    def check(self, source):
        assert filecmp.cmp(source, os.path.join(self.place, "arrived", "file"), shallow=False)

    def send(self, side, url, *options, source=None):
        source = source or self.file()
        process = side.run("send", *options, source, url, limit=LIMIT)
        assert process.code == 0, process.text()
        self.check(source)
        return process

    def capture(self, space):
        capture = relaynet.Capture(space)
        self.made.append(capture)
        return capture

    def close(self):
        for each in reversed(self.made):
            each.close()
        self.net.close()


@pytest.fixture
def world(place):
    world = World(place)
    yield world
    world.close()


NATS = sorted(relaynet.NATS)


@pytest.mark.parametrize("nat", NATS)
def test_relay_before_the_receiver(world, nat):
    receiver = world.hidden("b", 2, nat)
    relay = world.relay(10, receiver)
    sender = world.side("a", world.net.host(30))
    got = world.receiver(receiver, "--relay", relay.name)
    assert "203.0.113.10:8886" in got.url
    world.send(sender, got.url)


@pytest.mark.parametrize("nat", NATS)
def test_relay_before_the_sender(world, nat):
    """The sender's firewall lets it reach its relay and nothing else."""
    sender = world.side("a", world.net.site(1, nat, relaynet.DMZ))
    relay = world.relay(10, sender)
    receiver = world.side("b", world.net.host(30))
    got = world.receiver(receiver, "--bind", receiver.namespace.address)
    if nat == NATS[0]:
        alone = sender.start("send", world.file(1000), got.url)
        assert not alone.ended(2), alone.text()
        alone.close()
        assert not os.listdir(got.folder)
    sent = world.send(sender, got.url, "--relay", relay.name, "--json")
    assert "from 203.0.113.10:" in got.process.text()
    last = tw.fields(tw.json_lines(sent)[-1])
    assert (last["relayIP"], last["relayPort"]) == ("203.0.113.10", 8890)
    assert (last["destinationIP"], last["destinationPort"]) == ("203.0.113.30", 8886)


@pytest.mark.parametrize("nats", [("symmetric", "symmetric"), ("port-restricted", "full-cone"),
                                  ("full-cone", "symmetric")][:3 if LONG else 1], ids="-".join)
def test_relay_at_each_end(world, nats):
    sender = world.side("a", world.net.site(1, nats[0], relaynet.DMZ))
    receiver = world.side("b", world.net.site(2, nats[1], relaynet.DMZ, relay="203.0.113.11"))
    outgoing = world.relay(10, sender, name="relay-a")
    incoming = world.relay(11, receiver, name="relay-b")
    got = world.receiver(receiver, "--relay", incoming.name)
    world.send(sender, got.url, "--relay", outgoing.name)


@pytest.mark.parametrize("nat", NATS if LONG else ["symmetric"])
def test_two_servers_behind_one_relay(world, nat):
    sender = world.side("a", world.net.site(1, nat))
    receiver = world.side("b", world.net.site(2, nat))
    relay = world.relay(10, sender, receiver)
    got = world.receiver(receiver, "--relay", relay.name)
    world.send(sender, got.url, "--relay", relay.name)
    # And without its own relay: it is a peer like any other.
    source = world.file(100000)
    world.send(sender, got.url, source=source)


def test_no_relay(world):
    sender = world.side("a", world.net.site(1))
    receiver = world.side("b", world.net.host(30))
    got = world.receiver(receiver, "--bind", receiver.namespace.address)
    world.send(sender, got.url)


@pytest.mark.parametrize("own", [False, True], ids=["receiver", "sender"])
def test_ipv6(world, own):
    """Whoever has the relay speaks IPv6 only, the other one IPv4 only; the relay speaks both."""
    sender, receiver = (world.side(name, world.net.host(number))
                        for name, number in (("a", 30), ("b", 31)))
    world.net.ipv6((sender if own else receiver).namespace, only=True)
    relay = world.relay(10, sender if own else receiver)
    dialled = "[%s]:8887%s" % (world.net.ipv6(relay.side.namespace),
                               relay.name[relay.name.index("#"):])
    if own:
        got = world.receiver(receiver, "--bind", receiver.namespace.address)
        sent = world.send(sender, got.url, "--relay", dialled, "--json")
        last = tw.fields(tw.json_lines(sent)[-1])
        assert last["relayIP"] == "2001:db8:113::10", last
        assert last["destinationIP"] == receiver.namespace.address, last
    else:
        got = world.receiver(receiver, "--relay", dialled)
        assert "[2001:db8:113::10]:8886" in got.url
        world.send(sender, got.url.replace("[2001:db8:113::10]", "203.0.113.10"))
    assert "UDP does not pass" not in got.process.text()


def test_several_servers(world):
    """Each has a port of its own: the first one the well-known, the others one of the range."""
    sides = [world.hidden("b%d" % i, 2 + i) for i in range(3)]
    relay = world.relay(10, *sides)
    sender = world.side("a", world.net.host(30))
    for i, side in enumerate(sides):
        got = relaynet.Receiver(side, os.path.join(world.place, "arrived%d" % i), "--relay",
                                relay.name)
        assert ":%d/" % (8886, 8890, 8891)[i] in got.url
        process = sender.run("send", world.file(1000000), got.url, limit=LIMIT)
        assert process.code == 0, process.text()
        assert filecmp.cmp(os.path.join(world.place, "file"), os.path.join(got.folder, "file"),
                           shallow=False)


@pytest.mark.parametrize("which", ["receiver", "sender"])
def test_udp_blocked(world, which):
    """The firewall knows only the control port: all goes over it."""
    blocked = dict(firewall=relaynet.DMZ_TCP_ONLY)
    sender = world.side("a", world.net.site(1, **(blocked if which == "sender" else {})))
    receiver = world.side("b", world.net.site(2, **(blocked if which == "receiver" else {})))
    relay = world.relay(10, sender, receiver)
    got = world.receiver(receiver, "--relay", relay.name)
    if which == "receiver":
        got.process.wait_for("UDP does not pass", 20)
    world.send(sender, got.url, "--relay", relay.name)


def test_capture_holds_no_plaintext(world):
    receiver = world.hidden("b", 2)
    relay = world.relay(10, receiver)
    sender = world.side("a", world.net.host(30))
    got = world.receiver(receiver, "--relay", relay.name)
    capture = world.capture(relay.side.namespace)
    # No faster than the capture can follow.
    world.send(sender, got.url, "--rate", "100M", source=world.file(4 << 20, MARK))
    seen = capture.bytes()
    assert len(seen) > 2 * (4 << 20) * 0.9, "the capture is not whole"
    for secret in (MARK[:16], b"file", b"arrived"):
        assert secret not in seen


def test_unknown_key(world):
    receiver = world.side("b", world.net.site(2))
    stranger = world.side("c", world.net.site(3))
    relay = world.relay(10, receiver)
    process = stranger.run("receive", "--relay", relay.name, world.place, limit=30)
    assert process.code == 4, process.text()
    assert relaynet.key_of(stranger) in tw.last_sentence(process)
    wrong = re.sub("#.*", "#" + relaynet.key_of(stranger), relay.name)
    process = receiver.run("receive", "--relay", wrong, world.place, limit=40)
    assert process.code == 5, process.text()
    assert "key" in tw.last_sentence(process)


HOLD = """
import socket, ssl, sys
shake, held = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), []
shake.check_hostname, shake.verify_mode = False, ssl.CERT_NONE
while True:
    try:
        held.append(socket.create_connection((sys.argv[1], 8887), timeout=5))
        if len(held) > 400:
            held[-1] = shake.wrap_socket(held[-1])
    except OSError:
        pass
    if len(held) == 400:
        print("holding", flush=True)
    if len(held) > 500:
        held.pop(0).close()
"""


def test_held_connections_keep_nobody_out(world):
    """A stranger holds hundreds of control connections open, opens ever more as fast as handshakes
    go, and says nothing on any of them.
    """
    receiver = world.side("b", world.net.site(2))
    relay = world.relay(10, receiver)
    stranger = world.net.host(30)
    stranger.start([sys.executable, "-c", HOLD, "203.0.113.10"]).wait_for("holding", 30)
    got = world.receiver(receiver, "--relay", relay.name)
    world.send(world.side("a", world.net.host(31)), got.url, source=world.file(1_000_000))


def dropped(space, port):
    """Datagrams that the kernel kept from the sockets of this port."""
    with open("/proc/%d/net/udp" % space.processes[-1].pid) as table:
        rows = [line.split() for line in table][1:]
    return sum(int(row[-1]) for row in rows if int(row[1].split(":")[1], 16) == port)


def test_strangers_stop_at_the_valve(world):
    """What is of no type, the kernel drops before it takes room in the public port's buffer."""
    receiver = world.hidden("b", 2)
    relay = world.relay(10, receiver)
    got = world.receiver(receiver, "--relay", relay.name)
    stranger = world.net.host(30)
    with stranger.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
        for kind in (0x00, 0x30, 0x7f, 0xff):
            flood.sendto(bytes([kind]) * 1200, ("203.0.113.10", 8886))
        flood.sendto(bytes([0x10]) * 1200, ("203.0.113.10", 8886))
    relaynet.wait_until(lambda: dropped(relay.side.namespace, 8886) == 4, 10, "no valve")
    world.send(world.side("a", world.net.host(31)), got.url, source=world.file(1_000_000))


def start_slow(world, sender, url, seconds, *options):
    """A transfer that takes about so long."""
    size = int(2_000_000 * tw.patient(seconds))
    source = world.file(size)
    return source, size, sender.start("send", "--json", "--rate", "16M", *options, source, url)


def test_relay_killed(world):
    """Again and again, at any moment: the transfer goes on within seconds, in the same connection,
    and nothing travels twice but what was on its way.
    """
    receiver = world.hidden("b", 2)
    relay = world.relay(10, receiver)
    sender = world.side("a", world.net.host(30))
    got = world.receiver(receiver, "--relay", relay.name)
    source, size, process = start_slow(world, sender, got.url, 3 * KILLS)
    for _ in range(KILLS):
        assert not process.ended(1.5), process.text()
        relay.kill()
        relay.start()
    process.wait(LIMIT + 6 * KILLS)
    assert process.code == 0, process.text()
    world.check(source)
    assert got.process.text().count("started from") == 1
    last = tw.fields(tw.json_lines(process)[-1])
    assert last["bytesSent"] < 1.1 * size + KILLS * 2 * 2_000_000, last


def test_both_relays_killed(world):
    sender = world.side("a", world.net.site(1, "symmetric", relaynet.DMZ))
    receiver = world.side("b", world.net.site(2, "symmetric", relaynet.DMZ, relay="203.0.113.11"))
    outgoing = world.relay(10, sender, name="relay-a")
    incoming = world.relay(11, receiver, name="relay-b")
    got = world.receiver(receiver, "--relay", incoming.name)
    source, _, process = start_slow(world, sender, got.url, 4, "--relay", outgoing.name)
    for relay in (outgoing, incoming):
        assert not process.ended(1), process.text()
        relay.kill()
        relay.start()
    process.wait(LIMIT)
    assert process.code == 0, process.text()
    world.check(source)


def test_relay_moves(world):
    """The relay comes up again at another address, and its name follows: so do server and sender."""
    names = os.path.join(world.place, "hosts")

    def name(address):
        # In place and at once: who looks in between would ask a name server that is not there.
        file = os.open(names, os.O_RDWR | os.O_CREAT, 0o644)
        os.pwrite(file, b"127.0.0.1 localhost\n%s relay.test\n" % address.encode(), 0)
        os.close(file)

    known = ["unshare", "-m", "sh", "-c", 'mount --bind %s /etc/hosts; exec "$@"' % names, "sh"]
    name("203.0.113.10")
    receiver = world.hidden("b", 2, relay="{ 203.0.113.10, 203.0.113.12 }")
    relay = world.relay(10, receiver)
    sender = world.side("a", world.net.host(30))
    got = relaynet.Receiver(receiver, os.path.join(world.place, "arrived"), "--relay",
                            "relay.test:8887" + relay.name[relay.name.index("#"):], prefix=known)
    assert "relay.test:8886" in got.url
    source = world.file(8_000_000)
    process = sender.start("send", "--json", "--rate", "16M", source, got.url, prefix=known)
    assert not process.ended(1.5), process.text()
    relay.kill()
    relay.side.namespace = world.net.host(12)   # the same identity, elsewhere
    name("203.0.113.12")
    relay.start()
    process.wait(LIMIT)
    assert process.code == 0, process.text()
    world.check(source)
    last = tw.fields(tw.json_lines(process)[-1])
    assert last["destinationIP"] == "203.0.113.12" and last["bytesSent"] < 1.5 * 8_000_000


@pytest.mark.parametrize("which", ["both", "receiver", "sender"][:3 if LONG else 1])
def test_mappings_dropped(world, which):
    """A NAT that forgets everything once a second and gives other ports each time."""
    sender = world.side("a", world.net.site(1, "symmetric"))
    receiver = world.side("b", world.net.site(2, "symmetric"))
    relay = world.relay(10, receiver)
    got = world.receiver(receiver, "--relay", relay.name)
    source, size, process = start_slow(world, sender, got.url, 5)
    sites = {"receiver": [receiver], "sender": [sender], "both": [sender, receiver]}[which]

    def forget():
        for side in sites:
            world.net.forget_mappings(side.namespace)

    assert relaynet.every_second(forget, process) >= 3
    assert process.code == 0, process.text()
    world.check(source)
    assert got.process.text().count("started from") == 1
    last = tw.fields(tw.json_lines(process)[-1])
    assert last["bytesSent"] < 2 * size, last


def test_control_connection_cut(world):
    """TCP to the relay is blocked in the middle: what runs by UDP does not notice."""
    receiver = world.hidden("b", 2)
    relay = world.relay(10, receiver)
    sender = world.side("a", world.net.host(30))
    got = world.receiver(receiver, "--relay", relay.name)
    source, size, process = start_slow(world, sender, got.url, 5)
    time.sleep(1)
    world.net.load(receiver.namespace.gate,
                   "table ip cut { chain f { type filter hook forward priority -1;"
                   " tcp dport 8887 drop; }; }")
    process.wait(LIMIT)
    assert process.code == 0, process.text()
    world.check(source)
    last = tw.fields(tw.json_lines(process)[-1])
    assert last["bytesSent"] < 1.2 * size, last


def assert_alike(got):
    """Two receivers get as much as each other, once both get something."""
    def both():
        return [each.arrived() for each in got]

    relaynet.wait_until(lambda: min(both()) > 1_000_000, 60, "it does not get on")
    before = both()
    relaynet.wait_until(lambda: sum(both()) > sum(before) + 20_000_000, 60, "it does not get on")
    few, many = sorted(now - had for now, had in zip(both(), before))
    assert few > 0.4 * many, (before, few, many)


FIXED = "send", "--quiet", "--rate-control", "fixed", "--rate"


def test_servers_share_a_limit(world):
    """The relay may move 40 Mbit/s in all; of two servers that are sent more each gets about half,
    though one has four times as many connections. The one alone finds its half by itself.
    """
    sides = [world.hidden("b%d" % i, 2 + i) for i in range(2)]
    relay = world.relay(10, *sides, options=("--rate", "40M"))
    got = [relaynet.Receiver(side, os.path.join(world.place, "arrived%d" % i), "--relay",
                             relay.name) for i, side in enumerate(sides)]
    sender = world.side("a", world.net.host(30))
    source = world.file(40_000_000)
    for number in range(4):
        sender.start("send", "--quiet", source, got[0].url.replace("/#", "/%d#" % number))
    sender.start("send", "--quiet", source, got[1].url)
    assert_alike(got)


def tunnel_shares_a_limit(world):
    """Who sends by the control connection has no more of it than who sends by UDP."""
    senders = [world.side("a%d" % i, world.net.site(1 + i, firewall=wall))
               for i, wall in enumerate((relaynet.DMZ_TCP_ONLY, relaynet.DMZ))]
    relay = world.relay(10, *senders, options=("--rate", "40M"))
    hosts = [world.side("b%d" % i, world.net.host(30 + i)) for i in range(2)]
    got = [relaynet.Receiver(host, os.path.join(world.place, "arrived%d" % i), "--bind",
                             host.namespace.address) for i, host in enumerate(hosts)]
    source = world.file(40_000_000)
    for sender, each in zip(senders, got):
        sender.start(*FIXED, "60M", "--relay", relay.name, source, each.url)
    assert_alike(got)


if LONG:
    test_tunnel_shares_a_limit = tunnel_shares_a_limit


@pytest.mark.parametrize("which", ["both", "receiver", "sender"][:3 if LONG else 1])
def test_udp_cut_in_the_middle(world, which):
    """Firewalls close UDP while a transfer runs, and open it again: it goes on over the control
    connections, and returns.
    """
    sides = world.hidden("a", 1), world.hidden("b", 2)
    relay = world.relay(10, *sides)
    got = world.receiver(sides[1], "--relay", relay.name)
    source, size, process = start_slow(world, sides[0], got.url, 4, "--relay", relay.name)
    hit = {"both": sides, "receiver": sides[1:], "sender": sides[:1]}[which]
    told = [each for side, each in zip(sides, (process, got.process)) if side in hit]
    assert not process.ended(1), process.text()
    for side in hit:
        world.net.load(side.namespace.gate,
                       "table ip cut { chain f { type filter hook forward priority -1;"
                       " meta l4proto udp drop; }; }")
    for each in told:
        each.wait_for("UDP does not pass", 20)
    for side in hit:
        world.net.load(side.namespace.gate, "delete table ip cut")
    for each in told:
        each.wait_for("UDP passes to the relay's port [0-9]+ again", 20)
    process.wait(LIMIT)
    assert process.code == 0, process.text()
    world.check(source)
    assert got.process.text().count("started from") == 1
    last = tw.fields(tw.json_lines(process)[-1])
    assert last["bytesSent"] < tw.patient(1.3 * size), last
    assert (last["relayIP"], last["relayPort"]) == ("203.0.113.10", 8890), last


def test_leaves_the_relay_when_it_can(world):
    """The receiver can be reached without its relay after all: the connection moves there by itself,
    and back within a second or so when that breaks.
    """
    receiver = world.side("b", world.net.site(2, "full-cone"))
    relay = world.relay(10, receiver)
    sender = world.side("a", world.net.host(30))
    got = world.receiver(receiver, "--relay", relay.name)
    source, size, process = start_slow(world, sender, got.url, 5)

    def remote():
        lines = [tw.fields(line) for line in tw.json_lines(process)]
        return (lines[-1]["destinationIP"], lines[-1]["relayIP"]) if lines else None

    relaynet.wait_until(lambda: remote() == ("203.0.113.22", None), 20, "it stays with the relay")
    world.net.load(receiver.namespace.gate,
                   "table ip cut { chain f { type filter hook prerouting priority -200;"
                   ' iifname "outside" ip saddr 203.0.113.30 drop; }; }')
    relaynet.wait_until(lambda: remote() == ("203.0.113.10",) * 2, 20, "it does not come back")
    process.wait(LIMIT)
    assert process.code == 0, process.text()
    world.check(source)
    assert got.process.text().count("started from") == 1
    last = tw.fields(tw.json_lines(process)[-1])
    assert last["bytesSent"] < 1.5 * size, last


PAIRS = [("port-restricted", "port-restricted", False),
         ("port-restricted", "port-restricted", True),
         (None, "symmetric", False), ("symmetric", "symmetric", False),
         (None, "symmetric", True), ("symmetric", "symmetric", True),
         ("symmetric", "full-cone", False), ("symmetric", "full-cone", True),
         ("port-restricted", "symmetric", False), ("symmetric", "port-restricted", True)]


@pytest.mark.parametrize("here, there, own", PAIRS if LONG else PAIRS[:4])
def test_opens_nats(world, here, there, own):
    """Sender and receiver write to each other as the relay sees them, so that both NATs let in the
    other one. Where one shows another port to each, and the other lets in only whom it has written
    to, all stays with the relay, and `relayIP` says so.
    """
    sender = world.side("a", world.net.site(1, here) if here else world.net.host(21))
    receiver = world.side("b", world.net.site(2, there))
    relay = world.relay(10, receiver, sender)
    got = world.receiver(receiver, "--relay", relay.name)
    source, size, process = start_slow(world, sender, got.url, 1,
                                       *(("--relay", relay.name) if own else ()))
    process.wait(LIMIT)
    assert process.code == 0, process.text()
    world.check(source)
    last = tw.fields(tw.json_lines(process)[-1])
    direct = not ("symmetric" in (here, there) and
                  {here, there} <= {"symmetric", "port-restricted"})
    assert last["relayIP"] == (None if direct else "203.0.113.10"), last
    if direct:
        assert last["destinationIP"] == "203.0.113.22", last
    assert last["bytesSent"] < 1.3 * size, last
    assert got.process.text().count("started from") == 1


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def allow(keys, *servers):
    with open(keys, "w") as file:
        file.writelines("%s  # a server\n" % server.key for server in servers)


class LoopbackRelay:
    """A relay of this machine's that allows nobody yet, and has run once to find out its name."""

    def __init__(self, place):
        self.side, self.keys = tw.Side(os.path.join(place, "relay")), os.path.join(place, "keys")
        self.control, self.port, self.spare = (str(free_port()) for _ in range(3))
        allow(self.keys)
        self.start()
        self.process.kill()

    def start(self):
        self.process = self.side.start(
            "relay", "--bind", "127.0.0.1", "--control-port", self.control, "--port", self.port,
            "--ports", "%s-%s" % (self.spare, self.spare), "--to", "127.0.0.0/8", "--allow-file",
            self.keys)
        self.name = self.process.wait_for(r"^(\S+:\d+#\S{43})$", 10).group(1)

    def again(self):
        self.process.kill()
        self.start()


@pytest.fixture
def loopback(place):
    relay = LoopbackRelay(place)
    yield relay
    relay.side.close()


def test_service_behind_a_relay(place, loopback):
    """`tradewind server --recv-relay-host`: shown in the API, reached by a destination that names
    the relay, and still after the relay was started again.
    """
    port = int(loopback.port)
    with service.services(place, 1, "--recv-relay-host", loopback.name) as (there,), \
            service.services(os.path.join(place, "more"), 1) as (here,):
        allow(loopback.keys, there)
        loopback.start()
        with there.api() as api:
            relaynet.wait_until(lambda: api.getServerInfo().receiver.relayPort == port, 20,
                                "it does not register")
            assert api.getServerInfo().receiver.relayIP == "127.0.0.1"
        for turn in range(2):
            source = tw.make_file(os.path.join(place, "file%d" % turn), 3_000_000)
            with here.api() as api:
                destination = api.send.createDestination(
                    destinationAddress="192.0.2.1", destinationPublicKey=there.key,
                    relayAddress="127.0.0.1", relayPort=port)
                transfer = here.send(api, destination, "%s:file%d" % (source, turn))
                done = api.send.waitForTransfer(transferId=transfer.transferId)
                assert done.status == "complete", done
            with there.api() as api:
                api.superuser()
                # On one machine it may have found the way without the relay by now.
                came = [(each.relayIP, each.relayPort) for each in api.recv.getSources()]
                assert came and set(came) <= {("127.0.0.1", port), (None, None)}
            assert filecmp.cmp(source, os.path.join(there.received, "file%d" % turn),
                               shallow=False)
            loopback.again()


@pytest.mark.parametrize("wall", [None, relaynet.DMZ], ids=["nats", "firewalls"])
def test_services_behind_one_relay(world, wall):
    """Two servers in homes with NATs, each with the same relay: by it at first, past it as soon as
    both NATs are open; with firewalls that know the relay only, by it to the end.
    """
    keys = os.path.join(world.place, "keys")
    open(keys, "w").close()
    relay = world.relay(10, options=("--allow-file", keys))
    relay.kill()
    servers = []
    for number, options in ((1, ()), (2, ("--recv-relay-host", relay.name))):
        servers.append(service.Service(os.path.join(world.place, "server%d" % number), *options,
                                       space=world.net.site(number, firewall=wall)))
        world.made.append(servers[-1])
    here, there = servers
    allow(keys, here, there)
    relay.start()
    with here.api() as api, there.api() as far:
        relaynet.wait_until(lambda: far.getServerInfo().receiver.relayPort == 8886, 20,
                            "it does not register")
        destination = api.send.createDestination(
            destinationAddress="203.0.113.10", destinationPublicKey=there.key,
            relayAddress=relay.name)
        source = world.file(6_000_000)
        transfer = here.send(api, destination, source + ":file", sendRateMax=32_000)
        now = api.send.waitForTransfer(transferId=transfer.transferId)
        assert now.status == "complete", now
        assert filecmp.cmp(source, os.path.join(there.received, "file"), shallow=False)
        now = api.send.getConnection(connectionId=destination.connectionId)
        by, to = (now.relayIP, now.relayPort), now.destinationIP
        far.superuser()
        came = {(each.sourceIP, each.relayIP) for each in far.recv.getSources()}
        if wall:
            assert by == ("203.0.113.10", 8890) and to == "203.0.113.10", now
            assert came == {("203.0.113.10", "203.0.113.10")}
        else:
            assert by == (None, None) and to == "203.0.113.22", now
            assert came == {("203.0.113.10", "203.0.113.10"), ("203.0.113.21", None)}


def error_of(api, destination):
    there = api.send.getConnection(connectionId=destination.connectionId)
    return there.lastError, there.lastErrorMessage or ""


def test_service_sends_by_its_own_relay(place, loopback):
    """A destination that names a relay of the sending server's: not without it, by it, and on after
    the relay was killed.
    """
    with service.services(place, 2) as (here, there), here.api() as api:
        destination = here.destination(api, there, relayAddress=loopback.name)
        address, key = loopback.name.split("#")
        host, control = address.split(":")
        assert control == loopback.control
        assert here.destination(api, there, relayAddress=host, relayPort=int(control),
                                relayPublicKey=key).destinationId == destination.destinationId
        source = tw.make_file(os.path.join(place, "file"), 12_000_000)
        transfer = here.send(api, destination, "%s:file" % source, sendRateMax=60_000)

        def acked():
            return api.send.getTransfer(transferId=transfer.transferId).bytesAcked

        relaynet.wait_until(lambda: error_of(api, destination)[0] == "relayUnavailable", 20,
                            "it goes without the relay")
        assert loopback.control in error_of(api, destination)[1]
        assert acked() == 0
        allow(loopback.keys, here)
        loopback.start()
        relaynet.wait_until(lambda: acked() > 1_000_000, 30, "it does not go by the relay")
        now = api.send.getConnection(connectionId=destination.connectionId)
        assert (now.relayIP, now.relayPort) == ("127.0.0.1", int(loopback.spare)), now
        assert (now.destinationIP, now.destinationPort) == ("127.0.0.1", there.port)
        loopback.again()
        done = api.send.waitForTransfer(transferId=transfer.transferId)
        assert done.status == "complete", done
        assert filecmp.cmp(source, os.path.join(there.received, "file"), shallow=False)
