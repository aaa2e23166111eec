"""One transfer over several connections, each by a worker of its own at either end: it arrives
whole although the receiver is killed, keeps to its limit, and has no lanes where they would not
help."""
import os
import time

import pytest

import relaynet
import tw
from service import services

pytestmark = pytest.mark.skipif(not tw.privileged(), reason="network namespaces need root")

WORKERS = ("--workers", "3")
SIZE = 6 * tw.MIB
RATE_KBPS = 40_000


def sockets_to(process, port):
    """How many sockets there are, in the network that the process is in, that are connected to it:
    one for each connection."""
    try:
        with open("/proc/%d/net/udp" % process.pid) as file:
            remotes = [line.split()[2] for line in file.readlines()[1:]]
    except OSError:             # it has just ended
        return 0
    return sum(int(remote.split(":")[1], 16) == port for remote in remotes)


def until(condition, limit=30):
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def most_sockets_to(process, port):
    """At any moment until it has ended."""
    most = 0

    def ended():
        nonlocal most
        most = max(most, sockets_to(process, port))
        return not process.running()
    until(ended)
    return most


def size_of_parts(folder):
    """What has been written, under whatever name."""
    return sum(os.stat(os.path.join(folder, name)).st_blocks * 512 for name in os.listdir(folder))


@pytest.fixture
def file(tmp_path):
    return tw.make_file(os.path.join(tmp_path, "file"), SIZE)


@pytest.fixture
def pair(tmp_path):
    with_network = tw.Direct()
    made = tw.Pair(with_network, tmp_path, *WORKERS)
    yield made
    made.close()
    with_network.close()


def test_receiver_killed(pair, file):
    sender = pair.start(*WORKERS, "--lanes", "2", "--rate", "%dk" % RATE_KBPS, "--checkpoint", "1",
                        "--json", file)
    until(lambda: sockets_to(sender, 8886) == 3 and size_of_parts(pair.folder) > SIZE / 3)
    pair.receiver.process.kill()
    pair.receiver.start()
    until(lambda: sockets_to(sender, 8886) >= 3)
    sender.wait(60)
    assert sender.code == 0, sender.text()
    assert tw.same_bytes(file, pair.arrived("file"))
    # It went on; and all three together kept to the rate.
    last = tw.fields(tw.json_lines(sender)[-1])
    assert last["bytesSent"] < SIZE * 1.9
    assert SIZE * 8 / 1000 / sender.seconds < RATE_KBPS


def test_servers(tmp_path, file):
    with services(tmp_path, 2, *WORKERS, "--lanes", "2") as (near, far), near.api() as api:
        there = near.destination(api, far, sendRateMax=RATE_KBPS)
        begin = time.monotonic()
        sent = near.send(api, there, {"srcPath": file, "destPath": "file"})
        until(lambda: sockets_to(near.process, far.port) == 3)
        done = api.send.waitForTransfer(transferId=sent.transferId)
        taken = time.monotonic() - begin
        assert done.status == "complete", done
        # What lanes carried is in the figures; the newest of it they may not have told yet.
        assert done.bytesSent > SIZE * 0.9
        assert SIZE * 8 / 1000 / taken < RATE_KBPS * 1.05
    assert tw.same_bytes(file, os.path.join(far.received, "file"))


def test_slow_path(tmp_path, file):
    """The line is the limit, and no processor: one connection is the best that can be had."""
    link = tw.Link(rate="40M", delay="5ms")
    pair = tw.Pair(link, tmp_path, *WORKERS)
    try:
        sender = pair.start(*WORKERS, "--lanes", "auto", file)
        assert most_sockets_to(sender, 8886) == 1
        assert sender.code == 0, sender.text()
        assert tw.same_bytes(file, pair.arrived("file"))
    finally:
        pair.close()
        link.close()


@pytest.mark.skipif(bool(relaynet.available()), reason=str(relaynet.available()))
def test_relay(tmp_path, file):
    """A way that a relay opened is one connection's: there are no lanes, and all goes well."""
    net = relaynet.Internet()
    sides = []
    try:
        sides.append(tw.Side(os.path.join(tmp_path, "a"), net.site(1, None, relaynet.DMZ)))
        sides.append(tw.Side(os.path.join(tmp_path, "b"), net.host(20)))
        sides.append(tw.Side(os.path.join(tmp_path, "relay"), net.host(10)))
        relay = relaynet.Relay(sides[2], [relaynet.key_of(sides[0])])
        got = relaynet.Receiver(sides[1], os.path.join(tmp_path, "arrived"), *WORKERS)
        sender = sides[0].start("send", *WORKERS, "--lanes", "2", "--relay", relay.name,
                                "--rate", "%dk" % RATE_KBPS, file, got.url)
        # The connection's, and that by which it speaks with its relay.
        assert most_sockets_to(sender, 8890) <= 2
        assert sender.code == 0, sender.text()
        assert tw.same_bytes(file, os.path.join(tmp_path, "arrived", "file"))
    finally:
        tw.close_all(sides)
        net.close()
