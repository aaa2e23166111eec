"""`kill -9` of servers at random moments: while they send, receive, answer and start.

What was answered is there after the restart, everything completes by itself, and what can be seen
under a final name is whole at every moment. SERVICE_KILLS and SERVICE_SEED say how many and which;
how soon it goes on again is told (pytest -s), not judged: that is the machine's affair too.
"""
import os
import random
import shutil
import threading
import time

import tw
from service import Service, last_lines         # also makes the client module known
from tradewind import NotFound, TradewindError

KILLS = int(os.environ.get("SERVICE_KILLS", "6"))
SEED = int(os.environ.get("SERVICE_SEED", "1"))
RATE_KBPS = 24_000
UNFINISHED = 6                  # jobs under way at a time
GOING_LIMIT = 30


class Jobs(threading.Thread):
    """Makes jobs as long as it is told to. What the kill of a server leaves unanswered it asks for
    again with the same clientRequestId, so there must be as many in the end as it has answers."""

    def __init__(self, sender, manifest, destination):
        super().__init__()
        self.sender, self.manifest, self.destination = sender, manifest, destination
        self.answered = {}              # transfer id: number
        self.finished = 0
        self.enough = threading.Event()
        self.failure = None

    def create(self, number):
        with self.sender.api() as api:
            while not self.enough.is_set():
                made = api.send.createTransfer(
                    manifestId=self.manifest, destinationId=self.destination,
                    destinationPath="job-%d" % number, clientRequestId="job-%d" % number,
                    checkpointFrequencySeconds=1)
                self.answered[made.transferId] = number
                return

    def run(self):
        number = 0
        while not self.enough.is_set():
            if len(self.answered) - self.finished >= UNFINISHED:
                time.sleep(0.02)
                continue
            try:
                self.create(number)
                number += 1
            except NotFound as error:   # its destination or manifest would be lost
                self.failure = error
                return
            except (TradewindError, OSError):
                time.sleep(0.01)        # it is dead, or not up yet

    def stop(self):
        self.enough.set()
        self.join(60)


class Scene:
    """A sender, a receiver, jobs between them."""

    def __init__(self, place, seed):
        self.rng = random.Random(seed)
        self.source = os.path.join(place, "tree")
        os.makedirs(self.source)
        tw.make_small_files(os.path.join(self.source, "small"), 40, 3000, seed)
        tw.make_file(os.path.join(self.source, "large"), 1_200_000, seed)
        self.sender = self.receiver = self.jobs = None
        self.whole = set()              # numbers of jobs that were compared and taken away
        self.receiver = Service(os.path.join(place, "receiver"))
        self.sender = Service(os.path.join(place, "sender"), "--active-transfers", "3")
        with self.sender.api() as api:
            destination = self.sender.destination(api, self.receiver, sendRateMax=RATE_KBPS)
            manifest = api.send.createManifest(fileMappings=[self.source + ":tree"])
            manifest = api.send.waitForManifest(manifestId=manifest.manifestId)
        self.jobs = Jobs(self.sender, manifest.manifestId, destination.destinationId)
        self.jobs.start()

    def transfers(self):
        with self.sender.api() as api:
            return {transfer.transferId: transfer for transfer in api.send.getTransfers()}

    def copy(self, number):
        return os.path.join(self.receiver.received, "job-%d" % number, "tree")

    def look(self):
        """Everything answered is there; nothing unfinished is seen under a final name."""
        answered = dict(self.jobs.answered)
        there = self.transfers()
        missing = [number for found, number in answered.items() if found not in there]
        assert not missing, "jobs %s were answered and are lost" % missing
        for found, number in answered.items():
            transfer = there[found]
            assert transfer.status in ("pending", "active", "complete"), transfer
            if number not in self.whole:
                self.compare(number, transfer.status == "complete")
        self.jobs.finished = len(self.whole)

    def compare(self, number, complete):
        copy = self.copy(number)
        if not complete and not os.path.exists(copy):
            return
        found = tw.differences(self.source, copy, leftovers=not complete)
        if not complete:
            found = [text for text in found
                     if text.startswith(("other content", "other kind", "too much"))]
        assert found == [], "job %d: %s" % (number, found)
        if complete:
            shutil.rmtree(os.path.dirname(copy))
            self.whole.add(number)

    def kill(self):
        """One of them, and starts it again; maybe it dies once more while it starts."""
        victim = self.rng.choice((self.sender, self.receiver))
        victim.kill()
        while self.rng.random() < 0.25:
            victim.launch()
            time.sleep(self.rng.uniform(0, 0.25))
            victim.kill()
        started = time.monotonic()
        victim.start()
        return "sender" if victim is self.sender else "receiver", started

    def going(self):
        """Whether bytes arrive at the receiver that lives now, or none are left to send."""
        with self.receiver.api() as api:
            here = api.getServerInfo().serverId
        with self.sender.api() as api:
            connection = api.send.getConnections()[0]
            sent = sum(transfer.bytesSent for transfer in api.send.getTransfers())
        before, self.sent = self.sent, sent
        return (connection.encryptedConnectionState == "connected"
                and connection.lastDestinationServerId == here
                and before is not None and sent > before)

    def wait_going(self):
        deadline = tw.deadline(GOING_LIMIT)
        self.sent = None
        while not self.going():
            assert time.monotonic() < deadline, "it does not go on; the sender said:\n%s\nand " \
                "the receiver:\n%s" % (last_lines(self.sender), last_lines(self.receiver))
            time.sleep(0.02)

    def finish(self):
        """All complete by themselves, as many as were answered, and nothing is left over."""
        self.jobs.stop()
        assert not self.jobs.failure, self.jobs.failure
        deadline = tw.deadline(60)
        while True:
            self.look()
            there = self.transfers()
            if all(transfer.status == "complete" for transfer in there.values()):
                break
            assert time.monotonic() < deadline, [t for t in there.values()
                                                 if t.status != "complete"]
            time.sleep(0.1)
        self.look()
        numbers = sorted(int(t.destinationPath.rpartition("-")[2]) for t in there.values())
        # The last one may have been made without its answer having been heard.
        assert numbers == list(range(len(numbers))), "twice, or left out: %s" % numbers
        assert 0 <= len(numbers) - len(self.jobs.answered) <= 1
        for number in set(numbers) - self.whole:
            self.compare(number, True)
        assert tw.listing(self.receiver.received) == {}

    def close(self):
        if self.jobs:
            self.jobs.stop()
        for service in (self.sender, self.receiver):
            if service:
                service.close()


def test_killed_at_random_moments(tmp_path):
    scene = Scene(str(tmp_path), SEED)
    try:
        scene.wait_going()
        for number in range(KILLS):
            time.sleep(scene.rng.uniform(0, 0.6))
            who, started = scene.kill()
            scene.wait_going()
            print("kill %d: the %s; going again %.2f s after its start"
                  % (number, who, time.monotonic() - started), flush=True)
            scene.look()
        scene.finish()
        print("%d jobs, none lost, 0 bad files" % len(scene.whole))
    finally:
        scene.close()
