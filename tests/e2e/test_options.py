"""What a user can ask of `send` and `receive`, one by one."""
import os
import pty
import re
import select
import stat
import time

import pytest

import tw

pytestmark = pytest.mark.root

MODES = {
    "in-place-never": 0, "in-place-always": 1, "in-place-same-size": 2, "partfile-never": 3,
    "partfile-always": 4,
    "partfile-backup": 5,
}


def content(path):
    with open(path, "rb") as file:
        return file.read()


@pytest.mark.parametrize("mode", MODES)
def test_overwrite_modes(direct, pair, place, mode):
    """Four targets: none, an empty one, one of the same size, one of another size."""
    new = b"new content"
    old = {"empty": b"", "same-size": b"OLD CONTENT", "other-size": b"old"}
    source = os.path.join(place, "tree")
    os.makedirs(source)
    p = pair(direct())
    os.makedirs(p.arrived("tree"))
    for name in ("absent", *old):
        with open(os.path.join(source, name), "wb") as file:
            file.write(new)
        if name in old:
            with open(p.arrived("tree", name), "wb") as file:
                file.write(old[name])
            os.utime(p.arrived("tree", name), (1, 1))
    p.send("--overwrite", mode, source)
    got = {name: content(p.arrived("tree", name)) for name in os.listdir(p.arrived("tree"))}
    want = {"absent": new}
    for name, before in old.items():
        replaced = mode in ("in-place-always", "partfile-always", "partfile-backup")
        if mode == "in-place-same-size":
            replaced = name in ("empty", "same-size")
        want[name] = new if replaced else before
        if mode == "partfile-backup":
            want[name + ".bak"] = before
    assert got == want


def test_overwrite_modes_have_numbers_too(direct, pair, place):
    source = tw.make_file(os.path.join(place, "file"), 1000, seed=1)
    p = pair(direct())
    p.send(source)
    before = content(source)
    tw.make_file(source, 1000, seed=2)
    p.send("--overwrite", str(MODES["partfile-never"]), source)
    assert content(p.arrived("file")) == before
    p.send("--overwrite", str(MODES["in-place-always"]), source)
    assert content(p.arrived("file")) == content(source) != before


@pytest.mark.parametrize("mode", ["partfile-always", "in-place-always"])
def test_a_part_never_has_the_final_name(link, pair, place, mode):
    source = tw.make_file(os.path.join(place, "file"), 3_000_000)
    p = pair(link(rate="20M", delay="5ms"))
    process = p.start("--overwrite", mode, source)
    seen = set()
    while process.running():
        seen.update(os.listdir(p.folder))
        if "file" in os.listdir(p.folder) and mode == "partfile-always":
            assert tw.same_bytes(source, p.arrived("file"))
        time.sleep(0.02)
    assert process.code == 0, process.text()
    assert tw.same_bytes(source, p.arrived("file"))
    parts = [name for name in seen if name.startswith(".tradewind-") and name.endswith(".part")]
    assert bool(parts) == (mode == "partfile-always")
    assert sorted(os.listdir(p.folder)) == ["file"]


def test_include_and_exclude(direct, pair, place):
    source = os.path.join(place, "tree")
    for name in ("a.c", "b.h", "notes.txt", "sub/c.c", "sub/c.o", "build/d.c", "build/deep/e.c"):
        os.makedirs(os.path.dirname(os.path.join(source, name)), exist_ok=True)
        tw.make_file(os.path.join(source, name), 100)

    def sent(*options):
        p.send(*options, source, folder="x")
        files = [os.path.relpath(os.path.join(folder, name), p.arrived("x", "tree"))
                 for folder, _, names in os.walk(p.arrived("x", "tree")) for name in names]
        os.rename(p.arrived("x"), p.arrived("done-%d" % next(tw.numbers)))
        return sorted(files)

    p = pair(direct())
    assert sent("--include", "*.c") == ["a.c", "build/d.c", "build/deep/e.c", "sub/c.c"]
    some = sent("--include", "*.c", "--include", "*.h", "--exclude", "build")
    assert some == ["a.c", "b.h", "sub/c.c"]
    assert sent("--exclude", "*.o", "--exclude", "*.c") == ["b.h", "notes.txt"]


TRANSFER_FIELDS = {
    "transferId": str, "destinationPath": str, "status": str, "startTime": int, "snapshotTime": int,
    "totalBytes": int,
    "totalFiles": int, "bytesSent": int, "bytesAcked": int, "bytesDurable": int,
    "filesComplete": int,
    "throughput": (int, float), "overwriteMode": int, "packetsSent": int, "packetsRecv": int,
    "blocksRetransmitted": int,
}
CONNECTION_FIELDS = {
    "destinationIP": str, "destinationPort": int, "destinationPublicKey": str,
    "encryptedConnectionState": str,
    "encryptionEnabled": bool, "rateControlMethod": str, "roundTripTimeMs": (int, float),
    "sendRate": int,
    "sendRateAverage": int, "senderIP": str, "senderPort": int, "socketSendBufferSize": int,
    "socketRecvBufferSize": int, "pathMtu": int, "lossPercent": (int, float), "cipher": str,
}


def test_json_lines(link, pair, place):
    size = 8_000_000
    source = os.path.join(place, "tree")
    os.makedirs(source)
    tw.make_file(os.path.join(source, "large"), size - 10)
    tw.make_file(os.path.join(source, "small"), 10)
    network = link(rate="20M", delay="20ms")
    p = pair(network)
    process = p.send("--json", source, folder="some/where")
    lines = [tw.fields(line) for line in tw.json_lines(process)]
    assert len(lines) >= 3                              # 3.4 s, one a second, and the last
    for name, kind in {**TRANSFER_FIELDS, **CONNECTION_FIELDS}.items():
        assert isinstance(lines[-1][name], kind), "%s is %r" % (name, lines[-1].get(name))
    last = lines[-1]
    assert last["status"] == "complete" and lines[1]["status"] == "active"
    assert last["totalBytes"] == last["bytesAcked"] == last["bytesDurable"] == size
    assert last["bytesSent"] >= size
    assert last["totalFiles"] == last["filesComplete"] == 2
    assert last["destinationPath"] == "some/where"
    assert last["overwriteMode"] == 4
    assert (last["destinationIP"], last["destinationPort"]) == (network.right_ip, 8886)
    assert last["destinationPublicKey"] == p.receiver.key
    assert last["senderIP"] == network.left_ip
    assert last["encryptionEnabled"] is True and "128" in last["cipher"]
    assert last["digest"]
    assert lines[1]["encryptedConnectionState"] == "connected"
    # the queue of one bandwidth-delay product counts too
    assert 39 <= lines[1]["roundTripTimeMs"] < tw.patient(250)
    assert last["endTime"] - last["startTime"] == pytest.approx(process.seconds * 1e6,
                                                                abs=tw.patient(1.5e6))
    acked = [line["bytesAcked"] for line in lines]
    assert acked == sorted(acked) and 0 < acked[1] < size
    assert lines[1]["estimatedSecondsRemaining"] > 0
    times = [line["snapshotTime"] for line in lines]
    assert all(0.5e6 / tw.PATIENCE < b - a < tw.patient(1.6e6)
               for a, b in zip(times[:-2], times[1:-1]))


def test_digest_tells_contents_apart(direct, pair, place):
    def digest(seed):
        source = tw.make_file(os.path.join(place, "file"), 100_000, seed=seed)
        os.utime(source, (5, 5))
        return tw.fields(tw.json_lines(p.send("--json", "--overwrite", "partfile-always", source,
                                              folder=str(next(tw.numbers))))[-1])["digest"]

    p = pair(direct())
    first = digest(1)
    assert digest(1) == first != digest(2)


@pytest.mark.parametrize("options", [("--rate", "20M"), ("--rate-max", "20M"), ("--rate", "0.02G"),
                                     ("--rate", "20"),
                                     ("--rate-control", "bbr", "--rate-max", "20000K")])
def test_rate_limits_hold(link, pair, place, options):
    size = 3_000_000
    source = tw.make_file(os.path.join(place, "file"), size)
    network = link(rate="1G", delay="5ms")
    p = pair(network)
    process = p.send(*options, source)
    assert tw.same_bytes(source, p.arrived("file"))
    assert size * 8 / 20e6 * 0.95 < process.seconds < tw.patient(size * 8 / 20e6 * 1.1 + 1.5)


def test_fixed_rate_is_held_against_losses(link, pair, place):
    """No retreat at 5 % loss: the rate is the user's word."""
    size = 6_000_000
    source = tw.make_file(os.path.join(place, "file"), size)
    p = pair(link(rate="500M", delay="10ms", loss="5%"))
    process = p.send("--rate-control", "fixed", "--rate", "40M", source)
    assert process.seconds < tw.patient(size * 8 / 40e6 * 1.15 + 1.0)


def test_rate_min_is_held_against_losses(link, pair, place):
    size = 6_000_000
    source = tw.make_file(os.path.join(place, "file"), size)
    p = pair(link(rate="100M", delay="10ms", loss="25%"))
    process = p.send("--rate-min", "40M", "--rate-max", "80M", source)
    assert process.seconds < tw.patient(size * 8 / (0.75 * 40e6) * 1.2 + 1.0)


def test_once(direct, pair, place):
    source = tw.make_file(os.path.join(place, "file"), 1000)
    p = pair(direct(), "--once")
    p.send(source)
    assert p.receiver.process.wait(5).code == 0
    assert tw.same_bytes(source, p.arrived("file"))


def test_receiver_stops_in_order(direct, pair):
    p = pair(direct())
    p.receiver.process.signal(15)
    assert p.receiver.process.wait(5).code in (0, -15, 143)


def test_checkpoint_option(direct, pair, place):
    source = tw.make_file(os.path.join(place, "file"), 1_000_000)
    p = pair(direct())
    last = tw.fields(tw.json_lines(p.send("--json", "--checkpoint", "1", source))[-1])
    assert last["checkpointFrequencySeconds"] == 1


def test_plain_lines_without_a_terminal(link, pair, place):
    source = tw.make_file(os.path.join(place, "file"), 6_000_000)
    p = pair(link(rate="20M", delay="5ms"))
    text = p.send(source).text()
    assert "\r" not in text and "\x1b" not in text
    assert "Mbit/s" in text


def test_progress_on_a_terminal(link, pair, place):
    source = tw.make_file(os.path.join(place, "file"), 6_000_000)
    p = pair(link(rate="20M", delay="5ms"))
    child, terminal = pty.fork()
    if child == 0:
        environment = dict(os.environ, TERM="xterm", **p.left.environment())
        command = p.network.left.inside([tw.TRADEWIND, "send", source, p.receiver.url()])
        os.execvpe(command[0], command, environment)
    shown, deadline = b"", tw.deadline(20)
    try:
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 0.5)[0]:
                continue
            piece = os.read(terminal, 65536)
            if not piece:
                break
            shown += piece
    except OSError:
        pass    # the terminal's way to say that it was hung up
    finally:
        os.close(terminal)
        if time.monotonic() >= deadline:
            os.kill(child, 9)
        status = os.waitpid(child, 0)[1]
    assert os.waitstatus_to_exitcode(status) == 0, shown
    text = shown.decode()
    assert text.count("\r") >= 3
    for pattern in (r"\d+ ?%", r"[Mk]bit/s", r"\d ?ms"):
        assert re.search(pattern, text), "%s is not in %r" % (pattern, text)


def test_identity_is_made_once_and_private(tmp_path):
    side = tw.Side(tmp_path / "home")
    first = side.run("keygen")
    assert first.code == 0, first.text()
    files = [os.path.join(folder, name)
             for folder, _, names in os.walk(side.home) for name in names]
    assert files and all(stat.S_IMODE(os.stat(path).st_mode) == 0o600 for path in files)
    key = re.search(r"[A-Za-z0-9_-]{43}", first.out().decode()).group()
    before = {path: content(path) for path in files}
    # says what there is or refuses, but never replaces it
    assert side.run("keygen").code in (0, 1)
    assert {path: content(path) for path in files} == before
    # what is printed is the public one
    assert not re.search(rb"private.*" + key.encode(), b"".join(before.values()))
    side.close()


def test_first_use_makes_an_identity_that_stays(direct, pair):
    p = pair(direct())
    key = p.receiver.key
    p.receiver.process.kill()
    p.receiver.start()
    assert p.receiver.key == key


@pytest.mark.parametrize("arguments", [("help",), ("--help",), ("send", "--help"),
                                       ("receive", "--help"),
                                       ("keygen", "--help"), ("help", "send")])
def test_help(tmp_path, arguments):
    side = tw.Side(tmp_path / "home")
    process = side.run(*arguments)
    text = process.out().decode()
    assert process.code == 0 and not process.err()
    first_option = text.find("\n  --")
    assert "tradewind" in text and (first_option < 0 or text.find("tradewind ") < first_option)
    if "send" in arguments:
        for option in ("--rate", "--rate-min", "--rate-max", "--rate-control", "--cipher",
                       "--overwrite", "--include",
                       "--exclude", "--checkpoint", "--json"):
            assert option in text
    if "receive" in arguments:
        for option in ("--port", "--min-cipher", "--once"):
            assert option in text
    side.close()


@pytest.mark.parametrize("command", ["send", "receive", "server", "api", "status", "top", "relay",
                                     "doctor", "bench", "keygen"])
def test_the_manual_knows_every_option(tmp_path, command):
    """Its own page, or the one of the whole program."""
    side = tw.Side(tmp_path / "home")
    told = side.run(command, "--help")
    assert told.code == 0
    options = re.findall(r"^  (--[a-z0-9-]+)", told.out().decode(), re.MULTILINE)
    side.close()
    assert options
    own = os.path.join(tw.ROOT, "docs", "man", "tradewind-%s.1" % command)
    page = own if os.path.exists(own) else os.path.join(tw.ROOT, "docs", "man", "tradewind.1")
    with open(page, encoding="utf-8") as file:
        manual = file.read().replace("\\-", "-")
    words = set(re.findall(r"--[a-z0-9-]+", manual))
    assert [option for option in options if option not in words] == []
