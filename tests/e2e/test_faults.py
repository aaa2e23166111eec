"""What goes wrong on the way: killed programs, changing sources, full disks, paths that change or
vanish.
"""
import os
import random
import subprocess
import time

import pytest

import tw

pytestmark = pytest.mark.root

# Sent again after one kill, at most: 64 MiB or what the line carries in a second, whichever is
# more.
AGAIN_BYTES = 64 << 20


def whole_or_absent(source, copy):
    """Nothing unfinished under a final name; `copy` may lack files."""
    if not os.path.exists(copy):
        return []
    return [text for text in tw.differences(source, copy, times=False, leftovers=True)
            if text.startswith(("other content", "other kind", "too much"))]


def wait_for_bytes(network, count, limit):
    deadline = tw.deadline(limit)
    while network.counters()["forth"]["bytesOut"] < count:
        assert time.monotonic() < deadline, "the transfer does not go on"
        time.sleep(0.005)


@pytest.mark.parametrize("seed", range(1, 1 + int(os.environ.get("KILL_SEEDS", "2"))))
def test_killed_again_and_again(link, pair, place, seed):
    """kill -9 of either side at five moments; it goes on by itself, ends whole, and hardly anything
    travels twice.
    """
    rng = random.Random(seed)
    source = os.path.join(place, "tree")
    os.makedirs(source)
    tw.make_small_files(os.path.join(source, "small"), 500, 4000, seed)
    size = 360_000_000
    tw.make_file(os.path.join(source, "large"), size, seed)
    size += 500 * 4000
    network = link(rate="800M", delay="5ms", queue="4M")
    p = pair(network)
    sender = p.start(source)
    for moment in sorted(rng.uniform(0.15, 0.85) for _ in range(5)):
        wait_for_bytes(network, moment * size, limit=30)
        before = network.counters()["forth"]["bytesOut"]
        if rng.random() < 0.5:
            sender.kill()
            assert whole_or_absent(source, p.arrived("tree")) == []
            sender = p.start(source)
        else:
            p.receiver.process.kill()
            assert whole_or_absent(source, p.arrived("tree")) == []
            p.receiver.start()
        wait_for_bytes(network, before + 3_000_000, limit=4)    # going again
    sender.wait(30)
    assert sender.code == 0, sender.text()
    assert tw.differences(source, p.arrived("tree")) == []
    counters = network.counters()
    wire = counters["forth"]["bytesIn"]
    assert wire < 1.15 * size + 5 * AGAIN_BYTES, "%.0f MB for %.0f MB" % (wire / 1e6, size / 1e6)


def test_killed_late_resumes_from_its_journal(link, pair, place):
    """Nine tenths done, both sides killed: what is left is what travels."""
    size = 200_000_000
    source = tw.make_file(os.path.join(place, "file"), size)
    network = link(rate="800M", delay="5ms", queue="4M")
    p = pair(network)
    sender = p.start(source)
    wait_for_bytes(network, 0.85 * size, limit=20)
    p.receiver.process.kill()
    sender.kill()
    before = network.counters()["forth"]["bytesIn"]
    p.receiver.start()
    last = tw.fields(tw.json_lines(p.send("--json", source))[-1])
    assert tw.same_bytes(source, p.arrived("file"))
    again = network.counters()["forth"]["bytesIn"] - before
    assert again < 0.25 * size * 1.1 + AGAIN_BYTES
    assert last["bytesSent"] < 0.25 * size + AGAIN_BYTES


def test_interrupted_sender_says_so_and_leaves_what_arrived(link, pair, place):
    source = tw.make_file(os.path.join(place, "file"), 20_000_000)
    network = link(rate="50M", delay="5ms")
    p = pair(network)
    sender = p.start(source)
    wait_for_bytes(network, 5_000_000, limit=10)
    sender.signal(2)
    assert sender.wait(5).code not in (0, None)
    p.send(source)
    assert tw.same_bytes(source, p.arrived("file"))


def test_source_that_changes_is_reported_and_never_mixed(link, pair, place):
    """The first file keeps the sender busy while those behind it change, each in its own way."""
    source = os.path.join(place, "tree")
    os.makedirs(source)
    tw.make_file(os.path.join(source, "0-busy"), 70 << 20)
    for number, name in enumerate(("1-written", "2-shorter", "3-longer", "4-removed", "5-swapped",
                                   "6-left-alone")):
        tw.make_file(os.path.join(source, name), 3_000_000, seed=number)
    p = pair(link(rate="300M", delay="5ms"))
    sender = p.start(source)
    wait_for_bytes(p.network, 4_000_000, limit=10)
    with open(os.path.join(source, "1-written"), "r+b") as file:
        file.seek(1_500_000)
        file.write(b"changed")
    os.truncate(os.path.join(source, "2-shorter"), 1_000_000)
    with open(os.path.join(source, "3-longer"), "ab") as file:
        file.write(b"and more")
    os.unlink(os.path.join(source, "4-removed"))
    tw.make_file(os.path.join(source, "new"), 3_000_000, seed=99)
    os.rename(os.path.join(source, "new"), os.path.join(source, "5-swapped"))
    sender.wait(30)
    assert sender.code == 1, sender.text()
    for name in ("0-busy", "6-left-alone"):
        assert tw.same_bytes(os.path.join(source, name), p.arrived("tree", name))
    for name in ("1-written", "2-shorter", "3-longer", "4-removed", "5-swapped"):
        assert name in sender.text()
        assert not os.path.exists(p.arrived("tree", name))
    assert not [path for path in tw.listing(p.arrived("tree")) if tw.is_leftover(path)]


def test_disk_full_loses_nothing_and_goes_on_with_room(direct, pair, place):
    small = tw.make_small_files(os.path.join(place, "a-small"), 50, 10_000)
    large = tw.make_file(os.path.join(place, "b-large"), 60_000_000)
    folder = tw.mount_tmpfs(os.path.join(place, "small-disk"), 24 << 20)
    try:
        p = pair(direct(), folder=folder)
        process = p.start(small, large).wait(30)
        assert process.code == 6, process.text()
        assert any(word in tw.last_sentence(process).lower() for word in ("full", "space", "room"))
        assert whole_or_absent(small, p.arrived("a-small")) == []
        assert not os.path.exists(p.arrived("b-large"))
        assert p.receiver.process.running()
        subprocess.run(["mount", "-o", "remount,size=%d" % (120 << 20), folder], check=True,
                       timeout=20)
        p.send(small, large)
        assert tw.differences(small, p.arrived("a-small")) == []
        assert tw.same_bytes(large, p.arrived("b-large"))
        p.close()
    finally:
        tw.unmount(folder)


def test_nat_rebinding(link, pair, place):
    """A NAT forgets the mapping, three times: the connection id carries on, from wherever datagrams
    come.
    """
    size = 20_000_000
    source = tw.make_file(os.path.join(place, "file"), size)
    network = link(rate="50M", delay="20ms", port_shift=100)
    p = pair(network)
    sender = p.start(source)
    for number in (1, 2, 3):
        wait_for_bytes(network, number * size / 5, limit=10)
        network.change("port-shift %d" % (100 + 50 * number))
    sender.wait(20)
    assert sender.code == 0, sender.text()
    assert tw.same_bytes(source, p.arrived("file"))
    assert sender.seconds < tw.patient(3.6 + 3.0)                   # line time, and a moment each
    assert network.counters()["forth"]["bytesIn"] < tw.patient(1.25 * size)


def test_path_mtu_found_and_black_hole_left(link, pair, place):
    size = 30_000_000
    source = tw.make_file(os.path.join(place, "file"), size)
    network = link(rate="60M", delay="10ms", mtu=4000)
    p = pair(network)
    sender = p.start("--json", source)
    wait_for_bytes(network, size * 0.5, limit=10)
    network.change("mtu-drop 1300")
    sender.wait(25)
    assert sender.code == 0, sender.text()
    assert tw.same_bytes(source, p.arrived("file"))
    sizes = [tw.fields(line)["pathMtu"] for line in tw.json_lines(sender)]
    assert max(sizes) > 1500 and sizes[-1] <= 1300
    assert sender.seconds < tw.patient(4.4 + 5.0)


def test_outage_is_survived(link, pair, place):
    source = tw.make_file(os.path.join(place, "file"), 10_000_000)
    network = link(rate="50M", delay="20ms")
    p = pair(network)
    sender = p.start(source)
    wait_for_bytes(network, 4_000_000, limit=10)
    network.change("down 1")
    time.sleep(3)
    network.change("down 0")
    before, up = network.counters()["forth"]["bytesOut"], time.monotonic()
    wait_for_bytes(network, before + 500_000, limit=4)
    assert time.monotonic() - up < tw.patient(2.5)
    sender.wait(20)
    assert sender.code == 0, sender.text()
    assert tw.same_bytes(source, p.arrived("file"))
