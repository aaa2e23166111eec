"""The clients against servers that run: the Python module, the C library as it is installed, and the
console.
"""
import json
import os
import subprocess
import time

import pytest

import service
import tw

from tradewind import InvalidParameter, NotAuthenticated, NotFound, NotPermitted, Tradewind

RATE = 8000             # kbit/s: slow enough to be looked at


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A server that sends and one that receives, for the whole file."""
    with service.services(tmp_path_factory.mktemp("clients")) as (left, right):
        yield left, right


def console(server, *arguments, code=0):
    done = subprocess.run([tw.TRADEWIND, arguments[0], "--socket", server.socket,
                           *map(str, arguments[1:])], capture_output=True, timeout=30, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout


def test_python_sends_and_watches(pair, tmp_path):
    left, right = pair
    source = tw.make_file(str(tmp_path / "film"), 3_000_000)
    with left.api() as api, api.events(quiet=20) as events:
        there = left.destination(api, right, sendRateMax=RATE)
        assert left.destination(api, right, sendRateMax=RATE).destinationId == there.destinationId
        transfer = left.send(api, there, source + ":film", destinationPath="in",
                             userData={"title": "Ümläut 🚢"}, clientRequestId="film-1")
        again = api.send.createTransfer(manifestId=transfer.manifestId,
                                        destinationId=there.destinationId, destinationPath="in",
                                        userData={"title": "Ümläut 🚢"}, clientRequestId="film-1")
        assert again.transferId == transfer.transferId
        seen = {}
        for event in events:
            if event.data.get("transferId") == transfer.transferId:
                seen[event.name] = event
                if event.name == "send.transferComplete":
                    break
        assert list(seen) == ["send.transferStarted", "send.transferComplete"]
        done = api.send.waitForTransfer(transferId=transfer.transferId)
        assert done.status == "complete" and done.bytesAcked == 3_000_000
        assert done.userData.title == "Ümläut 🚢"
        assert tw.same_bytes(source, os.path.join(right.received, "in", "film"))
        connection = api.send.getConnection(connectionId=there.connectionId)
        assert connection.encryptedConnectionState == "connected"
        assert connection.destinationPort == right.port and connection.roundTripTimeMs > 0
    # Another session, later, from where the first one was before.
    with left.api() as api:
        with api.events(after=seen["send.transferStarted"].id) as events:
            assert seen["send.transferComplete"].id in (event.id for _, event in
                                                        zip(range(50), events))


def test_python_errors_roles_and_batches(pair):
    left, _ = pair
    with left.api() as api:
        with pytest.raises(NotFound) as caught:
            api.send.getTransfer(transferId="0" * 32)
        assert caught.value.parameter == "transferId" and caught.value.code
        with pytest.raises(InvalidParameter) as caught:
            api.send.createDestination(destinationAdress="x")
        assert caught.value.parameter == "destinationAdress"
        with pytest.raises(InvalidParameter) as caught:
            api.sleep(milliseconds="soon")
        assert caught.value.parameter == "milliseconds"
        with pytest.raises(NotPermitted):
            api.recv.getSources()
        api.superuser()
        assert api.recv.getSources() == []
        assert api.wait(api.recv.getTransfersAsync()) == []
        with api.batch() as batch:
            info, echo = batch.getServerInfo(), batch.echo(text="x")
            missing = batch.send.getManifest(manifestId="0" * 32)
        assert info.result().publicKey == left.key and echo.result() == "x"
        with pytest.raises(NotFound):
            missing.result()
        assert "tradewind_" in api.metrics() and "createTransfer" in dir(api.send)
    with Tradewind("127.0.0.1", left.api_port).api() as api:
        assert api.getServerInfo().publicKey == left.key
        with pytest.raises(NotAuthenticated):
            api.send.getTransfers()
    with Tradewind("127.0.0.1", left.api_port, user="nobody-here", password="x").api() as api:
        with pytest.raises(NotAuthenticated):
            api.send.getTransfers()


def test_python_events_outlive_a_restart(tmp_path):
    with service.services(tmp_path, 1) as (server,):
        with server.api() as api:
            server.destination(api, server)
            with api.events(after=0, away=30) as events:
                before = next(event for event in events if event.name == "send.destinationCreated")
                server.kill()
                server.start()
                # The session went with the old server, the account is known to the new one.
                other = server.destination(api, server, userData={"number": 2})
                after = next(event for event in events if event.name == "send.destinationCreated")
    assert after.data.destinationId == other.destinationId and after.id > before.id


def test_events_from_now_on_outlive_a_restart_too(tmp_path):
    """What happens between the break and the next connection is not lost, though no event was seen."""
    with service.services(tmp_path, 1) as (server,):
        with server.api() as api, api.events(away=30, quiet=20) as events:
            server.kill()
            server.start()
            made = server.destination(api, server)
            assert next(events).data.destinationId == made.destinationId


def compiler():
    """As the library was built: a sanitized one wants the same of its program."""
    told = json.loads(subprocess.run(["meson", "introspect", tw.BUILD, "--buildoptions"],
                                     check=True, timeout=60, capture_output=True).stdout)
    sanitize = next(option["value"] for option in told if option["name"] == "b_sanitize")
    return ["cc"] if sanitize == "none" else ["clang", "-fsanitize=" + sanitize]


def test_c_library_as_it_is_installed(pair, tmp_path):
    left, right = pair
    with left.api() as api:
        left.destination(api, right, sendRateMax=RATE)
        names = [event.name for event, _ in zip(api.events(after=0, quiet=5), range(2))]
    root = str(tmp_path / "root")
    subprocess.run(["meson", "install", "-C", tw.BUILD, "--no-rebuild", "--quiet", "--destdir",
                    root], check=True, timeout=60, capture_output=True)
    found = [folder for folder, _, files in os.walk(root) if "tradewind-client.pc" in files]
    assert len(found) == 1
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "tradewind-client"], check=True, timeout=20, text=True,
        capture_output=True, env={**os.environ, "PKG_CONFIG_SYSROOT_DIR": root,
                                  "PKG_CONFIG_PATH": found[0]}).stdout.split()
    # The sysroot goes in front of what jansson names too, where it is not.
    flags = [flag for flag in flags if not flag.startswith("-I" + root + "/usr/include")]
    probe = str(tmp_path / "probe")
    build = subprocess.run(
        [*compiler(), "-std=c11", "-Wall", "-Wextra", "-Werror", "-o", probe,
         os.path.join(tw.ROOT, "tests", "e2e", "client_probe.c"), *flags],
        timeout=60, text=True, capture_output=True)
    assert build.returncode == 0, build.stderr
    done = subprocess.run([probe, left.socket, "2"], timeout=60, text=True, capture_output=True,
                          env={**os.environ, "LD_LIBRARY_PATH": os.path.dirname(found[0])})
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == names


def test_console_sees_a_transfer_run(pair, tmp_path):
    left, right = pair
    source = tw.make_file(str(tmp_path / "slow"), 30_000_000)
    with left.api() as api:
        there = left.destination(api, right, sendRateMax=RATE, userData={"for": "console"})
        transfer = left.send(api, there, source + ":slow", destinationPath="console")
        deadline = tw.deadline(20)
        while api.send.getTransfer(transferId=transfer.transferId).status != "active":
            assert time.monotonic() < deadline, service.last_lines(left)
            time.sleep(0.05)
        text = console(left, "status")
        assert "1 active" in text and "-> 127.0.0.1/console" in text, text
        text = console(right, "top", "--once")
        assert "<- 127.0.0.1/console" in text, text
        data = json.loads(console(left, "status", "--json"))
        assert transfer.transferId in [each["transferId"] for each in data["transfers"]]
        assert console(left, "api", "--field", "status", "suspendTransfer",
                       "--transferId", transfer.transferId) == "suspended\n"
        assert "suspended" in console(left, "status")
        console(left, "api", "setSendRate", "--destinationId", there.destinationId,
                "--sendRateMax=1000000")
        console(left, "api", "resumeTransfer", "--transferId=" + transfer.transferId)
        assert console(left, "api", "--field", "status", "waitForTransfer", "--transferId",
                       transfer.transferId) == "complete\n"
    assert tw.same_bytes(source, os.path.join(right.received, "console", "slow"))


def test_console_speaks_of_errors(pair):
    left, _ = pair
    done = subprocess.run([tw.TRADEWIND, "api", "--socket", left.socket, "getTransfer",
                           "--transferId=" + "0" * 32], capture_output=True, timeout=30, text=True)
    assert done.returncode == 1 and done.stdout == "" and "NotFound" in done.stderr
    done = subprocess.run([tw.TRADEWIND, "api", "--host", "127.0.0.1", "--api-control-port",
                           str(left.api_port), "getTransfers"], capture_output=True, timeout=30,
                          text=True)
    assert done.returncode == 4 and "--user" in done.stderr
