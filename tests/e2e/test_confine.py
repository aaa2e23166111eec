"""What programs that face strangers take from themselves, seen from outside: the kernel's word."""
import os
import re
import shutil
import socket
import subprocess
import time

import pytest

import service
import tw

# What an agent of root keeps: CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID.
FILE_RIGHTS = 0b11111


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
    deadline = tw.deadline(limit)
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


def children(pid):
    """Processes that it started, {pid: name}."""
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            seen = status(int(entry))
        except (FileNotFoundError, ProcessLookupError):
            continue
        if seen["PPid"] == str(pid):
            found[int(entry)] = seen
    return found


@pytest.fixture
def servers(tmp_path):
    with service.services(tmp_path, 2, "--confine", "require") as both:
        yield both


def engine_of(server):
    """The child of the monitor that has threads: file agents begin with one."""
    return max(children(server.process.pid),
               key=lambda pid: len(os.listdir("/proc/%d/task" % pid)))


def work(here, there, tmp_path):
    """A little of everything: names looked up, files sent, listed, the state stored."""
    source = tw.make_file(os.path.join(tmp_path, "film"), 2 * tw.MIB)
    with here.api() as api:
        destination = api.send.createDestination(
            destinationAddress="localhost", destinationPort=there.port,
            destinationPublicKey=there.key)
        transfer = here.send(api, destination, source + ":film")
        ended = api.send.waitForTransfer(transferId=transfer.transferId)
        assert ended.status == "complete", ended
        api.send.deleteDestination(destinationId=destination.destinationId)
    assert tw.same_bytes(source, os.path.join(there.received, "film"))


@needs_filters
def test_server(servers, tmp_path):
    here, there = servers
    work(here, there, tmp_path)
    for server in servers:
        engine = engine_of(server)
        assert_confined(engine)
        assert status(engine)["Uid"].split()[0] != "0"
        for child, seen in children(server.process.pid).items():
            assert seen["Seccomp"] == "2" and seen["NoNewPrivs"] == "1", (child, seen)
            assert int(seen["CapEff"], 16) & ~FILE_RIGHTS == 0, seen
        assert "warning" not in server.process.text()
        server.stop()
        assert server.process.code == 0, service.last_lines(server)


@needs_filters
@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
@pytest.mark.skipif(not tw.privileged(), reason="needs root, to trace what cannot be dumped")
def test_engine_opens_nothing_by_whole_path(servers, tmp_path):
    """From READY on; and it makes no process, and no socket but UDP."""
    here, there = servers
    traces = []
    for server in servers:
        log = os.path.join(tmp_path, "trace-%d" % server.port)
        tracer = tw.Process(["strace", "-f", "-qq", "-o", log, "-e",
                             "trace=open,openat,openat2,creat,execve,fork,vfork,socket", "-p",
                             str(engine_of(server))])
        traces.append((tracer, log))
        until(lambda: status(engine_of(server))["TracerPid"] != "0")
    work(here, there, tmp_path)
    for tracer, log in traces:
        tracer.stop(10)
        with open(log, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
        assert any("openat" in line for line in lines) or log == traces[0][1], lines
        for line in lines:
            assert not re.search(r'\bopen(at2?)?\([^"]*"/', line), line
            assert not re.search(r"\b(execve|v?fork|creat)\(", line), line
            assert "socket(" not in line or "SOCK_DGRAM" in line, line


def test_receive(tmp_path):
    """It makes its files; whether it could open others, only a tracer could tell."""
    source = tw.make_file(os.path.join(tmp_path, "film"), tw.MIB)
    process = tw.Process([tw.TRADEWIND, "receive", "--once", "--port", str(free_port()),
                          "--bind", "127.0.0.1",
                          "--identity", tmp_path / "identity", tmp_path / "in"])
    try:
        url = process.wait_for(r"tw://\S+", 10).group(0)
        assert status(process.pid)["NoNewPrivs"] == "1"
        subprocess.run([tw.TRADEWIND, "send", "--identity", tmp_path / "other", source, url],
                       check=True, capture_output=True, timeout=60)
        process.wait(20)
        assert process.code == 0, process.text()
    finally:
        process.close()
    assert tw.same_bytes(source, os.path.join(tmp_path, "in", "film"))


@pytest.mark.parametrize("word, seccomp, said", [
    ("off", "0", "not confined, as --confine off says"), ("log", "2", "others logged")])
@needs_filters
def test_words(tmp_path, word, seccomp, said):
    with service.services(tmp_path, 2, "--confine", word) as (here, there):
        work(here, there, tmp_path)
        seen = status(engine_of(here))
        assert (seen["Seccomp"], seen["NoNewPrivs"]) == (seccomp, "1"), seen
        assert said in here.process.text()


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
