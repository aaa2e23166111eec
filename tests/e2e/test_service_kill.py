"""The service is killed at any moment: every job that was answered is there again, and goes on by
itself."""
import os
import random
import signal
import time

import pytest

import tw
from apiserver import Fault, Server


@pytest.fixture
def servers(tmp_path):
    pair = [Server(tmp_path / "a"), Server(tmp_path / "b")]
    yield pair
    for server in pair:
        server.close()


def kill(server):
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait(20)
    for session in server.sessions:
        session.close()
    server.sessions.clear()


def until(look, condition, limit=60):
    end = tw.deadline(limit)
    while True:
        seen = look()
        if condition(seen):
            return seen
        assert time.monotonic() < end, seen
        time.sleep(0.02)


def begin(sender, receiver, tmp_path, size, **parameters):
    """A transfer under way; (its id, the source's content)."""
    source = tmp_path / "source"
    content = random.Random(7).randbytes(size)
    source.write_bytes(content)
    destination = sender.destination(receiver, **parameters)
    manifest = sender.manifest(source)
    transfer = sender.api.call("createTransfer", manifestId=manifest["manifestId"],
                               destinationId=destination["destinationId"])
    return transfer["transferId"], content


def arrived(receiver):
    with open(os.path.join(receiver.received, "copy"), "rb") as file:
        return file.read()


def test_sender(servers, tmp_path):
    sender, receiver = servers
    transfer, content = begin(sender, receiver, tmp_path, 12_000_000, sendRateMax=40_000)

    def look():
        return sender.api.call("getTransfer", transferId=transfer)

    before = until(look, lambda seen: seen["bytesAcked"] > 2_000_000)
    kill(sender)
    sender.start()
    after = until(look, lambda seen: seen["status"] == "active")
    assert after["requestTime"] == before["requestTime"]
    assert after["startTime"] == before["startTime"]
    done = until(look, lambda seen: seen["status"] not in ("pending", "active"))
    assert done["status"] == "complete", done
    # What had arrived was not sent again by the second run.
    assert done["bytesSent"] < 12_000_000
    assert done["endTime"] > done["startTime"]
    assert arrived(receiver) == content


def test_receiver(servers, tmp_path):
    sender, receiver = servers
    port = receiver.info["receiver"]["ports"][0]
    transfer, content = begin(sender, receiver, tmp_path, 12_000_000, sendRateMax=40_000)

    def look():
        return sender.api.call("getTransfer", transferId=transfer)

    def connection():
        return sender.api.call("getConnections")[0]

    until(look, lambda seen: seen["bytesAcked"] > 2_000_000)
    first = connection()["lastDestinationServerId"]
    assert first == receiver.info["serverId"]
    kill(receiver)
    away = until(connection, lambda seen: seen["lastError"])
    assert away["lastError"] in ("unreachable", "timeout")
    assert look()["status"] == "active"
    receiver.start("--recv-port", str(port))
    done = until(look, lambda seen: seen["status"] not in ("pending", "active"))
    assert done["status"] == "complete", done
    back = until(connection, lambda seen: not seen["lastError"])
    assert back["lastDestinationServerId"] == receiver.info["serverId"] != first
    assert back["lastDestinationServerUid"] == receiver.info["serverUid"]
    assert arrived(receiver) == content


def test_while_jobs_are_made(servers, tmp_path):
    """Killed between one answer and the next, five times: none of the answered jobs is lost."""
    sender, receiver = servers
    kill(receiver)
    (tmp_path / "source").write_bytes(b"x" * 1000)
    destination = sender.api.call("createDestination", destinationAddress="127.0.0.1",
                                  destinationPort=9,
                                  destinationPublicKey=receiver.info["publicKey"])
    manifest = sender.manifest(tmp_path / "source")
    answered = []
    for lap in range(5):
        for job in range(1 + 3 * lap):
            made = sender.api.call("createTransfer", manifestId=manifest["manifestId"],
                                   destinationId=destination["destinationId"],
                                   destinationPath="job%d-%d" % (lap, job), priority=job)
            answered.append(made["transferId"])
        kill(sender)
        sender.start()
        there = [seen["transferId"] for seen in sender.api.call("getTransfers")]
        assert there == answered
    with pytest.raises(Fault):
        sender.api.call("deleteDestination", destinationId=destination["destinationId"])
    until(lambda: sender.api.call("getTransfers", status="active"), len)
