"""What a Connection says, held against views that do not come from the server: the emulated line's
delay and counters, the kernel's list of sockets, the queue, the other server, and the clock.
"""
import os
import re
import subprocess
import time

import pytest

import tw
from apiserver import Server

pytestmark = pytest.mark.skipif(not tw.privileged(), reason="network namespaces need root")

DELAY_MS = 50
OVERHEAD = 14 + 20 + 8          # Ethernet, IPv4 and UDP headers: the emulator counts frames


def slower(kbps):
    return int(tw.slower(kbps))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    place = tmp_path_factory.mktemp("connection")
    link = tw.Link(rate="200M", delay="%dms" % (DELAY_MS // 2))
    made = World(link, place)
    yield made
    made.close()


class World:
    def __init__(self, link, place):
        self.link, self.place = link, os.fspath(place)
        self.here = Server(os.path.join(self.place, "here"), namespace=link.left,
                           host=link.left_ip)
        self.there = Server(os.path.join(self.place, "there"), "--recv-port", "8886",
                            namespace=link.right, host=link.right_ip)
        self.file = tw.make_file(os.path.join(self.place, "film"), 40 * tw.MIB)
        self.manifest = self.here.manifest(self.file)
        # By the port that it has again after a restart.
        self.destination = self.here.api.call(
            "createDestination", destinationAddress=link.right_ip, destinationPort=8886,
            destinationPublicKey=self.there.info["publicKey"])
        self.id = self.destination["connectionId"]

    def close(self):
        self.here.close()
        self.there.close()
        self.link.close()

    def connection(self):
        return self.here.api.call("send.getConnection", connectionId=self.id)

    def send(self, **more):
        return self.here.api.call(
            "send.createTransfer", manifestId=self.manifest["manifestId"],
            destinationId=self.destination["destinationId"], **more)["transferId"]

    def transfer(self, transfer):
        return self.here.api.call("send.getTransfer", transferId=transfer)

    def rate(self, **more):
        return self.here.api.later("send.setSendRateAsync",
                                   destinationId=self.destination["destinationId"], **more)

    def until(self, condition, limit=20):
        """Polls a connection until it is as wanted; returns it."""
        deadline = tw.deadline(limit)
        while True:
            connection = self.connection()
            if condition(connection):
                return connection
            assert time.monotonic() < deadline, connection
            time.sleep(0.02)

    def cancel_all(self):
        for transfer in self.here.api.call("send.getTransfers"):
            if transfer["status"] in ("active", "pending", "suspended"):
                self.here.api.call("send.cancelTransfer", transferId=transfer["transferId"])

    def payload(self):
        """(time, bytes of UDP payload that have entered the line so far)."""
        forth = self.link.counters()["forth"]
        return time.monotonic(), forth["bytesIn"] - OVERHEAD * forth["packetsIn"]


def now_us():
    return time.time_ns() // 1000


def sockets(process):
    """{(address, port): (receive buffer, send buffer)} of a process's UDP sockets, by the kernel.
    (nsenter becomes what it starts: the child's id is the server's. Its first child has the
    sockets.)
    """
    with open("/proc/%d/task/%d/children" % (process.pid, process.pid)) as file:
        engine = int(file.read().split()[0])
    told = subprocess.run(["nsenter", "-t", str(process.pid), "-n", "ss", "-Huanmp"], check=True,
                          capture_output=True, timeout=20).stdout.decode()
    found = {}
    for block in re.split(r"\n(?=\S)", told):
        if "pid=%d," % engine not in block:
            continue
        local = block.split()[3]
        memory = re.search(r"rb(\d+),t\d+,tb(\d+)", block)
        address, port = local.rsplit(":", 1)
        found[address.strip("[]"), int(port)] = (int(memory.group(1)), int(memory.group(2)))
    return found


def test_before_the_first_contact(world):
    connection = world.connection()
    assert connection["encryptedConnectionState"] == "disconnected"
    assert connection["destinationIP"] == world.link.right_ip
    assert connection["destinationPort"] == 8886
    assert connection["destinationPublicKey"] == world.there.info["publicKey"]
    assert connection["encryptionEnabled"] is True
    for unknown in ("lastDestinationServerId", "lastDestinationServerUid", "lastError",
                    "lastErrorMessage", "lastRecvTime", "lastSendTime", "relayIP", "relayPort",
                    "roundTripTimeMs", "senderIP", "senderPort"):
        assert connection[unknown] is None, unknown
    assert connection["numTransfersQueued"] == 0
    assert connection["rateControllerActive"] is True


def test_while_it_sends(world):
    world.rate(sendRateMax=slower(50000))
    running = world.send()
    waiting = [world.send(destinationPath="more-%d" % i) for i in range(4)]
    connection = world.until(lambda c: c["roundTripTimeMs"] and c["sendRateAverageWindow"])
    assert connection["encryptedConnectionState"] == "connected"
    assert connection["numTransfersQueued"] == 4

    # Who answers.
    assert connection["lastDestinationServerId"] == world.there.info["serverId"]
    assert connection["lastDestinationServerUid"] == world.there.info["serverUid"]
    assert connection["cipher"] == "128"

    # The kernel's view of the socket.
    local = (connection["senderIP"], connection["senderPort"])
    assert local[0] == world.link.left_ip
    known = sockets(world.here.process)
    assert local in known, known
    assert (connection["socketRecvBufferSize"], connection["socketSendBufferSize"]) == known[local]

    # Times.
    assert now_us() - tw.patient(3_000_000) < connection["snapshotTime"] <= now_us()
    for name in ("lastSendTime", "lastRecvTime"):
        assert connection["snapshotTime"] - tw.patient(3_000_000) < connection[name]
        assert connection[name] <= connection["snapshotTime"]
    world.until(lambda c: all(c[name] > connection[name]
                              for name in ("snapshotTime", "lastSendTime", "lastRecvTime")))

    # The line: its delay within a tenth, its packets' size.
    # (A busy machine lengthens a round trip now and then, and never shortens one.)
    trips = []
    for _ in range(20):
        time.sleep(0.1)
        trips.append(world.connection()["roundTripTimeMs"])
    assert DELAY_MS <= min(trips) <= tw.patient(DELAY_MS * 1.1), trips
    world.until(lambda c: c["pathMtu"] == 1500)

    # What is counted on the line, over two seconds: the average of what was said meanwhile.
    begin, before = world.payload()
    said = []
    while time.monotonic() < begin + 2:
        said.append(world.connection()["sendRateAverageWindow"])
        time.sleep(0.1)
    end, after = world.payload()
    counted = (after - before) * 8 / (end - begin) / 1000
    assert sum(said) / len(said) == pytest.approx(counted, rel=0.05)
    assert counted <= slower(50000) * 1.02

    # The mean over the running transfer.
    transfer = world.transfer(running)
    connection = world.connection()
    if transfer["status"] == "active":
        mean = transfer["bytesSent"] * 8000 / (transfer["snapshotTime"] - transfer["startTime"])
        assert connection["sendRateAverage"] == pytest.approx(mean, rel=0.1)

    # The queue gets shorter.
    world.here.api.call("send.waitForTransfer", transferId=running, timeoutMs=30000)
    assert world.connection()["numTransfersQueued"] == 3
    world.here.api.call("send.cancelTransfer", transferId=waiting[3])
    assert world.connection()["numTransfersQueued"] == 2
    world.cancel_all()
    assert world.connection()["numTransfersQueued"] == 0


def test_times_of_a_transfer_fit_each_other(world):
    world.rate(sendRateMax=slower(200000))
    before = now_us()
    transfer = world.send(destinationPath="times")
    world.here.api.call("send.waitForTransfer", transferId=transfer, timeoutMs=30000)
    told = world.transfer(transfer)
    assert told["status"] == "complete"
    assert before <= told["requestTime"] <= told["queueTime"] <= told["startTime"]
    assert told["startTime"] < told["endTime"] <= now_us()
    assert told["bytesAcked"] == told["totalBytes"] == told["bytesDurable"] == 40 * tw.MIB
    assert told["blocksAcked"] >= told["totalBlocks"] > 40 * tw.MIB / 1500
    assert told["bytesSent"] >= told["totalBytes"]
    assert told["packetsSent"] >= told["blocksSent"] >= told["totalBlocks"]
    assert told["packetsRecv"] > 0 and told["bytesRecv"] > 0
    assert told["filesComplete"] == told["totalFiles"] == 1


def test_live_changes(world):
    """What is set is shown, and what is shown is held: counted on the line."""
    world.rate(sendRateMax=slower(80000))
    transfer = world.send(destinationPath="live")
    world.until(lambda c: (c["sendRateAverageWindow"] or 0) > slower(60000))
    world.rate(sendRateMax=slower(20000), rateControlMethod="bbr")
    assert world.connection()["sendRateMax"] == slower(20000)
    time.sleep(0.3)
    begin, before = world.payload()
    time.sleep(1)
    end, after = world.payload()
    assert (after - before) * 8 / (end - begin) / 1000 == pytest.approx(slower(20000), rel=0.1)

    # `fixed`, and the controller switched off, are the same thing said in two ways.
    world.rate(sendRate=slower(40000), sendRateMax=slower(60000), rateControllerActive=False)
    connection = world.connection()
    assert connection["rateControllerActive"] is False
    assert connection["sendRate"] == slower(40000)
    time.sleep(0.3)
    begin, before = world.payload()
    time.sleep(1)
    end, after = world.payload()
    assert (after - before) * 8 / (end - begin) / 1000 == pytest.approx(slower(40000), rel=0.1)
    world.here.api.call("send.cancelTransfer", transferId=transfer)
    world.rate(rateControllerActive=True, rateControlMethod="bbr", sendRateMax=slower(200000))
    assert world.connection()["rateControllerActive"] is True


def test_loss_and_bandwidth(world):
    world.link.change("loss 3%")
    world.rate(sendRateMax=slower(400000))
    transfer = world.send(destinationPath="lossy")
    seen = world.until(lambda c: (c["lossPercent"] or 0) > 1.5 and
                       (c["bandwidthEstimate"] or 0) > slower(150000))
    assert seen["lossPercent"] < 12
    assert seen["bandwidthEstimate"] < 260000
    assert seen["queueDelayMs"] >= 0
    world.link.change("loss 0%")
    world.here.api.call("send.waitForTransfer", transferId=transfer, timeoutMs=30000)
    assert world.transfer(transfer)["blocksRetransmitted"] > 0
    tw_file = os.path.join(world.there.received, "lossy", "copy")
    assert tw.same_bytes(world.file, tw_file)


def test_the_other_server_goes_and_comes_back(world):
    """Silence shows as an error that says what to do; a restart as a new id under the same uid."""
    world.rate(sendRateMax=slower(40000))
    transfer = world.send(destinationPath="restart")
    world.until(lambda c: c["encryptedConnectionState"] == "connected")
    before = world.connection()
    world.there.process.kill()
    failed = world.until(lambda c: c["lastError"] is not None, limit=40)
    assert failed["lastError"] in ("timeout", "unreachable")
    assert len(failed["lastErrorMessage"]) > 15
    world.until(lambda c: c["encryptedConnectionState"] != "connected")
    assert world.transfer(transfer)["status"] in ("active", "pending")
    # With the line cut nobody refuses: the questions stay open.
    world.link.change("down 1")
    world.until(lambda c: c["encryptedConnectionState"] == "negotiating")
    world.there.start()
    world.link.change("down 0")
    back = world.until(lambda c: c["encryptedConnectionState"] == "connected")
    assert back["lastDestinationServerUid"] == before["lastDestinationServerUid"]
    assert back["lastDestinationServerId"] != before["lastDestinationServerId"]
    assert back["lastDestinationServerId"] == world.there.info["serverId"]
    assert back["lastError"] is None and back["lastErrorMessage"] is None
    world.rate(sendRateMax=slower(200000))
    world.here.api.call("send.waitForTransfer", transferId=transfer, timeoutMs=30000)
    assert world.transfer(transfer)["status"] == "complete"
    assert tw.same_bytes(world.file, os.path.join(world.there.received, "restart", "copy"))


def test_our_own_end_killed(world):
    """Every job is there again, and the one that ran goes on by itself."""
    world.rate(sendRateMax=slower(40000))
    running = world.send(destinationPath="killed-1")
    queued = [world.send(destinationPath="killed-%d" % i) for i in (2, 3)]
    world.until(lambda c: (c["sendRateAverageWindow"] or 0) > slower(20000))
    world.here.process.kill()
    world.here.start()
    known = {t["transferId"]: t for t in world.here.api.call("send.getTransfers")}
    assert {running, *queued} <= set(known)
    world.until(lambda c: (c["sendRateAverageWindow"] or 0) > slower(20000))
    world.rate(sendRateMax=slower(200000))
    for transfer in (running, *queued):
        world.here.api.call("send.waitForTransfer", transferId=transfer, timeoutMs=30000)
        assert world.transfer(transfer)["status"] == "complete"
    for i in (1, 2, 3):
        assert tw.same_bytes(world.file,
                             os.path.join(world.there.received, "killed-%d" % i, "copy"))
