"""Many transfers at one server, a small version of bench/api/scale.py: what is counted is judged,
how long it takes is told (pytest -s).
"""
import contextlib
import os
import sys

import tw

sys.path.insert(0, os.path.join(tw.ROOT, "bench", "api"))
import scale  # noqa: E402

ACTIVE, WAITING, DESTINATIONS = 60, 600, 6
IDLE_KIB = 16                   # a quarter of what is promised


def check_all_there(crowd):
    """Every job is there under its number, in its place of the order of creation; so many run as
    may, of each destination the oldest."""
    there = crowd.all()
    assert list(there) == crowd.ids
    for number, transfer in enumerate(there.values()):
        assert transfer["userData"] == {"number": number}
        assert transfer["destinationPath"] == "job-%05d" % number
        assert transfer["destinationId"] == crowd.destinations[number % DESTINATIONS]
        assert transfer["status"] == ("active" if number < ACTIVE else "pending"), transfer


def check_connections(crowd):
    connections = crowd.caller.call("getConnections")
    assert len(connections) == DESTINATIONS
    for connection in connections:
        assert connection["encryptedConnectionState"] == "connected"
        assert connection["numTransfersQueued"] == WAITING // DESTINATIONS


def check_pages(crowd):
    """Page by page gives what the whole list gives."""
    found = []
    while True:
        page = crowd.caller.call("getTransfers", offset=len(found), limit=100)
        assert len(page) <= 100
        if not page:
            break
        found += [transfer["transferId"] for transfer in page]
    assert found == crowd.ids


def test_many_transfers(tmp_path):
    with contextlib.closing(scale.Crowd(str(tmp_path), DESTINATIONS, ACTIVE, WAITING)) as crowd:
        crowd.create(ACTIVE)
        crowd.wait_running()
        before = crowd.settled()
        crowd.create(WAITING)
        each = (crowd.settled() - before) / WAITING
        assert each <= IDLE_KIB, "%.1f KiB for a job that waits" % each
        check_all_there(crowd)
        check_connections(crowd)
        check_pages(crowd)
        answers, runs = crowd.restart()
        check_all_there(crowd)
        check_connections(crowd)
        found = crowd.latencies(10)
        assert len(crowd.ids) == ACTIVE + WAITING + 10
        assert crowd.lost() == []
    every = [value for values in found.values() for value in values]
    print("%.1f KiB for a job that waits; answers %.2f s after kill -9, all run after %.2f s; "
          "99 %% of calls within %.1f ms"
          % (each, answers, runs, scale.percentile(every, 99)))
