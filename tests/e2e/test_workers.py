"""A server with several data workers behind one port: many senders at once, whose address changes;
a sender that was killed and comes back from elsewhere, a server that was killed."""
import os
import time

import pytest

import tw
from apiserver import Server

pytestmark = pytest.mark.skipif(not tw.privileged(), reason="network namespaces need root")

WORKERS = 4
SIZE = 8 * tw.MIB
LIMIT_KBPS = 80_000


class World:
    def __init__(self, place):
        self.place = os.fspath(place)
        self.link = tw.Direct()
        self.server = Server(os.path.join(self.place, "server"), "--workers", str(WORKERS),
                             "--recv-port", "8886", namespace=self.link.right,
                             host=self.link.right_ip)
        self.sides = [tw.Side(os.path.join(self.place, "sender-%d" % i), self.link.left)
                      for i in range(WORKERS)]
        self.file = tw.make_file(os.path.join(self.place, "file"), SIZE)
        self.api = self.superuser()
        self.place_now = 1

    def superuser(self):
        session = self.server.session()
        session.call("superuser")
        return session

    def close(self):
        for side in self.sides:
            side.close()
        self.server.close()
        self.link.close()

    def send(self, i, *options):
        return self.sides[i].start("send", *options, self.file, "tw://%s:8886/%d#%s" % (
            self.link.right_ip, i, self.server.info["publicKey"]))

    def arriving(self):
        return {one["destinationPath"]: one
                for one in self.api.later("recv.getTransfersAsync")}

    def until(self, condition, limit=60):
        deadline = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def whole(self, i):
        return tw.same_bytes(self.file, os.path.join(self.server.received, str(i), "file"))

    def move(self):
        """The senders' machine gets another address in the place of the one it has."""
        network = self.link.left_ip.rsplit(".", 1)[0]
        before, self.place_now = self.place_now, 3 if self.place_now == 1 else self.place_now + 1
        left = self.link.left.name
        tw.ip("-n", left, "address", "add", "%s.%d/24" % (network, self.place_now), "dev", "eth0")
        tw.ip("-n", left, "address", "del", "%s.%d/24" % (network, before), "dev", "eth0")
        # The second of two is gone with the first one otherwise.
        tw.ip("-n", left, "address", "replace", "%s.%d/24" % (network, self.place_now),
              "dev", "eth0")
        return "%s.%d" % (network, self.place_now)

    def seconds_of_workers(self):
        """How long each thread has run, by the kernel."""
        pid = self.server.process.pid
        with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
            tasks = "/proc/%s/task" % file.read().split()[0]
        seconds = []
        for task in os.listdir(tasks):
            with open(os.path.join(tasks, task, "comm")) as file:
                if file.read().strip() != "worker":
                    continue
            with open(os.path.join(tasks, task, "schedstat")) as file:
                seconds.append(int(file.read().split()[0]) / 1e9)
        return seconds


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.close()


def test_many_senders(world):
    """Each has a worker, all are shown, together they keep to the limit, and the new address of all
    of them finds the same workers."""
    world.api.call("updateBandwidthLimits", incomingRateLimit=LIMIT_KBPS)
    idle = world.seconds_of_workers()
    assert len(idle) == WORKERS
    begin = time.monotonic()
    senders = [world.send(i, "--json") for i in range(WORKERS)]
    world.until(lambda: len(world.arriving()) == WORKERS and
                all(one["bytesReceived"] > SIZE / 64 for one in world.arriving().values()))
    seen = world.arriving()
    address = world.move()
    # Nobody has had it all.
    assert max(one["bytesReceived"] for one in seen.values()) < SIZE
    moved = set()
    for sender in senders:
        while sender.running():
            moved.update(source["destinationPublicKey"]
                         for source in world.api.later("recv.getSourcesAsync")
                         if source["sourceIP"] == address and
                         source["encryptedConnectionState"] == "connected")
            time.sleep(0.05)
            assert time.monotonic() < begin + 90
        assert sender.code == 0, sender.text()
    taken = time.monotonic() - begin
    assert len(moved) == WORKERS
    assert all(world.whole(i) for i in range(WORKERS))
    # Over seconds: peers are told of their shares, and a new one keeps to nothing at first.
    assert WORKERS * SIZE * 8 / 1000 / taken < LIMIT_KBPS * 1.2
    busy = [after - before for before, after in zip(idle, world.seconds_of_workers())]
    assert min(busy) > max(busy) / 10, busy


def test_return(world):
    """Killed and back from another address, again and again: it goes on from what has arrived,
    while its old connection is not known to be dead; and behind a server that was killed."""
    for lap in range(1, 4):
        sender = world.send(0, "--rate", "30M")
        wanted = lap * SIZE / 5
        world.until(lambda: any(one["bytesReceived"] > wanted
                                for one in world.arriving().values()))
        sender.kill()
        world.move()
    # One that is there when the server dies.
    sender = world.send(0, "--rate", "30M", "--json")
    world.until(lambda: any(one["bytesReceived"] > 4 * SIZE / 5
                            for one in world.arriving().values()))
    world.server.process.kill()
    world.server.process.wait(20)
    world.server.start()
    sender.wait(60)
    assert sender.code == 0, sender.text()
    assert world.whole(0)
    # Not from the start each time.
    assert tw.fields(tw.json_lines(sender)[-1])["bytesSent"] < SIZE * 3 / 4
