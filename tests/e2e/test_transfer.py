"""Whole transfers by the real program: trees, families, ciphers, links."""
import os
import re
import socket
import threading

import pytest

import tw
from test_link import socket_in

pytestmark = pytest.mark.root


def test_odd_tree_arrives_whole(direct, pair, place, tmp_path):
    """Every odd name, mode, time, link and hole; onto a disk file system, not only onto memory."""
    source = tw.make_odd_tree(os.path.join(place, "tree"))
    p = pair(direct(), folder=tmp_path / "arrived")
    process = p.send(source)
    assert tw.differences(source, p.arrived("tree")) == []
    assert os.listdir(p.folder) == ["tree"]
    # Names with control characters are shown, but not to the terminal as they are.
    assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1a\x7f]|\x1b\[31m",
                         process.out() + process.err())


def test_several_paths_into_a_folder_that_is_not_there_yet(direct, pair, place):
    one = tw.make_file(os.path.join(place, "one"), 3_000_000)
    two = tw.make_small_files(os.path.join(place, "two"), 700, 900)
    p = pair(direct())
    p.send(one, two, folder="a/b c/d".replace(" ", "%20"))
    assert tw.same_bytes(one, p.arrived("a", "b c", "d", "one"))
    assert tw.differences(two, p.arrived("a", "b c", "d", "two")) == []


def test_again_replaces_what_changed(direct, pair, place):
    source = tw.make_small_files(os.path.join(place, "tree"), 300, 20_000)
    p = pair(direct())
    p.send(source)
    victim = os.path.join(source, b"000", b"000007")
    with open(victim, "ab") as file:
        file.write(b"more")
    again = tw.fields(tw.json_lines(p.send("--json", source))[-1])
    assert tw.differences(source, p.arrived("tree"), times=True) == []
    assert again["status"] == "complete"


@pytest.mark.parametrize("ipv6", [False, True])
def test_both_families(link, pair, place, ipv6):
    source = tw.make_file(os.path.join(place, "file"), 5_000_000)
    network = link(rate="200M", delay="5ms")
    p = pair(network, ipv6=ipv6)
    p.send(source)
    assert tw.same_bytes(source, p.arrived("file"))


@pytest.mark.parametrize("cipher", ["none", "auth", "128", "256"])
def test_cipher_on_the_line(direct, pair, place, cipher):
    """Content is readable on the line exactly when it was asked to be, and arrives whole either
    way.
    """
    network = direct()
    marker = b"a marker that no cipher leaves readable; " * 50
    source = os.path.join(place, "file")
    with open(source, "wb") as file:
        file.write(marker * 1000)
    tap = socket_in(network.right, socket.AF_PACKET, socket.SOCK_RAW)
    tap.bind(("eth0", 3))                               # every protocol
    tap.settimeout(0.2)
    seen, stop = [], threading.Event()

    def listen():
        while not stop.is_set():
            try:
                frame = tap.recv(1 << 17)
            except socket.timeout:
                continue
            if marker[:400] in frame:
                seen.append(len(frame))

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        p = pair(network, "--min-cipher", "0")
        last = tw.fields(tw.json_lines(p.send("--json", "--cipher", cipher, source))[-1])
    finally:
        stop.set()
        thread.join(5)
        tap.close()
    assert tw.same_bytes(source, p.arrived("file"))
    assert bool(seen) == (cipher in ("none", "auth"))
    assert cipher in str(last["cipher"])


@pytest.mark.parametrize("cipher", ["none", "128"])
def test_flipped_bits_never_arrive(link, pair, place, cipher):
    source = tw.make_file(os.path.join(place, "file"), 6_000_000)
    network = link(rate="200M", delay="2ms", corrupt="2%")
    p = pair(network, "--min-cipher", "0")
    p.send("--cipher", cipher, source, limit=20)
    assert network.counters()["forth"]["corrupted"] > 30
    assert tw.same_bytes(source, p.arrived("file"))


def test_lossy_ocean(link, pair, place):
    """100 Mbit/s, 100 ms, 1 %: near the line's rate, hardly anything sent twice, little memory."""
    size = 40_000_000
    source = tw.make_file(os.path.join(place, "file"), size)
    network = link(rate="100M", delay="50ms", loss="1%")
    p = pair(network, "--once")
    sender = p.send(source)
    receiver = p.receiver.process.wait(10)
    counters = network.counters()
    assert receiver.code == 0
    assert tw.same_bytes(source, p.arrived("file"))
    assert tw.fault(counters) is None
    assert sender.seconds < tw.patient(5.5)                         # 3.4 s of line time
    assert counters["forth"]["bytesIn"] < 1.15 * size * 1514 / 1420
    assert sender.rss_bytes < 128 << 20 and receiver.rss_bytes < 128 << 20


def test_everything_bad_at_once(link, pair, place):
    source = tw.make_odd_tree(os.path.join(place, "tree"))
    network = link(rate="100M", delay="20ms", loss="3%", burst=6, jitter="8ms",
                   jitter_reorders=True, reorder="2%",
                   duplicate="2%", corrupt="0.5%", seed=5)
    p = pair(network)
    p.send(source, limit=40)
    assert tw.differences(source, p.arrived("tree")) == []


def test_many_small_files_far_away(link, pair, place):
    """No round trip per file: 3000 files of 2 KiB over 100 ms in the time of a few."""
    source = tw.make_small_files(os.path.join(place, "tree"), 3000, 2048)
    p = pair(link(rate="200M", delay="50ms"))
    process = p.send(source)
    assert tw.differences(source, p.arrived("tree")) == []
    assert process.seconds < tw.patient(3.5)


def test_thin_way_back(link, pair, place):
    """Acknowledgements must fit into a return path of a two-hundredth."""
    source = tw.make_file(os.path.join(place, "file"), 20_000_000)
    p = pair(link(rate="100M", rate_back="500K", delay="20ms"))
    process = p.send(source)
    assert tw.same_bytes(source, p.arrived("file"))
    assert process.seconds < tw.patient(6.0)


def test_two_senders_at_once(direct, pair, place):
    one = tw.make_file(os.path.join(place, "one"), 30_000_000, seed=1)
    two = tw.make_file(os.path.join(place, "two"), 30_000_000, seed=2)
    p = pair(direct())
    processes = [p.start(one), p.start(two)]
    assert [process.wait(30).code for process in processes] == [0, 0]
    assert tw.same_bytes(one, p.arrived("one")) and tw.same_bytes(two, p.arrived("two"))
