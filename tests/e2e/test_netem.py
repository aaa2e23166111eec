"""Lines by the kernel's netem: the commands, what is done where the kernel has none, and all of
such a line but the shaping.

Whether such a line does what was asked is in test_link.py, for every kind that this machine has.
"""
import json
import os
import shlex
import socket
import subprocess
import sys
import threading

import pytest

import netem
import tw

# Says yes to everything and notes it; the kernel's answer to `show`, when nothing is shaped.
FAKE_TC = """#!/bin/sh
echo "$*" >> %s
case "$*" in *show*) echo '[{"kind":"noqueue"}]';; esac
exit %d
"""


def lines_of(**options):
    return [shlex.join(call) for call in netem.commands(options)]


def test_the_grid_s_commands():
    assert lines_of(rate="500M", delay="50ms") == [
        # 500 Mbit/s for 100 ms are 6.25 MB, and 4128 packets of 1514 bytes
        "qdisc add dev cable-left root netem limit 4128 rate 500000000bit",
        # 50 ms of the shortest frames may be under way
        "qdisc add dev to-right root netem limit 49829 delay 50000us",
        "qdisc add dev cable-right root netem limit 4128 rate 500000000bit",
        "qdisc add dev to-left root netem limit 49829 delay 50000us"]
    assert lines_of(rate="1000M", delay="100ms", loss="1%")[1] == \
        "qdisc add dev to-right root netem limit 196313 delay 100000us loss random 1%"
    # Bursts of 5 are left with a fifth; 10 % are lost where a 45th of the others begins one.
    assert lines_of(rate="100M", delay="150ms", loss="10%", burst=5)[1] == \
        "qdisc add dev to-right root netem limit 30297 delay 150000us" \
        " loss gemodel 2.22222% 20% 100% 0%"


def test_directions_and_units():
    forth, back = lines_of(delay="30ms", delay_back="5ms", loss_back="1")
    assert "to-right" in forth and "to-left" in back
    assert forth.endswith("netem limit 1000000 delay 30000us")
    assert back.endswith("netem limit 1000000 delay 5000us loss random 100%")
    assert not any("cable" in line for line in lines_of(loss="5%", seed=7))

    def limit(**options):
        return int(lines_of(**options)[0].split()[7])

    assert limit(rate="10M", queue="20ms") == 25000 // 1514
    assert limit(rate="80M", delay="50ms", queue="2bdp") == 2000000 // 1514
    assert limit(rate="10M", queue="100K") == 100000 // 1514
    assert limit(rate="1M", queue="1") == 1
    assert limit(rate="1M", delay="1ms") == 65536 // 1514       # the least that bench/link gives
    assert lines_of(rate="1.5G")[0].endswith(" rate 1500000000bit")


@pytest.mark.parametrize("options", [{"port_shift": 5}, {"rate": "fast"}, {"loss": "5pct"},
                                     {"delay_sideways": "1ms"}, {"queue": "3 apples", "rate": "1M"},
                                     ])
def test_what_it_cannot_do(options):
    with pytest.raises(ValueError):
        netem.commands(options)


def test_bursts_are_those_of_the_emulator():
    """A chain of two states with these chances loses that share, in runs of that length."""
    words = netem.loss_words({"loss": "10%", "burst": 5})
    enter, leave = (float(word.rstrip("%")) / 100 for word in words[2:4])
    assert enter / (enter + leave) == pytest.approx(0.1, rel=1e-4)
    assert 1 / leave == 5


@pytest.fixture
def fake_tc(tmp_path, monkeypatch):
    """A tc on the path; fake_tc(code) makes it, and returns the file of what it was told."""
    def make(code):
        told = tmp_path / "told"
        program = tmp_path / "tc"
        program.write_text(FAKE_TC % (told, code))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", "%s:%s" % (tmp_path, os.environ["PATH"]))
        return told

    return make


@pytest.mark.root
def test_probe(fake_tc):
    fake_tc(0)
    assert netem.why_not() is None and netem.choose("auto")[0] == "netem"
    fake_tc(2)
    assert "takes no netem" in netem.why_not()
    assert netem.choose("auto")[0] == netem.choose("ours")[0] == "ours"
    assert netem.choose("netem") == (None, netem.why_not())


@pytest.mark.root
def test_no_tc_at_all(monkeypatch, tmp_path):
    """Only what makes namespaces is there."""
    for program in ("ip", "nsenter", "sysctl"):
        found = next(place for place in ("/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/")
                     if os.path.exists(place + program))
        os.symlink(found + program, tmp_path / program)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "takes no netem" in netem.why_not()


@pytest.mark.root
def test_hosts_and_what_is_between(fake_tc):
    """With a tc that only nods: both families pass whole, trains as single packets."""
    told = fake_tc(0)
    network = netem.Netem(rate="100M", delay="5ms", loss="1%")
    try:
        done = [line for line in told.read_text().splitlines() if "add" in line]
        assert done == lines_of(rate="100M", delay="5ms", loss="1%")
        for family, address, head in ((socket.AF_INET, network.right_ip, 42),
                                      (socket.AF_INET6, network.right_ip6, 62)):
            with network.right.entered():
                receiver = socket.socket(family, socket.SOCK_DGRAM)
                receiver.bind((address, 7000))
            with network.left.entered():
                sender = socket.socket(family, socket.SOCK_DGRAM)
            sender.connect((address, 7000))
            receiver.settimeout(5)
            before = network.counters()["forth"]
            sender.setsockopt(socket.IPPROTO_UDP, 103, 1000)            # UDP_SEGMENT
            sender.send(bytes(30500))
            assert sum(len(receiver.recv(65536)) for _ in range(31)) == 30500
            counters = network.counters()["forth"]
            assert 31 <= counters["packetsIn"] - before["packetsIn"] <= 35
            assert 0 <= counters["bytesIn"] - before["bytesIn"] - 30500 - 31 * head < 400
            assert tw.fault(network.counters()) is None
            sender.close()
            receiver.close()
    finally:
        network.close()


@pytest.mark.root
def test_tcp_goes_in_single_packets(fake_tc):
    """Netem counts, delays and loses what it is given: a train would be one packet to it."""
    fake_tc(0)
    network = netem.Netem(rate="100M")
    data = bytes(3 << 20)
    try:
        with network.left.entered():
            listener = socket.create_server((network.left_ip, 7000))
        with network.right.entered():
            sender = socket.create_connection((network.left_ip, 7000), timeout=10)
        receiver = listener.accept()[0]
        thread = threading.Thread(target=lambda: (sender.sendall(data), sender.close()))
        thread.start()
        receiver.settimeout(10)
        got = 0
        while piece := receiver.recv(1 << 18):
            got += len(piece)
        thread.join(10)
        counters = network.counters()
        assert got == len(data)
        assert counters["back"]["packetsIn"] >= len(data) / 1460
        assert counters["back"]["bytesIn"] >= len(data) + 66 * (len(data) // 1460)
        assert tw.fault(counters) is None
        receiver.close()
        listener.close()
    finally:
        network.close()


@pytest.mark.root
def test_bench_says_which_it_used(fake_tc, tmp_path):
    """Asked for where there is none it refuses in a sentence; else it falls back and says why."""
    fake_tc(2)
    def run(*words):
        return subprocess.run(
            [sys.executable, os.path.join(tw.ROOT, "bench", "run"), "--runs", "1", "--mib", "1",
             "--limit", "3", "--only", "sendfile, cubic", "--json", str(tmp_path / "out.json"),
             "500M-0", *words], capture_output=True, text=True, timeout=60, check=False)

    told = run("--link", "netem")
    assert told.returncode == 2 and "takes no netem" in told.stderr
    told = run()
    assert told.returncode == 0, told.stderr
    assert "lines by bench/link: the kernel takes no netem" in told.stdout
    found = json.loads((tmp_path / "out.json").read_text())["cases"]["500M-0"]
    assert {run["link"] for runs in found["runs"].values() for run in runs} == {"ours"}
