"""The link emulator does what it was asked: rate, delay, queue, losses and the other faults, each
measured from outside. What the measurements need is asked of the kernel's netem too, where there is
one (netem.py).

Both ends of every measurement are sockets of this process that live in the two namespaces; arrival
times are the kernel's.
"""
import ctypes
import hashlib
import os
import signal
import socket
import statistics
import struct
import threading
import time

import pytest

import netem
import tw

pytestmark = pytest.mark.root

PORT = 7000
UDP_SEGMENT = 103
SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33
HEAD = struct.Struct("!IQ")             # number, send time
FULL = 1472                             # payload of a 1500-byte packet; its frame is 1514 bytes
FRAME = 1514
TRAIN = 44                              # full packets in one piece, at most


def socket_in(namespace, family=socket.AF_INET, kind=socket.SOCK_DGRAM):
    """A socket that belongs to a namespace; only this thread visits it for that moment."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open("/run/netns/" + namespace.name, os.O_RDONLY)
    try:
        assert libc.setns(there, 0x40000000) == 0, os.strerror(ctypes.get_errno())
        return socket.socket(family, kind)
    finally:
        assert libc.setns(home, 0x40000000) == 0
        os.close(home)
        os.close(there)


class Probe:
    """A UDP sender in one namespace and a receiver in the other."""

    def __init__(self, network, backwards=False, ipv6=False):
        family = socket.AF_INET6 if ipv6 else socket.AF_INET
        a, b = network.left, network.right
        address = network.right_ip6 if ipv6 else network.right_ip
        if backwards:
            a, b, address = b, a, network.left_ip6 if ipv6 else network.left_ip
        self.sender, self.receiver = socket_in(a, family), socket_in(b, family)
        self.receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
        self.receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.receiver.bind((address, PORT))
        self.receiver.settimeout(0.3)
        self.sender.setsockopt(socket.SOL_SOCKET, 32, 16 << 20)        # SO_SNDBUFFORCE
        self.sender.connect((address, PORT))
        self.sent = 0

    def send(self, count, size=FULL, gap=0.0):
        for _ in range(count):
            self.sender.send(HEAD.pack(self.sent, time.time_ns()).ljust(size, b"."))
            self.sent += 1
            if gap:
                time.sleep(gap)

    def send_at_once(self, count):
        """So many full packets in trains, as fast as this machine can. Returns when that was done, in
        s."""
        self.sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, FULL)
        for first in range(0, count, TRAIN):
            now = time.time_ns()
            self.sender.send(b"".join(HEAD.pack(self.sent + number, now).ljust(FULL, b".")
                                      for number in range(first, min(first + TRAIN, count))))
        self.sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 0)
        self.sent += count
        return time.time()

    def receive(self, idle=0.3):
        """All that arrives until nothing came for `idle` seconds: (number, delay in s, arrival in
        s, bytes).
        """
        self.receiver.settimeout(idle)
        got = []
        while True:
            try:
                data, ancillary, _, _ = self.receiver.recvmsg(65536, 64)
            except socket.timeout:
                return got
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
            number, sent_at = HEAD.unpack(data[:HEAD.size])
            arrival = seconds * 10**9 + nanoseconds
            got.append((number, (arrival - sent_at) / 1e9, arrival / 1e9, data))

    def exchange(self, count, size=FULL, paced=2000):
        """Sends `count` packets, in groups so that no queue is hit, and returns what arrived."""
        got = []
        for first in range(0, count, paced):
            self.send(min(paced, count - first), size)
            got += self.receive(0.1)
        return got

    def close(self):
        self.sender.close()
        self.receiver.close()


@pytest.fixture(params=netem.kinds())
def line(request):
    """line(rate="100M", ...): a network of each kind that can stand below a measurement."""
    made = []

    def make(**options):
        made.append(netem.KINDS[request.param](**options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def probe():
    made = []

    def make(*arguments, **options):
        made.append(Probe(*arguments, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def runs_missing(numbers, total):
    """Lengths of the runs of numbers below `total` that are not among `numbers`."""
    there = set(numbers)
    runs, length = [], 0
    for number in range(total):
        if number in there:
            if length:
                runs.append(length)
            length = 0
        else:
            length += 1
    return runs + ([length] if length else [])


def rate_of(arrivals):
    """bit/s, by the line through all arrivals: a moment in which nobody looked moves it little."""
    slope = statistics.linear_regression(range(len(arrivals)),
                                         [each - arrivals[0] for each in arrivals]).slope
    return FRAME * 8 / slope


@pytest.mark.parametrize("rate_mbps", [5, 50])
def test_rate(line, probe, rate_mbps):
    count = rate_mbps * 16                              # about 0.2 s of line time
    network = line(rate="%dM" % rate_mbps, queue="20M")
    p = probe(network)
    done = p.send_at_once(count)
    got = p.receive()
    assert len(got) == count
    # What came later was all in the queue by then: the line's pace, not that of who sent it.
    arrivals = [each[2] for each in got if each[2] > done]
    assert len(arrivals) > count // 2
    assert rate_of(arrivals) == pytest.approx(rate_mbps * 1e6, rel=tw.patient(0.03))
    assert tw.fault(network.counters()) is None


def arrivals_of_trains(p, trains):
    """When each packet of so many trains arrived, all of them sent at once."""
    p.sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, FULL)
    train = HEAD.pack(0, 0).ljust(FULL * TRAIN, b".")
    for _ in range(trains):
        p.sender.send(train)
    p.receiver.settimeout(0.3)
    arrivals = []
    try:
        while True:
            data, ancillary, _, _ = p.receiver.recvmsg(FULL, 64)
            assert len(data) == FULL
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
            arrivals.append(seconds + nanoseconds * 1e-9)
    except socket.timeout:
        return arrivals


@pytest.mark.parametrize("rate_mbps", [200, 500, 1000])
def test_trains_on_a_fast_line(line, probe, rate_mbps):
    network = line(rate="%dM" % rate_mbps, queue="60M", delay="10ms")
    trains = min(rate_mbps, 500)                        # 0.53 s of line time, or half of it
    arrivals = arrivals_of_trains(probe(network), trains)
    assert len(arrivals) == trains * TRAIN
    assert rate_of(arrivals) == pytest.approx(rate_mbps * 1e6, rel=tw.patient(0.03))
    assert tw.fault(network.counters()) is None


def test_losses_and_queue_of_a_gigabit(link, probe):
    """Bursts of losses are as asked for at that rate too, and the queue drops what it cannot hold,
    no more."""
    network = link(rate="1000M", queue="8M", delay="10ms", loss="2%", burst=5, seed=3)
    arrived = len(arrivals_of_trains(probe(network), 500))
    counters = network.counters()
    forth = counters["forth"]
    assert tw.fault(counters) is None
    assert arrived == 500 * TRAIN - forth["droppedLoss"] - forth["droppedQueue"]
    assert forth["queueBytesMax"] <= 8_000_000
    # What the queue turns away is not on the line any more: that is where losses are.
    share = forth["droppedLoss"] / (forth["droppedLoss"] + arrived)
    assert 0.008 < share < 0.04
    assert 3.5 < forth["droppedLoss"] / forth["lossRuns"] < 7


@pytest.mark.parametrize("ipv6", [False, True])
def test_delay_and_its_other_direction(line, probe, ipv6):
    network = line(delay="30ms", delay_back="5ms")
    for backwards, want in ((False, 0.030), (True, 0.005)):
        p = probe(network, backwards=backwards, ipv6=ipv6)
        p.send(40, size=200, gap=0.002)
        delays = [each[1] for each in p.receive()]
        assert len(delays) == 40
        assert min(delays) >= want
        assert statistics.median(delays) == pytest.approx(want, abs=0.003)


def test_queue_drops_at_its_tail(line, probe):
    network = line(rate="10M", queue="100K")
    p = probe(network)
    p.send_at_once(300)                                 # 454 KB
    got = p.receive()
    counters = network.counters()["forth"]
    assert 100_000 // FRAME <= len(got) < 100              # what fits, and what left while we sent
    assert [each[0] for each in got[:60]] == list(range(60))
    assert counters["droppedQueue"] == 300 - len(got)
    assert counters.get("queueBytesMax", 0) <= 100_000
    assert max(each[1] for each in got) == pytest.approx(0.080, abs=0.015)


def test_queue_in_time_and_in_bandwidth_delay_products(link):
    def limit(**options):
        return link(**options).counters()["forth"]["queueBytesLimit"]

    assert limit(rate="10M", queue="20ms") == 25_000
    assert limit(rate="80M", delay="50ms") == 1_000_000
    assert limit(rate="80M", delay="50ms", queue="2bdp") == 2_000_000


def test_independent_losses(line, probe):
    network = line(loss="5%", seed=7)
    got = probe(network).exchange(20000, size=100)
    lost = 20000 - len(got)
    runs = runs_missing([each[0] for each in got], 20000)
    assert 800 < lost < 1200                            # six standard deviations
    assert statistics.mean(runs) == pytest.approx(1 / 0.95, abs=0.05)
    counters = network.counters()["forth"]
    assert counters["droppedLoss"] == lost
    assert counters.get("lossRuns", len(runs)) == len(runs)


def test_losses_in_bursts(line, probe):
    got = probe(line(loss="5%", burst=8, seed=11)).exchange(40000, size=100)
    runs = runs_missing([each[0] for each in got], 40000)
    assert 0.03 < sum(runs) / 40000 < 0.07
    assert 6.5 < statistics.mean(runs) < 9.8


def test_losses_of_one_direction_only(line, probe):
    network = line(loss_back="100%")
    assert len(probe(network).exchange(100)) == 100
    assert probe(network, backwards=True).exchange(100) == []


def test_a_seed_replays(link, probe):
    def fates(seed):
        return [each[0] for each in probe(link(loss="10%", seed=seed)).exchange(1000, size=100)]

    first = fates(3)
    assert fates(3) == first
    assert fates(4) != first


def test_jitter_keeps_order_unless_told(link, probe):
    options = {"delay": "20ms", "jitter": "5ms"}
    p = probe(link(**options))
    p.send(200, size=100, gap=0.0005)
    got = p.receive()
    assert [each[0] for each in got] == list(range(200))
    delays = [each[1] for each in got]
    assert min(delays) >= 0.015 and max(delays) > 0.0215
    p = probe(link(jitter_reorders=True, **options))
    p.send(200, size=100, gap=0.0005)
    numbers = [each[0] for each in p.receive()]
    assert sorted(numbers) == list(range(200)) and numbers != list(range(200))


def test_reordering(link, probe):
    network = link(reorder="10%", reorder_by="5ms", rate="50M", queue="10M")
    p = probe(network)
    p.send(1000)
    numbers = [each[0] for each in p.receive()]
    late = sum(1 for a, b in zip(numbers, numbers[1:]) if b < a)
    assert sorted(numbers) == list(range(1000))
    assert 50 < network.counters()["forth"]["reordered"] < 160
    assert late > 40


def test_duplicates(link, probe):
    network = link(duplicate="20%")
    numbers = [each[0] for each in probe(network).exchange(1000)]
    counters = network.counters()["forth"]
    assert set(numbers) == set(range(1000))
    assert len(numbers) == 1000 + counters["duplicated"] == counters["packetsOut"]
    assert 120 < counters["duplicated"] < 280


def test_corruption_that_checksums_do_not_show(link, probe):
    network = link(corrupt="20%")
    p = probe(network)
    sent = []
    for number in range(500):
        sent.append(HEAD.pack(number, 0) + os.urandom(500))
        p.sender.send(sent[-1])
    flipped = 0
    p.receiver.settimeout(0.3)
    for want in sent:
        got = p.receiver.recv(2048)
        bits = sum(bin(a ^ b).count("1") for a, b in zip(want, got))
        assert len(got) == len(want) and bits <= 1
        flipped += bits
    assert flipped == network.counters()["forth"]["corrupted"]
    assert 50 < flipped < 150


def test_path_mtu_black_hole_while_running(link, probe):
    network = link()
    p = probe(network)
    assert len(p.exchange(10, size=1472)) == 10
    network.change("mtu-drop 1300")
    # an answer means that the change has been read
    network.counters()
    assert p.exchange(10, size=1472) == []
    assert len(p.exchange(10, size=1272)) == 10
    assert p.exchange(1, size=1273) == []
    assert network.counters()["forth"]["droppedMtu"] == 11
    network.change("mtu-drop 0")
    network.counters()
    assert len(p.exchange(10, size=1472)) == 10


def test_outage(link, probe):
    network = link()
    p = probe(network)
    network.change("down 1")
    network.counters()
    assert p.exchange(10) == []
    network.change("down 0")
    network.counters()
    assert len(p.exchange(10)) == 10


def test_port_translation_and_rebinding(link, probe):
    network = link(port_shift=100)
    p = probe(network)
    port = p.sender.getsockname()[1]
    p.sender.settimeout(0.3)
    p.send(1)
    first_peer = p.receiver.recvfrom(2048)[1]
    assert first_peer == (network.left_ip, (port + 100) % 65536)
    p.receiver.sendto(b"back", first_peer)
    assert p.sender.recv(100) == b"back"
    network.change("port-shift 200")
    network.counters()
    p.receiver.sendto(b"to the old mapping", first_peer)
    with pytest.raises((socket.timeout, ConnectionRefusedError)):
        p.sender.recv(100)
    p.send(1)
    second_peer = p.receiver.recvfrom(2048)[1]
    assert second_peer == (network.left_ip, (port + 200) % 65536)
    p.receiver.sendto(b"back again", second_peer)
    assert p.sender.recv(100) == b"back again"


@pytest.mark.parametrize("ipv6", [False, True])
def test_udp_trains_are_single_packets_on_the_line(link, probe, ipv6):
    network = link(loss="20%", port_shift=5)
    p = probe(network, ipv6=ipv6)
    p.sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1200)
    segments = [HEAD.pack(number, 0) + os.urandom(1188) for number in range(400)]
    segments[39] = segments[39][:700]                   # the last of its train is short
    for first in range(0, 400, 40):
        p.sender.send(b"".join(segments[first:first + 40]))
    got = []
    p.receiver.settimeout(0.3)
    try:
        while True:
            got.append(p.receiver.recv(65536))
    except socket.timeout:
        pass
    assert all(segments[HEAD.unpack(each[:HEAD.size])[0]] == each for each in got)
    assert 250 < len(got) < 390
    counters = network.counters()["forth"]
    overhead = (40 if ipv6 else 20) + 8 + 14
    assert counters["packetsIn"] == 400
    assert counters["bytesIn"] == sum(map(len, segments)) + 400 * overhead
    assert counters["packetsOut"] == len(got)


def test_trains_go_up_in_one_piece_to_who_wants_them(link, probe):
    network = link(rate="1G", delay="20ms")
    p = probe(network)
    p.sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
    p.receiver.setsockopt(socket.IPPROTO_UDP, 104, 1)       # UDP_GRO
    data = os.urandom(30_500)
    p.sender.send(data)
    pieces = []
    while sum(map(len, pieces)) < len(data):
        pieces.append(p.receiver.recvmsg(65536, 64)[0])
    assert b"".join(pieces) == data
    assert len(pieces) < 31


@pytest.mark.parametrize("ipv6", [False, True])
def test_tcp_passes_whole(link, ipv6):
    network = link(rate="100M", delay="2ms", loss="0.5%", duplicate="0.5%", reorder="0.5%")
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    address = (network.right_ip6 if ipv6 else network.right_ip, PORT)
    listener = socket_in(network.right, family, socket.SOCK_STREAM)
    listener.bind(address)
    listener.listen(1)
    client = socket_in(network.left, family, socket.SOCK_STREAM)
    client.settimeout(20)
    client.connect(address)
    server = listener.accept()[0]
    server.settimeout(20)
    data = os.urandom(3 << 20)

    def send():
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send)
    thread.start()
    digest = hashlib.sha256()
    while True:
        piece = server.recv(1 << 18)
        if not piece:
            break
        digest.update(piece)
    thread.join(20)
    for each in (client, server, listener):
        each.close()
    assert digest.digest() == hashlib.sha256(data).digest()
    counters = network.counters()
    assert counters["forth"]["packetsIn"] > len(data) // 1460
    assert tw.fault(counters) is None


def test_orderly_stop_leaves_nothing(link):
    network = link(rate="10M")
    network.emulator.signal(signal.SIGTERM)
    assert network.emulator.wait(5).code == 0
    with open(network.statistics) as file:
        assert '"event":"end"' in file.read()
    assert b"link0" not in tw.ip("-n", network.left.name, "link").stdout


def test_command_inside(tmp_path, link):
    network = link()
    command = [tw.LINK, "--left", network.left.name, "--right", network.right.name, "--left-name",
               "other0",
               "--right-name", "other0", "--", "sh", "-c", "ip link show other0 && exit 7"]
    process = tw.Process(command).wait(10)
    assert process.code == 7 and b"other0" in process.out()
    process.close()


@pytest.mark.parametrize("arguments, word", [
    (["--left", "no-such-namespace"], "no-such-namespace"),
    (["--rate", "fast"], "rate"),
    (["--loss", "120%"], "loss"),
    (["--delay"], "delay"),
    (["--whatever", "1"], "whatever"),
    (["--burst", "0.5"], "burst"),
    ([], "--left"),
])
def test_mistakes_are_told_in_one_sentence(arguments, word):
    process = tw.Process([tw.LINK] + arguments).wait(5)
    assert process.code in (1, 2)
    assert word in process.err().decode() and process.err().count(b"\n") == 1
    process.close()
