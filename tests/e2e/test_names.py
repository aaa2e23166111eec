"""Names are data: what a stranger calls his files, folders and data reaches no terminal, no log and
no answer in a form that one of them would obey.
"""
import json
import os
import re
import socket
import subprocess

import pytest

import tw
from apiserver import Server

ESCAPES = ["\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b31m", "\x85next", "line\nfeed",
           "\r\rover", "bell\x07", "\x7fdel", "\u202etxt.exe", "\u2066iso\u2069", "\u061cmark",
           "\u2028line", "plain ümläut 🚢"]
BYTES = [b"\xff\xfe", b"half\xc3", b"\xed\xa0\x80"]
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def check(output, what, lines=True):
    """Valid UTF-8, and of controls line feeds alone."""
    text = output.decode("utf-8") if isinstance(output, bytes) else output
    found = FORBIDDEN.search(text)
    assert not found, (what, ascii(text[max(0, found.start() - 80):found.end() + 20]))
    if lines:
        assert "\nfeed" not in text, what
    return text


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = os.fsencode(tmp_path_factory.mktemp("names") / "from")
    os.makedirs(root)
    for name in [name.encode() for name in ESCAPES] + BYTES:
        with open(os.path.join(root, name), "wb") as file:
            file.write(name)
    return os.fsdecode(root)


def test_send_and_receive(source, tmp_path):
    side = tw.Side(tmp_path / "home")
    folder = tmp_path / "in"
    os.makedirs(folder)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        receiver = tw.Receiver(side, folder, "127.0.0.1", "--json", port=port)
        missing = os.path.join(source, "\x1b[31mmissing")
        for arguments in ([], ["--json"]):
            sent = side.run("send", *arguments, source, receiver.url("\u202eto"), limit=60)
            assert sent.code == 0, sent.text()
            check(sent.out(), "send")
            check(sent.err(), "send")
        for arguments in ([], ["--json"]):
            sent = side.run("send", *arguments, missing, receiver.url(), limit=60)
            assert sent.code != 0
            assert "missing" in check(sent.err() + sent.out(), "send of what is not there")
        # What the receiver cannot write: its sentence comes back, and goes out here.
        taken = folder / "taken\x1b[1m"
        taken.write_text("in the way")
        sent = side.run("send", source, receiver.url("taken\x1b[1m"), limit=60)
        check(sent.err() + sent.out(), "send to where a file is")
        check(receiver.process.out(), "receive")
        check(receiver.process.err(), "receive")
        assert len(os.listdir(os.fsencode(folder / "\u202eto" / "from"))) == len(ESCAPES + BYTES)
    finally:
        side.close()


HOOK = """#!/bin/sh
printf 'args %s\\n' "$*"
cat
"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    place = tmp_path_factory.mktemp("servers")
    hooks = place / "hooks"
    hooks.mkdir(mode=0o755)
    for event in ("send.transferComplete", "send.transferError", "recv.transferComplete",
                  "recv.fileComplete"):
        (hooks / event).write_text(HOOK)
        (hooks / event).chmod(0o755)
    made = [Server(os.fspath(place / name), "--trigger-dir", os.fspath(hooks), "--trigger-log",
                   os.fspath(place / (name + "-hooks.log")), "--server-name", "\x1b[5mn\u202eame")
            for name in ("left", "right")]
    yield made + [place]
    for server in made:
        server.close()


def console(server, *arguments):
    done = subprocess.run([tw.TRADEWIND, arguments[0], "--socket", server.socket,
                           *arguments[1:]], capture_output=True, timeout=30)
    check(done.stderr, arguments)
    return check(done.stdout, arguments)


def test_everything_of_a_server(source, servers):
    left, right, place = servers
    nasty = "".join(ESCAPES)
    data = {name: [name, {name: name}] for name in ESCAPES}
    destination = left.destination(right, userData=data)
    manifest = left.api.call("createManifest", fileMappings=[{"srcPath": source,
                                                             "destPath": "to"}], userData=data)
    left.api.call("waitForManifest", manifestId=manifest["manifestId"])
    for path in ("in\x1b[31m\u202e", "taken\x1b[1m"):
        transfer = left.api.call("createTransfer", manifestId=manifest["manifestId"],
                                 destinationId=destination["destinationId"],
                                 destinationPath=path, userData=data)
        done = left.api.call("waitForTransfer", transferId=transfer["transferId"])
        assert done["userData"] == data, "and it is still what it was"
    # Too slow to be complete before.
    gone = left.api.call("createTransfer", manifestId=manifest["manifestId"],
                         destinationId=destination["destinationId"], sendRateMax=8)
    left.api.call("failTransfer", transferId=gone["transferId"], errorMessage=nasty)
    left.api.call("createAPIToken", description=nasty, userData=data)
    left.api.call("createSharedToken", manifestId=manifest["manifestId"], description=nasty)
    for command in (["status"], ["status", "--json"], ["top", "--once"],
                    ["top", "--once", "--json"],
                    ["api", "getTransfers"],
                    ["api", "--compact", "getManifestFiles",
                     "--manifestId=" + manifest["manifestId"]],
                    ["api", "getAPITokens"], ["api", "getSharedTokens"], ["api", "getServerInfo"],
                    ["api", "getDestinations"], ["api", "getEventLog"],
                    ["api", "lsAsync", "--path=" + source],
                    ["api", "--field", "entries.0.name", "lsAsync", "--path=" + source],
                    ["api", "--events", "--after", "0", "--limit", "5"],
                    ["api", nasty], ["api", "echo", "--text=" + nasty],
                    ["api", "--field", nasty, "getServerInfo"]):
        console(left, *command)
    console(right, "api", "--superuser", "recv.getTransfersAsync")
    # Whatever reads the interface without the console: an answer is fit to be shown as it is.
    for method in ("getTransfers", "getAPITokens", "getEventLog", "getManifests", "getServerInfo"):
        status, body = left.api.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}})
        assert status == 200
        check(body, method)
    check(left.api.get("/metrics")[1], "metrics")
    answer = left.api.post({"jsonrpc": "2.0", "id": nasty, "method": nasty,
                            "params": {nasty: nasty}})[1]
    assert json.loads(check(answer, "a wrong call"))["id"] == nasty
    for server, name in ((left, "left"), (right, "right")):
        log = check(server.log(), "the log of " + name)
        assert "transferComplete" in log and r"in\x1B[31m\u{202E}" in log
        with open(place / (name + "-hooks.log"), "rb") as file:
            check(file.read(), "the triggers' log of " + name)


def test_doctor_options_and_relay(tmp_path):
    side = tw.Side(tmp_path / "home")
    nasty = "\x1b[31m\u202e\x9b"
    try:
        for arguments in (["doctor", "--folder", os.fspath(tmp_path / nasty)],
                          ["doctor", "tw://%s/#x" % nasty], ["send", nasty, "tw://%s" % nasty],
                          ["receive", "--bind", nasty, nasty], ["relay", "--name", nasty],
                          ["relay", "--control-port", nasty], ["server", "--config", nasty],
                          ["server", "--api-host", nasty], ["server", nasty], [nasty],
                          ["api", "--host", nasty, "echo"], ["server", "--trigger-dir", nasty,
                                                             "--min-cipher", nasty],
                          ["keygen", nasty], ["status", "--socket", nasty],
                          ["server", "--api-certificate", nasty, "--api-key", nasty,
                           "--persistent-state-dir", os.fspath(tmp_path / "state"),
                           "--recv-dir", os.fspath(tmp_path / "in")]):
            done = side.run(*arguments, limit=30)
            assert done.code, arguments
            check(done.err() + done.out(), arguments)
    finally:
        side.close()
