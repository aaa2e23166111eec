"""A line made by the kernel's own emulator, netem, where the kernel has it: else tw.Link makes it.

Between the two hosts lies a namespace with two bridges and a cable between them. Packets pass two
queueing disciplines each way, because netem draws losses before it looks at its rate, and holds
what is under way and what waits in one queue:

    left host -- bridge -- [rate, queue] cable -- bridge -- [delay, losses] -- right host
    left host -- [delay, losses] -- bridge -- cable [rate, queue] -- bridge -- right host

So the queue is the bottleneck's alone, and what is lost has used the line, as on a real one and as
in bench/link. What differs: the queue is counted in full packets, not in bytes; chance is the
kernel's, so no seed replays it. Trains are cut before they leave the hosts, as for a card that
cannot do it, or netem would lose them whole.
"""
import ctypes
import fcntl
import json
import math
import re
import socket
import struct
import subprocess

import tw

FRAME = 1514                    # a full packet, as bench/link counts it
QUEUE_LEAST = 65536             # bytes, of a queue by the round trip
SHORTEST = 64                   # bytes of the shortest frame: how many may be under way
UNLIMITED = 1000000             # packets under way on a line without a rate

MACS = {"left": "02:77:00:00:00:01", "right": "02:77:00:00:00:02"}

SHAPES = ("rate", "delay", "queue", "loss", "burst")
DIRECTIONS = ("forth", "back")
# Where the two stages of a direction are: devices in the middle.
STAGES = {"forth": ("cable-left", "to-right"), "back": ("cable-right", "to-left")}
ENTRIES = {"forth": "to-left", "back": "to-right"}      # where packets of a direction come in

RATES = {"": 1e6, "K": 1e3, "k": 1e3, "M": 1e6, "G": 1e9}
TIMES = {"": 1e-3, "us": 1e-6, "ms": 1e-3, "s": 1.0}
SHARES = {"": 1.0, "%": 0.01}
BYTES = {"": 1, "K": 1e3, "M": 1e6, "KiB": 1024, "MiB": 1048576}


def number(text, units):
    """The same words that bench/link takes."""
    match = re.fullmatch(r"([0-9.]+)([A-Za-z%]*)", str(text))
    if not match or match.group(2) not in units:
        raise ValueError("%s is none of a number and %s" % (text, ", ".join(units)))
    return float(match.group(1)) * units[match.group(2)]


def shapes_of(options):
    """The options of tw.Link, by direction; ValueError for what netem does not do here."""
    shapes = {direction: dict.fromkeys(SHAPES) for direction in DIRECTIONS}
    for name, value in options.items():
        if name == "seed":
            continue
        base, _, direction = name.partition("_")
        if base not in SHAPES or direction not in ("", *DIRECTIONS):
            raise ValueError("netem lines have no option %s; bench/link has" % name)
        for each in (direction,) if direction else DIRECTIONS:
            shapes[each][base] = value
    return shapes


def delay_of(shape):
    return number(shape["delay"] or 0, TIMES)


def queue_bytes(shape, round_trip):
    """How much may wait at the bottleneck."""
    rate = number(shape["rate"], RATES)
    queue = str(shape["queue"] or "1bdp")
    if queue.endswith("bdp"):
        return max(QUEUE_LEAST, float(queue[:-3]) * rate * round_trip / 8)
    if queue.endswith("s"):
        return number(queue, TIMES) * rate / 8
    return number(queue, BYTES)


def percent(share):
    return "%.6g%%" % (100 * share)


def loss_words(shape):
    """Independent, or Gilbert's two states: all is lost in the bad one, which lasts a burst."""
    share = number(shape["loss"] or 0, SHARES)
    burst = float(shape["burst"] or 0)
    if not share:
        return []
    if burst <= 1 or share >= 1:
        return ["loss", "random", percent(share)]
    return ["loss", "gemodel", percent(share / (burst * (1 - share))), percent(1 / burst), "100%",
            "0%"]


def line_words(shape):
    """Delay and losses; room for all that can be under way meanwhile."""
    delay = delay_of(shape)
    room = UNLIMITED
    if shape["rate"]:
        room = math.ceil(number(shape["rate"], RATES) / 8 / SHORTEST * delay) + 1000
    words = ["delay", "%dus" % round(delay * 1e6)] if delay else []
    return ["limit", str(room)] + words + loss_words(shape)


def commands(options):
    """The calls of tc that make a line, each a list of words without `tc` itself. Pure."""
    shapes = shapes_of(options)
    round_trip = sum(delay_of(shape) for shape in shapes.values())
    made = []
    for direction, shape in shapes.items():
        bottleneck, line = STAGES[direction]
        if shape["rate"]:
            packets = max(1, int(queue_bytes(shape, round_trip) // FRAME))
            made.append(["qdisc", "add", "dev", bottleneck, "root", "netem", "limit", str(packets),
                         "rate", "%dbit" % round(number(shape["rate"], RATES))])
        made.append(["qdisc", "add", "dev", line, "root", "netem"] + line_words(shape))
    return made


def why_not():
    """Why this machine makes no line with netem, or None. Tried in a namespace of our own."""
    if not tw.privileged():
        return "needs root"
    space = tw.Namespace()
    try:
        tried = subprocess.run(
            space.inside(["tc", "qdisc", "add", "dev", "lo", "root", "netem", "limit", "10",
                          "delay", "1ms", "rate", "1000000bit"]),
            capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    finally:
        space.close()
    if tried.returncode:
        said = tried.stderr.strip().splitlines() or ["tc ended with %d" % tried.returncode]
        return "the kernel takes no netem: " + said[0]
    return None


def merge_received(namespace, device):
    """GRO, as a card does it: packets that came together go up together to who wants that."""
    siocethtool, set_gro = 0x8946, 0x2c
    value = ctypes.create_string_buffer(struct.pack("II", set_gro, 1))
    with namespace.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, siocethtool,
                    struct.pack("16sP16x", device.encode(), ctypes.addressof(value)))


class Netem(tw.Network):
    """The line: options as tw.Link's, of which it knows SHAPES, also with _forth and _back."""

    def __init__(self, **options):
        calls = commands(options)
        super().__init__()
        self.middle = tw.Namespace()
        try:
            self.join()
            for call in calls:
                self.tc(*call)
        except BaseException:
            self.close()
            raise
        self.before = self.tell()

    def tc(self, *words):
        told = subprocess.run(self.middle.inside(["tc", *words]), capture_output=True, timeout=20,
                              check=False)
        assert told.returncode == 0, "tc %s: %s" % (" ".join(words), told.stderr.decode())
        return told.stdout

    def join(self):
        middle = self.middle.name
        self.middle.sysctl("net.ipv6.conf.default.disable_ipv6", "1", check=False)
        tw.ip("-n", middle, "link", "add", "cable-left", "type", "veth",
              "peer", "name", "cable-right")
        for side, host, address, address6 in (("left", self.left, self.left_ip, self.left_ip6),
                                              ("right", self.right, self.right_ip, self.right_ip6)):
            hub, port = "hub-" + side, "to-" + side
            tw.ip("-n", middle, "link", "add", hub, "type", "bridge", "mcast_snooping", "0")
            tw.ip("-n", host.name, "link", "add", "link0", "address", MACS[side], "type", "veth",
                  "peer", "name", port, "netns", middle)
            tw.ip("-n", host.name, "link", "set", "link0", "addrgenmode", "none")
            for device in (port, "cable-" + side):
                tw.ip("-n", middle, "link", "set", device, "master", hub, "up")
            tw.ip("-n", middle, "link", "set", hub, "up")
            tw.ip("-n", host.name, "address", "add", address + "/24", "dev", "link0")
            tw.ip("-n", host.name, "address", "add", address6 + "/64", "dev", "link0", "nodad")
            tw.ip("-n", host.name, "link", "set", "link0", "gso_max_segs", "1", "up")
            merge_received(host, "link0")
        # Nobody has to ask over a bad line who is at its other end.
        for host, far, address, address6 in (
                (self.left, "right", self.right_ip, self.right_ip6),
                (self.right, "left", self.left_ip, self.left_ip6)):
            for each in (address, address6):
                tw.ip("-n", host.name, "neighbour", "add", each, "lladdr", MACS[far],
                      "dev", "link0", "nud", "permanent")
        for family in ("iptables", "ip6tables"):        # no packet filter looks at what passes
            self.middle.sysctl("net.bridge.bridge-nf-call-" + family, "0", check=False)

    def devices(self, namespace):
        told = json.loads(tw.ip("-s", "-j", "-n", namespace.name, "link").stdout)
        return {each["ifname"]: each["stats64"] for each in told}

    def tell(self):
        """The kernel's counters since the devices are there."""
        shaped = {}
        for stages in STAGES.values():
            for device in stages:
                told = json.loads(self.tc("-s", "-j", "qdisc", "show", "dev", device))
                shaped[device] = next((each for each in told if each["kind"] == "netem"), {})
        middle = self.devices(self.middle)
        ends = {"forth": self.devices(self.left), "back": self.devices(self.right)}
        counters = {}
        for direction, (bottleneck, line) in STAGES.items():
            entry = middle[ENTRIES[direction]]["rx"]
            counters[direction] = {
                "packetsIn": entry["packets"], "bytesIn": entry["bytes"],
                "packetsOut": middle[line]["tx"]["packets"],
                "bytesOut": middle[line]["tx"]["bytes"],
                "droppedQueue": shaped[bottleneck].get("drops", 0),
                "droppedLoss": shaped[line].get("drops", 0),
                "deviceDrops": sum(each["tx"]["dropped"] for each in (
                    ends[direction]["link0"], middle[bottleneck], middle[line])),
                "droppedOverrun": 0, "writeErrors": 0}
        return counters

    def counters(self):
        """As tw.Link's, of what the kernel counts; its own work is in nobody's processor time."""
        now = self.tell()
        for direction, counts in now.items():
            for name in counts:
                counts[name] -= self.before[direction][name]
        return {"cpuSeconds": 0.0, **now}

    def close(self):
        super().close()
        self.middle.close()


KINDS = {"ours": tw.Link, "netem": Netem}


def choose(wanted):
    """@wanted: ours, netem or auto, which is netem where the kernel has it. Returns (kind, words for
    people); kind None: it cannot be had, and the words say why."""
    if wanted == "ours":
        return "ours", "bench/link, as asked"
    reason = why_not()
    if not reason:
        return "netem", "the kernel's netem"
    return (None, reason) if wanted == "netem" else ("ours", "bench/link: " + reason)


def kinds():
    """Those that this machine can make."""
    return ["ours"] if why_not() else ["ours", "netem"]
