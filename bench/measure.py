"""One run of one program, and what it cost."""
import os
import shutil
import signal
import tempfile
import time

import netem
import tw

from .cases import FILE_BYTES, FILES, GIB, MIB
from .peers.base import Trip

BUSY_CORES = 0.25               # of other programs on this machine, that make a figure doubtful
TICKS = os.sysconf("SC_CLK_TCK")


class Busy:
    """Processor seconds of the whole machine since it was made, without interrupts."""

    def __init__(self):
        self.start, self.clock = self.read(), time.monotonic()

    @staticmethod
    def read():
        with open("/proc/stat") as file:
            return sum(int(word) for word in file.readline().split()[1:4]) / TICKS

    def others(self, ours):
        """Cores that programs other than @ours seconds kept busy."""
        return max(0.0, self.read() - self.start - ours) / (time.monotonic() - self.clock)


def own_seconds():
    times = os.times()
    return times.user + times.system


def run(peer, case, source, arguments):
    """Sends @source once; the figures. @arguments: of the command line, its link chosen. A run that
    went wrong raises AssertionError."""
    place = tempfile.mkdtemp(prefix="tw-bench-", dir=arguments.memory)
    network = netem.KINDS[arguments.link](**case.link) if case.link else tw.Direct()
    try:
        return {**transfer(peer, Trip(case, network, source, place), arguments.limit),
                "link": arguments.link if case.link else "veth"}
    finally:
        end_all(network)
        network.close()
        shutil.rmtree(place, ignore_errors=True)


def transfer(peer, trip, limit):
    case, size = trip.case, tree_bytes(trip.source)
    limit = min(limit or case.limit(size), case.limit(size))
    floor = trip.network.left.run(["true"], 10).rss_bytes
    waiting = peer.wait(trip)
    side = trip.network.left if peer.waits == "right" else trip.network.right
    busy, own = Busy(), own_seconds()
    command = side.start(peer.command(trip), env=peer.environment(trip))
    if command.ended(limit):
        if command.code:
            raise AssertionError("%s ended with %s: %s%s" % (
                peer.name, command.code, command.text()[-500:], waiting.text()[-500:]))
        done, seconds, whole = None, command.seconds, True
    else:
        seconds = time.monotonic() - command.started
        done, whole = peer.stop(trip, command, waiting), False
    own = own_seconds() - own
    counters = trip.network.counters() if case.link else None
    end_waiting(peer, waiting, whole)
    if whole:
        done = peer.arrived_bytes(size, waiting)
    others = busy.others(own + command.cpu_seconds + waiting.cpu_seconds
                         + (counters["cpuSeconds"] if counters else 0))
    if whole and not peer.only_memory:
        check(trip)
    sender, receiver = (command, waiting) if peer.waits == "right" else (waiting, command)
    per = GIB / done if done >= MIB else None
    if case.many:
        per = 1.0 if whole else None
    return {
        "size": size, "bytes": done, "whole": whole,
        "seconds": seconds, "mbps": done * 8 / seconds / 1e6,
        # for each GiB; many files: for all of them; hardly anything arrived: says nothing
        "cpuSend": per and sender.cpu_seconds * per,
        "cpuReceive": per and receiver.cpu_seconds * per,
        "rssSend": sender.rss_bytes / MIB, "rssReceive": receiver.rss_bytes / MIB,
        "rssFloor": floor / MIB,
        "wire": counters["forth"]["bytesIn"] / done if counters and per else None,
        "invalid": tw.fault(counters) if counters else None,
        "otherCores": others,
    }


def end_waiting(peer, waiting, whole):
    if peer.ends_itself and whole:
        if waiting.wait(20).code:
            raise AssertionError("%s: the other end ended with %s: %s" % (
                peer.name, waiting.code, waiting.text()[-500:]))
        return
    time.sleep(0.3)             # for its children to end: their processor time counts
    waiting.stop(5)


def end_all(network):
    """Programs that our children started and left behind, such as sshd's for a session."""
    for namespace in (network.left, network.right):
        for pid in tw.ip("netns", "pids", namespace.name, check=False).stdout.split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass


def tree_bytes(path):
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(os.path.getsize(os.path.join(folder, name))
               for folder, _, names in os.walk(path) for name in names)


def check(trip):
    """Every file is there, with every byte. (Not all programs keep modes and times.)"""
    if os.path.isfile(trip.source):
        pairs = [(trip.source, trip.copy)]
    else:
        pairs = [(os.path.join(folder, name),
                  os.path.join(trip.copy, os.path.relpath(folder, trip.source), name))
                 for folder, _, names in os.walk(trip.source) for name in names]
    for source, copy in pairs:
        if not os.path.exists(copy) or not tw.same_bytes(source, copy):
            raise AssertionError("%s is missing or differs" % copy)


def make_input(folder, case, mib):
    """What a case sends, at most @mib if that is given; made once."""
    if case.many:
        path = os.path.join(folder, "files")
        if not os.path.exists(path):
            tw.make_small_files(path, FILES, FILE_BYTES)
        return path
    size = min(case.mib, mib or case.mib)
    path = os.path.join(folder, "file-%d" % size)
    if not os.path.exists(path):
        tw.make_file(path, size * MIB)
    return path
