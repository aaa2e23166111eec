"""`tradewind api`, `status` and `top` at a terminal and in scripts, against a fake server."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

import tw
from fake_api import FakeApi

DESTINATION = {
    "destinationId": "d1", "destinationAddress": "files.example.org", "destinationPort": 8886,
    "encryptedConnectionState": "connected", "sendRateAverageWindow": 480000, "lossPercent": 1.5,
    "roundTripTimeMs": 50.2, "numTransfersQueued": 1, "sendRateMax": None,
    "rateControlMethod": "bbr", "lastError": None, "lastErrorMessage": None,
}
TRANSFER = {
    "transferId": "7" * 32, "destinationId": "d1", "status": "active", "destinationPath": "films",
    "totalBytes": 1 << 30, "bytesAcked": 1 << 29, "throughput": 470000, "blocksSent": 1000,
    "blocksRetransmitted": 20, "estimatedSecondsRemaining": 65.0, "errorMessage": None,
}


@pytest.fixture
def fake(tmp_path):
    with FakeApi(str(tmp_path / "api.sock")) as server:
        server.state["send.getDestinations"] = [DESTINATION]
        server.state["send.getTransfers"] = [TRANSFER]
        yield server


def environment(**more):
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith("TRADEWIND_API") and name != "NO_COLOR"}
    return {**kept, "TERM": "xterm", "LC_ALL": "C.UTF-8", **more}


def run(*arguments, code=0, stdin=None, **more):
    done = subprocess.run([tw.TRADEWIND, *map(str, arguments)], input=stdin, capture_output=True,
                          timeout=20, env=environment(**more), text=True)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, *arguments, columns=100, lines=30, **more):
        self.main, side = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(side)
        self.side = side
        self.process = subprocess.Popen(
            [tw.TRADEWIND, *map(str, arguments)], stdin=side, stdout=side, stderr=side,
            env=environment(**more), start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.shown = ""

    def resize(self, columns, lines):
        fcntl.ioctl(self.main, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self, seconds):
        if select.select([self.main], [], [], seconds)[0]:
            try:
                self.shown += os.read(self.main, 65536).decode("utf-8", "replace")
            except OSError:
                return False
        return True

    def wait_for(self, pattern, limit=10):
        """Waits for it in what is shown from now on."""
        deadline = tw.deadline(limit)
        while not re.search(pattern, self.shown):
            assert time.monotonic() < deadline, "no /%s/ in %r" % (pattern, self.shown[-2000:])
            self.read(0.1)
        shown, self.shown = self.shown, ""
        return shown

    def type(self, text):
        os.write(self.main, text.encode())

    def ended(self, limit=10):
        deadline = tw.deadline(limit)
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "it goes on: %r" % self.shown
            self.read(0.05)
        while select.select([self.main], [], [], 0)[0] and self.read(0):
            pass
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.main)
        os.close(self.side)


@pytest.fixture
def terminal():
    made = []

    def make(*arguments, **more):
        made.append(Terminal(*arguments, **more))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_results_are_json_on_standard_output(fake):
    done = run("api", "--socket", fake.path, "getServerInfo")
    assert json.loads(done.stdout)["serverName"] == "fake" and done.stderr == ""
    assert run("api", "--socket", fake.path, "--field", "serverName", "getServerInfo"
               ).stdout == "fake\n"
    done = run("api", "--compact", "createManifest", "--fileMappings=/a:b", "--file-mappings=/c:d",
               "--recursive", "--userData=k=1", TRADEWIND_API_SOCKET=fake.path)
    assert done.stdout.count("\n") == 1
    assert json.loads(done.stdout) == {"fileMappings": ["/a:b", "/c:d"], "recursive": True,
                                       "userData": {"k": "1"}}
    assert run("api", "--socket", fake.path, "--field", "path", "ls", "--path=/srv"
               ).stdout == "/srv\n"


@pytest.mark.parametrize("arguments, code, says", [
    (["getServreInfo"], 2, "did you mean getServerInfo?"),
    (["echo", "--txt=x"], 2, "did you mean --text?"),
    (["echo"], 2, "InvalidParameter: echo needs text"),
    (["ls", "--path=/missing"], 1, "NotFound: path: no such folder"),
    (["fail", "--name=NotPermitted"], 4, "NotPermitted: as asked"),
    (["fail", "--name=Timeout"], 5, "Timeout: as asked"),
    (["--field", "nothing", "getServerInfo"], 1, "no field \"nothing\""),
    (["echo", "--text=\x1b[31m", "--text=y"], 2, "given twice"),
    (["--batch", "echo"], 2, "without a METHOD"),
])
def test_errors_go_to_standard_error_with_their_exit_code(fake, arguments, code, says):
    done = run("api", "--socket", fake.path, *arguments, code=code)
    assert done.stdout == ""
    assert says in done.stderr and done.stderr.startswith("tradewind: ")
    assert done.stderr.strip().isprintable()


def test_nobody_there(tmp_path):
    for command in (["api", "getServerInfo"], ["status"], ["top", "--once"]):
        command[1:1] = ["--socket", tmp_path / "none"]
        assert "is `tradewind server` running there?" in run(*command, code=5).stderr


def test_help_needs_no_server(tmp_path):
    text = run("api", "--help", TRADEWIND_API_SOCKET=str(tmp_path / "none")).stdout
    for group, method in (("server", "getServerInfo"), ("send", "send.createManifest"),
                          ("recv", "recv.getSourcesAsync")):
        assert re.search(r"group %s:\n(  .*\n)*  %s +\w" % (group, re.escape(method)), text)
    text = run("api", "createManifest", "--help").stdout
    assert re.search(r"--fileMappings=VALUE \(may be repeated\) +may be left out; \w", text)
    assert "did you mean" in run("api", "createManifset", "--help", code=2).stderr
    assert "--help` lists them" in run("api", code=2).stderr


def completed(line, script):
    """What bash would offer behind `line`."""
    words = line.split(" ")
    code = script + """
COMP_WORDS=(%s); COMP_CWORD=%d; compopt() { :; }
_tradewind; printf '%%s\\n' "${COMPREPLY[@]}" """ % (
        " ".join('"%s"' % word for word in words), len(words) - 1)
    done = subprocess.run(["bash", "-c", code], capture_output=True, timeout=20, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


def test_completion_knows_methods_and_parameters():
    script = run("completion").stdout
    assert "top" in completed("tradewind t", script)
    assert completed("tradewind api send.createM", script) == ["send.createManifest"]
    assert "--socket" in completed("tradewind api --so", script)
    assert completed("tradewind api --socket x createTransfer --dest", script) == [
        "--destinationId=", "--destinationPath="]
    assert completed("tradewind api createTransfer --interval", script) == []
    assert completed("tradewind top --inter", script) == ["--interval"]


def test_batch(fake):
    lines = ['{"method": "echo", "params": {"text": "a"}}', "", '{"method": "echo"}']
    done = run("api", "--socket", fake.path, "--batch", stdin="\n".join(lines), code=1)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert answers[0] == {"result": "a"}
    assert answers[1]["error"]["parameter"] == "text"
    done = run("api", "--socket", fake.path, "--batch", stdin=lines[0] + "\nnonsense\n", code=2)
    assert done.stdout == '{"result":"a"}\n' and "line 2 of standard input" in done.stderr


def test_events(fake):
    fake.happen("launch")
    fake.happen("evil\x1b[2J\u202e")
    done = run("api", "--socket", fake.path, "--events", "--after", "0", "--limit", "2")
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [1, 2]
    assert "\x1b" not in done.stdout and "\u202e" not in done.stdout


def test_password_from_the_environment_or_the_terminal(terminal):
    with FakeApi(passwords={"ann": "pw"}) as fake:
        where = ["--host", "127.0.0.1", "--api-control-port", fake.port]
        done = run("api", *where, "send.getTransfers", code=4)
        assert "NotAuthenticated" in done.stderr and "--user" in done.stderr
        run("api", *where, "--user", "ann", "send.getTransfers", TRADEWIND_API_PASSWORD="pw")
        run("api", *where, "--user", "ann", "send.getTransfers", TRADEWIND_API_PASSWORD="no",
            code=4)
        token = run("api", *where, "--field", "token", "auth", "--user=ann", "--password=pw"
                    ).stdout.strip()
        run("api", *where, "send.getTransfers", TRADEWIND_API_TOKEN=token)
        asked = terminal("api", *where, "--user", "ann", "send.getTransfers")
        asked.wait_for("password of ann")
        asked.type("pw\n")
        assert asked.ended() == 0
        assert "pw" not in asked.shown and "[]" in asked.shown
        assert termios.tcgetattr(asked.side) == asked.before


def test_status(fake):
    text = run("status", "--socket", fake.path).stdout
    assert "sending 470 Mbit/s: 1 active, 1 queued" in text
    assert re.search(r"files\.example\.org:8886 +connected +480 Mbit/s +1\.5% +50 ms +1", text)
    assert re.search(r"active +50% +1\.00 GiB +470 Mbit/s +1:05 -> files\.example\.org/films", text)
    assert "\x1b" not in text
    data = json.loads(run("status", "--socket", fake.path, "--json").stdout)
    assert data["transfers"][0]["transferId"] == "7" * 32
    assert set(data) == {"server", "connections", "transfers", "receiving", "sources"}


def test_top_once_and_json(fake):
    text = run("top", "--socket", fake.path, "--once", "--sort", "rate").stdout
    assert "files.example.org" in text and "\x1b" not in text
    done = run("top", "--socket", fake.path, "--once", "--json")
    assert json.loads(done.stdout)["server"]["serverName"] == "fake"
    assert "this is no terminal" in run("top", "--socket", fake.path, code=2).stderr
    assert "--sort takes" in run("top", "--sort", "size", code=2).stderr


ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"


def test_top_lives_and_leaves_the_terminal_as_it_was(fake, terminal):
    top = terminal("top", "--socket", fake.path)
    shown = top.wait_for("q quit")
    assert shown.startswith(ENTER) and "\x1b[32m" in shown
    assert not termios.tcgetattr(top.side)[3] & termios.ECHO
    fake.state["send.getTransfers"] = [
        {**TRANSFER, "destinationPath": "path-%d" % n, "throughput": n * 1000} for n in range(3)]
    shown = top.wait_for(r"path-0[^$]*path-1[^$]*path-2")
    top.type("r")
    top.wait_for(r"path-2[^$]*path-1[^$]*path-0")
    top.type("\x1b[B\x1b[B")            # two keys that arrive together
    top.wait_for(r"WHERE\x1b\[0m\x1b\[K\r+\n\x1b\[32mactive[^\n]*path-0")
    top.resize(150, 30)
    top.wait_for("AGAIN")
    top.type("q")
    assert top.ended() == 0
    assert top.shown.endswith(LEAVE)
    assert termios.tcgetattr(top.side) == top.before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT,
                                    signal.SIGSEGV, signal.SIGABRT])
def test_top_gives_the_terminal_back_whatever_ends_it(fake, terminal, number):
    top = terminal("top", "--socket", fake.path)
    top.wait_for("q quit")
    top.process.send_signal(number)
    code = top.ended()
    assert code == (-number if number in (signal.SIGSEGV, signal.SIGABRT) else 0)
    assert LEAVE in top.shown
    assert termios.tcgetattr(top.side) == top.before


def test_top_pauses_with_the_shell(fake, terminal):
    top = terminal("top", "--socket", fake.path)
    top.wait_for("q quit")
    top.process.send_signal(signal.SIGTSTP)
    top.wait_for(re.escape(LEAVE))
    os.waitid(os.P_PID, top.process.pid, os.WSTOPPED)
    assert termios.tcgetattr(top.side) == top.before
    top.process.send_signal(signal.SIGCONT)
    top.wait_for(re.escape(ENTER))
    top.wait_for("q quit")
    top.type("q")
    assert top.ended() == 0


def test_top_says_when_the_server_is_gone_and_finds_it_again(tmp_path, terminal):
    path = str(tmp_path / "api.sock")
    fake = FakeApi(path)
    top = terminal("top", "--socket", path)
    top.wait_for("q quit")
    fake.server.daemon_threads = True
    fake.close()
    fake.passwords = {}                 # the connection that is open still has its thread
    top.wait_for("NotAuthenticated|Unavailable", 15)
    with FakeApi(path):
        top.process.send_signal(signal.SIGWINCH)
        top.type("q")
        assert top.ended() == 0


def test_no_color(fake, terminal):
    top = terminal("top", "--socket", fake.path, NO_COLOR="1")
    shown = top.wait_for("q quit")
    assert not re.search(r"\x1b\[\d+m", shown.replace("\x1b[0m\x1b[?25h", ""))
    top.type("q")
    assert top.ended() == 0
