#!/usr/bin/python3
"""A server with thousands of transfers: how soon it answers, what a waiting job costs, how soon it
is there again after `kill -9`.

    bench/api/scale.py [--transfers 10000] [--active 1000] [--destinations 50] [--calls 500]
                       [--connections 1] [--restarts 3] [--place FOLDER] [--json FILE] [--check]

One server receives on loopback, the other sends to it by so many destinations, each throttled so
that the active ones stay active. Calls go over the Unix socket, one after another on each
connection, methods in random order; what is timed is from the request's first byte to the answer's
last. Prints a table; with --check it ends with 1 when a goal is missed. What else runs on the
machine counts too: the load is told with the results.
"""
import argparse
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../tests/e2e"))
import tw  # noqa: E402
from service import Service  # noqa: E402

CONTENT = 2 << 20               # bytes of each transfer
DESTINATION_KBPS = 200          # a thousand stay active for minutes
LATENCY_MS, IDLE_KIB, RESTART_S = 50, 64, 2
BATCH = 100                     # jobs asked for at a time
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Caller:
    """A keep-alive connection that reads as little of an answer as it can, to time the server and
    not itself."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)

    def post(self, body):
        """(Seconds, the answer's body)."""
        request = (b"POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                   b"Content-Length: %d\r\n\r\n" % len(body)) + body
        started = time.monotonic()
        self.socket.sendall(request)
        got = bytearray()
        while b"\r\n\r\n" not in got:
            self._more(got)
        head, _, rest = bytes(got).partition(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                      if line.lower().startswith(b"content-length:"))
        got = bytearray(rest)
        while len(got) < length:
            self._more(got)
        return time.monotonic() - started, bytes(got)

    def _more(self, got):
        piece = self.socket.recv(1 << 18)
        if not piece:
            raise ConnectionError("the server closed the connection after %r" % bytes(got[:200]))
        got += piece

    def timed(self, method, **parameters):
        """(Seconds, result)."""
        seconds, body = self.post(request(method, parameters))
        answer = json.loads(body)
        if "error" in answer:
            raise AssertionError("%s: %s" % (method, answer["error"]))
        return seconds, answer["result"]

    def call(self, method, **parameters):
        return self.timed(method, **parameters)[1]

    def batch(self, calls):
        """Results of [(method, parameters)] in one request."""
        body = b"[%s]" % b",".join(request(m, p, n) for n, (m, p) in enumerate(calls))
        answers = sorted(json.loads(self.post(body)[1]), key=lambda answer: answer["id"])
        assert len(answers) == len(calls) and all("result" in a for a in answers), answers[:3]
        return [answer["result"] for answer in answers]

    def close(self):
        self.socket.close()


def request(method, parameters, number=1):
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method,
                       "params": parameters}).encode()


def resident(service):
    """KiB of memory that its pages take now."""
    with open("/proc/%d/statm" % service.process.pid) as file:
        return int(file.read().split()[1]) * PAGE / 1024


def processor(service):
    """Seconds of processor time so far."""
    with open("/proc/%d/stat" % service.process.pid) as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def share(service, seconds):
    """Percent of a core that it takes now."""
    before, started = processor(service), time.monotonic()
    time.sleep(seconds)
    return 100 * (processor(service) - before) / (time.monotonic() - started)


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


class Crowd:
    """Two servers and what goes on between them. `active` and `transfers` are jobs that run and
    that wait; a job's number, in the order of creation, is in its userData."""

    def __init__(self, place, destinations, active, transfers, workers=()):
        assert active % destinations == 0, "as many active ones for each destination"
        self.counts = active, transfers
        self.rng = random.Random(1)
        self.ids = []
        self.receiver = Service(os.path.join(place, "receiver"), *workers)
        try:
            self.sender = Service(os.path.join(place, "sender"), "--active-transfers",
                                  str(active // destinations), *workers)
        except BaseException:
            self.receiver.close()
            raise
        self.caller = Caller(self.sender.socket)
        self.empty_kib = resident(self.sender)
        source = tw.make_file(os.path.join(place, "content"), CONTENT)
        manifest = self.caller.call("createManifest", fileMappings=[source + ":content"])
        manifest = self.caller.call("waitForManifest", manifestId=manifest["manifestId"])
        self.manifest = manifest["manifestId"]
        # They differ by a kbit/s: equal ones would be one destination.
        self.destinations = [self.caller.call(
            "createDestination", destinationAddress="127.0.0.1",
            destinationPort=self.receiver.port, destinationPublicKey=self.receiver.key,
            sendRateMax=DESTINATION_KBPS + number)["destinationId"]
            for number in range(destinations)]

    def job(self, number):
        return {"manifestId": self.manifest,
                "destinationId": self.destinations[number % len(self.destinations)],
                "destinationPath": "job-%05d" % number, "userData": {"number": number}}

    def create(self, count):
        """So many more jobs. What was answered is in `ids`."""
        end = len(self.ids) + count
        while len(self.ids) < end:
            numbers = range(len(self.ids), min(end, len(self.ids) + BATCH))
            made = self.caller.batch([("createTransfer", self.job(n)) for n in numbers])
            self.ids += [transfer["transferId"] for transfer in made]

    def all(self):
        """{id: Transfer} of everything there."""
        return {transfer["transferId"]: transfer for transfer in self.caller.call("getTransfers")}

    def running(self):
        """How many transfers run, and how many connections carry them."""
        found = self.caller.call("getTransfers", status="active")
        connections = self.caller.call("getConnections")
        return len(found), sum(connection["encryptedConnectionState"] == "connected"
                               for connection in connections)

    def wait_running(self, limit=120):
        """Until all run that should."""
        deadline = time.monotonic() + limit
        wanted = self.counts[0], len(self.destinations)
        while self.running() != wanted:
            assert time.monotonic() < deadline, "%s run, not %s" % (self.running(), wanted)
            time.sleep(0.05)

    def settled(self, limit=20):
        """KiB of memory once the active ones have read ahead what they may."""
        deadline, last = time.monotonic() + limit, 0
        while True:
            now = resident(self.sender)
            if abs(now - last) <= 256 or time.monotonic() > deadline:
                return now
            last = now
            time.sleep(1)

    def restart(self, limit=120):
        """`kill -9` and a new start; seconds until it answers, and until all run again."""
        self.caller.close()
        self.sender.kill()
        started = time.monotonic()
        self.sender.start()
        self.caller = Caller(self.sender.socket)
        self.caller.call("getServerInfo")
        answers = time.monotonic() - started
        self.wait_running(limit)
        return answers, time.monotonic() - started

    def lost(self):
        """Ids that were answered and are not there, in any state but those of the living."""
        there = self.all()
        return [found for found in self.ids
                if there.get(found, {}).get("status") not in ("pending", "active", "complete")]

    def kinds(self):
        some = self.rng.choice
        return [("getServerInfo", lambda: {}),
                ("getConnections", lambda: {}),
                ("getTransfer", lambda: {"transferId": some(self.ids)}),
                ("getTransfers", lambda: {"limit": 100,
                                          "offset": self.rng.randrange(len(self.ids))}),
                ("createTransfer", lambda: self.job(len(self.ids) + self.rng.randrange(10 ** 6)))]

    def latencies(self, calls, connections=1):
        """{method: milliseconds of each call}: `calls` of each on each connection."""
        found = {name: [] for name, _ in self.kinds()}
        made = []

        def work():
            caller = Caller(self.sender.socket)
            order = [kind for kind in self.kinds() for _ in range(calls)]
            self.rng.shuffle(order)
            for name, parameters in order:
                seconds, result = caller.timed(name, **parameters())
                found[name].append(seconds * 1000)
                if name == "createTransfer":
                    made.append(result["transferId"])
            caller.close()

        threads = [threading.Thread(target=work) for _ in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.ids += made
        return found

    def close(self):
        self.caller.close()
        self.sender.close()
        self.receiver.close()


def measure(options, place, say):
    """All figures as one dictionary."""
    result = {"load": os.getloadavg()[0], "cores": os.cpu_count(), "commit": commit()}
    with contextlib.closing(Crowd(place, options.destinations, options.active,
                                  options.transfers)) as crowd:
        result["cpu empty %"] = share(crowd.sender, 2)
        started = time.monotonic()
        crowd.create(options.active)
        crowd.wait_running()
        result["start of the active s"] = time.monotonic() - started
        active_kib = crowd.settled()
        result["KiB per active job"] = (active_kib - crowd.empty_kib) / options.active
        started = time.monotonic()
        crowd.create(options.transfers)
        result["jobs created per s"] = options.transfers / (time.monotonic() - started)
        result["KiB per idle job"] = (crowd.settled() - active_kib) / options.transfers
        crowd.wait_running()
        result["cpu full %"] = share(crowd.sender, 4)
        say("%d active and %d waiting; calls" % (options.active, options.transfers))
        used, began = processor(crowd.sender), time.monotonic()
        found = crowd.latencies(options.calls, options.connections)
        result["cpu under calls %"] = \
            100 * (processor(crowd.sender) - used) / (time.monotonic() - began)
        result["latency ms"] = {
            name: {"calls": len(values), "p50": percentile(values, 50),
                   "p99": percentile(values, 99), "most": max(values)}
            for name, values in found.items()}
        both = [value for values in found.values() for value in values]
        result["latency ms"]["all"] = {"calls": len(both), "p50": percentile(both, 50),
                                       "p99": percentile(both, 99), "most": max(both)}
        result["restarts s"] = []
        for _ in range(options.restarts):
            say("kill -9")
            answers, runs = crowd.restart()
            result["restarts s"].append({"answers": answers, "runs": runs})
            result["lost"] = result.get("lost", 0) + len(crowd.lost())
        result["KiB resident"] = crowd.settled()
        result["load after"] = os.getloadavg()[0]
    return result


def commit():
    done = subprocess.run(["git", "-C", HERE, "rev-parse", "--short", "HEAD"], timeout=20,
                          capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def show(result):
    print("%-16s %8s %10s %10s %10s" % ("", "calls", "p50 ms", "p99 ms", "most ms"))
    for name, row in result["latency ms"].items():
        print("%-16s %8d %10.2f %10.2f %10.2f"
              % (name, row["calls"], row["p50"], row["p99"], row["most"]))
    for name, value in result.items():
        if isinstance(value, (int, float)):
            print("%-24s %10.2f" % (name, value))
    for row in result["restarts s"]:
        print("restart: answers after %.2f s, everything runs after %.2f s"
              % (row["answers"], row["runs"]))


def good(result):
    return (result["latency ms"]["all"]["p99"] < LATENCY_MS and not result.get("lost")
            and result["KiB per idle job"] <= IDLE_KIB
            and all(row["answers"] < RESTART_S for row in result["restarts s"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--transfers", type=int, default=10000)
    parser.add_argument("--active", type=int, default=1000)
    parser.add_argument("--destinations", type=int, default=50)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--place")
    parser.add_argument("--json")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()

    def say(text):
        print("-- " + text, file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(dir=options.place) as place:
        result = measure(options, place, say)
    show(result)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(result, file, indent=1)
    return 1 if options.check and not good(result) else 0


if __name__ == "__main__":
    sys.exit(main())
