"""What programs that face strangers take from themselves, seen from outside: the kernel's word."""
import os
import socket
import subprocess
import time

import pytest

import tw


def filters():
    """Whether the kernel and this build can: sanitizers do not survive a filter of system calls."""
    with open("/proc/sys/kernel/seccomp/actions_avail", encoding="ascii") as file:
        if "kill_process" not in file.read():
            return False
    with open(tw.TRADEWIND, "rb") as file:
        program = file.read()
    return b"__asan_init" not in program and b"__tsan_init" not in program


needs_filters = pytest.mark.skipif(not filters(), reason="no filter of system calls here")


def until(condition, limit=10):
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def status(pid):
    """Fields of /proc/PID/status."""
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def assert_confined(pid):
    """No capability, none to be had, and all threads behind a filter."""
    for task in os.listdir("/proc/%d/task" % pid):
        seen = status(int(task))
        assert seen["Seccomp"] == "2", seen
        assert seen["NoNewPrivs"] == "1", seen
        for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(seen[kind], 16) == 0, (kind, seen)
        if tw.privileged():
            assert int(seen["CapBnd"], 16) == 0, seen
    # Nobody else of the account looks into its memory: what it holds belongs to root.
    if not tw.privileged():
        assert os.stat("/proc/%d/mem" % pid).st_uid == 0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def relay(tmp_path):
    """relay(options...): a relay of its own, that has said where it is."""
    started = []
    key = subprocess.run([tw.TRADEWIND, "keygen", "--identity", tmp_path / "other"], check=True,
                         capture_output=True, text=True).stdout.strip()
    (tmp_path / "keys").write_text(key + "\n")

    def start(*options):
        started.append(tw.Process(
            [tw.TRADEWIND, "relay", "--allow-file", tmp_path / "keys", "--control-port",
             str(free_port()), "--bind", "127.0.0.1", "--identity", tmp_path / "identity",
             *options]))
        return started[-1]
    yield start
    for process in started:
        process.close()


@needs_filters
def test_relay(relay):
    process = relay("--confine", "require")
    process.wait_for("relaying", 10)
    until(lambda: status(process.pid)["Seccomp"] == "2")
    assert_confined(process.pid)
    process.stop(10)
    assert process.code == 0, process.text()


def test_relay_unconfined(relay):
    process = relay("--confine", "off")
    process.wait_for("relaying", 10)
    assert status(process.pid)["NoNewPrivs"] == "0"
    process.stop(10)
    assert process.code == 0, process.text()


def test_unknown_word(relay):
    process = relay("--confine", "on")
    assert process.wait(10).code == 2, process.text()
    assert "--confine takes" in process.text()
