"""The service as its operator sees it: hooks, watched folders, and a clock that is stepped."""
import json
import os
import subprocess
import time

import pytest

import tw
from apiserver import Server

TEN_YEARS = 10 * 365 * 86400
BURST = 10000


@pytest.fixture
def close_all():
    opened = []
    yield opened.append
    for server in reversed(opened):
        server.close()


def until(condition, limit=60):
    deadline = tw.deadline(limit)
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --------------------------------------------------------------------------------------------------
# Hooks

SCRIPT = """#!/bin/sh
# One file for each run: its name, its arguments a line each, then what it reads.
out=$(mktemp "%s/$TRADEWIND_EVENT.XXXXXX")
{ for each in "$@"; do echo "$each"; done; echo --; cat; } > "$out"
mv "$out" "$out.done"
"""

EVENTS = ["launch", "send.destinationCreated", "send.destinationDeleted", "send.transferStarted",
          "send.transferComplete", "send.transferError", "recv.transferStarted",
          "recv.transferComplete", "recv.transferError", "recv.fileComplete"]


class Hooks:
    """A folder of hooks for every event, and what they were called with."""

    def __init__(self, place):
        self.folder, self.seen = os.path.join(place, "hooks"), os.path.join(place, "seen")
        os.makedirs(self.folder)
        os.makedirs(self.seen)
        # They run as whoever owns what happened: not always as whoever started the server.
        os.chmod(place, 0o755)
        os.chmod(self.seen, 0o1777)
        for event in EVENTS:
            path = os.path.join(self.folder, event)
            with open(path, "w") as file:
                file.write(SCRIPT % self.seen)
            os.chmod(path, 0o755)

    def calls(self, event):
        """[(arguments, entry)] of all runs that are over."""
        found = []
        for name in sorted(os.listdir(self.seen)):
            if name.rsplit(".", 2)[0] == event and name.endswith(".done"):
                with open(os.path.join(self.seen, name)) as file:
                    words, entry = file.read().split("--\n", 1)
                found.append((words.splitlines(), json.loads(entry)))
        return found

    def wait(self, event):
        until(lambda: self.calls(event))
        return self.calls(event)[0]


def test_every_hook(tmp_path, place, close_all):
    os.chmod(place, 0o755)
    left, right = Hooks(os.path.join(place, "l")), Hooks(os.path.join(place, "r"))
    here = Server(os.path.join(tmp_path, "here"), "--trigger-dir", left.folder)
    close_all(here)
    there = Server(os.path.join(tmp_path, "there"), "--trigger-dir", right.folder)
    close_all(there)
    port = there.info["receiver"]["ports"][0]
    address = "127.0.0.1:%d" % port

    words, entry = left.wait("launch")
    assert words == [str(here.port)]
    assert entry["_event"] == "launch"

    destination = here.destination(there)
    words, entry = left.wait("send.destinationCreated")
    assert words[0] == address
    assert entry["destinationId"] == destination["destinationId"]

    source = tw.make_file(os.path.join(tmp_path, "film; rm -rf $HOME"), 3 * tw.MIB)
    manifest = here.manifest(source, name="film")
    sent = here.api.call("createTransfer", manifestId=manifest["manifestId"],
                         destinationId=destination["destinationId"], destinationPath="a b")
    number = sent["transferId"]
    for event in ("send.transferStarted", "send.transferComplete"):
        words, entry = left.wait(event)
        assert words[:3] == [number, address, "a b"], event
        assert entry["_event"] == event and entry["transferId"] == number
    assert entry["status"] == "complete" and entry["bytesDurable"] == 3 * tw.MIB
    for event in ("recv.transferStarted", "recv.transferComplete"):
        words, entry = right.wait(event)
        assert words[0] == entry["transferId"]
        assert words[1] == "127.0.0.1:%d" % entry["sourcePort"]
        assert words[2] == "a b"
    words, _ = right.wait("recv.fileComplete")
    assert len(words) == 1 and words[0].endswith("film")

    # One that fails there, where its folder is a file, and is tried again here until we give up.
    with open(os.path.join(there.received, "blocked"), "w") as file:
        file.write("in the way")
    failed = here.api.call("createTransfer", manifestId=manifest["manifestId"],
                           destinationId=destination["destinationId"], destinationPath="blocked")
    words, entry = right.wait("recv.transferError")
    assert words[2] == "blocked" and words[3] == entry["errorMessage"]
    here.api.call("failTransfer", transferId=failed["transferId"], errorMessage="enough of it")
    words, entry = left.wait("send.transferError")
    assert words == [failed["transferId"], address, "blocked", "enough of it"]
    assert entry["status"] == "error"

    here.api.call("deleteDestination", destinationId=destination["destinationId"], force=True)
    words, _ = left.wait("send.destinationDeleted")
    assert words[0] == address
    assert words[1].startswith("127.0.0.1:")        # the socket that it was sent from


# --------------------------------------------------------------------------------------------------
# Watched folders


def test_burst_into_a_watched_folder(tmp_path, close_all):
    """Ten thousand files, more than inotify's queue may hold, while it is being looked at."""
    here = Server(os.path.join(tmp_path, "here"))
    close_all(here)
    there = Server(os.path.join(tmp_path, "there"))
    close_all(there)
    destination = here.destination(there)
    folder = os.path.join(tmp_path, "watched")
    os.makedirs(folder)
    watch = here.api.call("createWatch", srcPath=folder, settleSeconds=1, intervalSeconds=2,
                          destinationId=destination["destinationId"], destinationPath="out")
    tw.make_small_files(os.path.join(folder, "burst"), BURST, 20)

    def sent():
        told, = [each for each in here.api.call("getWatches")
                 if each["watchId"] == watch["watchId"]]
        return told["filesSent"]

    until(lambda: sent() >= BURST)
    assert sent() == BURST
    assert tw.differences(folder, os.path.join(there.received, "out"), times=False) == []


# --------------------------------------------------------------------------------------------------
# Time


def test_clock_stepped_by_years(tmp_path, close_all):
    """Differences within a transfer stay exact, and nothing fails or expires because of it."""
    shim, step = os.path.join(tmp_path, "shim.so"), os.path.join(tmp_path, "step")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clock_shim.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, source], check=True, timeout=60)

    def turn_clock(seconds):
        with open(step, "r+" if os.path.exists(step) else "w") as file:
            file.write("%-31d" % seconds)

    turn_clock(0)
    os.environ["LD_PRELOAD"], os.environ["CLOCK_STEP"] = shim, step
    try:
        here = Server(os.path.join(tmp_path, "here"))
    finally:
        del os.environ["LD_PRELOAD"], os.environ["CLOCK_STEP"]
    close_all(here)
    there = Server(os.path.join(tmp_path, "there"))
    close_all(there)
    destination = here.destination(there, sendRateMax=40000)
    manifest = here.manifest(tw.make_file(os.path.join(tmp_path, "film"), 10 * tw.MIB))
    began = time.time()
    transfer = here.api.call("createTransfer", manifestId=manifest["manifestId"],
                             destinationId=destination["destinationId"])["transferId"]

    def told():
        return here.api.call("getTransfer", transferId=transfer)

    until(lambda: told()["bytesSent"] > tw.MIB)
    turn_clock(TEN_YEARS)
    # The server believes it: what begins now is of then.
    later = here.destination(there, sendRateMax=50000)
    entry = here.api.call("getEventLog", afterId=0)[-1]
    assert entry["destinationId"] == later["destinationId"]
    assert entry["_timestamp"] / 1e6 > began + TEN_YEARS - 60
    time.sleep(0.5)
    turn_clock(-TEN_YEARS)
    until(lambda: told()["status"] != "active")
    took = time.time() - began
    transfer = told()
    assert transfer["status"] == "complete"
    assert began - 1 < transfer["requestTime"] / 1e6 < began + took
    assert transfer["requestTime"] <= transfer["queueTime"] <= transfer["startTime"]
    assert 1 < (transfer["endTime"] - transfer["startTime"]) / 1e6 < took + 1
    assert tw.same_bytes(os.path.join(tmp_path, "film"), os.path.join(there.received, "copy"))
