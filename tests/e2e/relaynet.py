"""Networks for relays: an internet of hosts and home networks behind NATs and firewalls, made of
namespaces and the kernel's own packet filter, and a capture of what passes a host.

      site A ---- gate A ----+                +---- gate B ---- site B
      10.1.0.2   203.0.113.21 |   internet    | 203.0.113.22   10.2.0.2
                              +---- bridge ---+
      relay 203.0.113.10  ----+                +---- open hosts 203.0.113.30, ...
"""
import os
import signal
import subprocess
import sys
import tempfile
import time

import tw

RELAY_PORTS = "8886, 8890-8989"

# What a gate does to UDP that goes out: {out} is its outer interface, {host} the host behind it.
NATS = {
    # Only who was written to may answer; the port is kept where it is free.
    "port-restricted": "table ip gate { chain post { type nat hook postrouting priority 100;"
                       ' oifname "{out}" masquerade; }; }',
    # Another port for each destination.
    "symmetric": "table ip gate { chain post { type nat hook postrouting priority 100;"
                 ' oifname "{out}" masquerade fully-random; }; }',
    # Whoever knows the outer port may use it.
    "full-cone": "table ip gate { chain post { type nat hook postrouting priority 100;"
                 ' oifname "{out}" masquerade persistent; };'
                 " chain pre { type nat hook prerouting priority -100;"
                 ' iifname "{out}" udp dport 1024-65535 dnat to {host}; }; }',
}
# Nothing comes in that was not asked for; what may go out is said by the rule.
FIREWALL = ("table inet wall {{ chain forward {{ type filter hook forward priority 0; policy drop;"
            " ct state established,related accept; {rules} }};"
            " chain input {{ type filter hook input priority 0; policy accept;"
            ' iifname "outside" ct state new drop; }}; }}')
INWARD_CLOSED = 'iifname "inside" accept;'
DMZ = ("ip daddr {relay} tcp dport 8887 accept;"
       " ip daddr {relay} udp dport { %s } accept;" % RELAY_PORTS)
DMZ_TCP_ONLY = "ip daddr {relay} tcp dport 8887 accept;"

CAPTURE = """
import socket, sys
taker = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
taker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
print("capturing", flush=True)
with open(sys.argv[1], "wb", buffering=0) as out:
    while True:
        out.write(taker.recv(1 << 17))
"""


def available():
    """Whether this machine can make such networks; else why not."""
    for tool in ("nft", "conntrack"):
        if subprocess.run(["sh", "-c", "command -v " + tool], capture_output=True).returncode:
            return "needs %s" % tool
    probe = subprocess.run(
        ["unshare", "-n", "nft", "table ip t { chain c { type nat hook postrouting priority 100;"
         " masquerade; }; }"], capture_output=True)
    return "this kernel has no NAT: " + probe.stderr.decode() if probe.returncode else None


class Internet:
    """A bridge; hosts on it with addresses of 203.0.113.0/24; sites behind gates."""

    def __init__(self):
        self.spaces = []
        self.hub = self._space()
        # The internet is no bridge with a packet filter: what that costs would count as the hosts'.
        for name in ("iptables", "ip6tables"):
            self.hub.sysctl("net.bridge.bridge-nf-call-" + name, "0", check=False)
        tw.ip("-n", self.hub.name, "link", "add", "hub", "type", "bridge")
        tw.ip("-n", self.hub.name, "link", "set", "hub", "up")
        self.count = 0

    def _space(self):
        space = tw.Namespace()
        self.spaces.append(space)
        return space

    def _plug(self, space, address, name):
        """An interface called `name` in `space`, on the bridge."""
        self.count += 1
        port = "port%d" % self.count
        tw.ip("-n", self.hub.name, "link", "add", port, "type", "veth", "peer", "name", name,
              "netns", space.name)
        tw.ip("-n", self.hub.name, "link", "set", port, "master", "hub", "up")
        tw.ip("-n", space.name, "address", "add", address + "/24", "dev", name)
        tw.ip("-n", space.name, "link", "set", name, "up")

    def host(self, number):
        """A host that everybody reaches."""
        space = self._space()
        space.address = "203.0.113.%d" % number
        self._plug(space, space.address, "eth0")
        return space

    def ipv6(self, host, only=False):
        """Gives a host 2001:db8:113::NUMBER beside, or instead of, 203.0.113.NUMBER."""
        address = "2001:db8:113::" + host.address.rpartition(".")[2]
        tw.ip("-n", host.name, "address", "add", address + "/64", "dev", "eth0", "nodad")
        if only:
            tw.ip("-n", host.name, "-4", "address", "flush", "dev", "eth0")
        return address

    def site(self, number, nat=None, firewall=None, relay="203.0.113.10"):
        """A host at 10.NUMBER.0.2 behind a gate at 203.0.113.(20+NUMBER)."""
        gate, host = self._space(), self._space()
        host.gate, host.address = gate, "10.%d.0.2" % number
        gate.address = "203.0.113.%d" % (20 + number)
        self._plug(gate, gate.address, "outside")
        tw.ip("-n", gate.name, "link", "add", "inside", "type", "veth", "peer", "name", "eth0",
              "netns", host.name)
        tw.ip("-n", gate.name, "address", "add", "10.%d.0.1/24" % number, "dev", "inside")
        tw.ip("-n", gate.name, "link", "set", "inside", "up")
        tw.ip("-n", host.name, "address", "add", host.address + "/24", "dev", "eth0")
        tw.ip("-n", host.name, "link", "set", "eth0", "up")
        tw.ip("-n", host.name, "route", "add", "default", "via", "10.%d.0.1" % number)
        gate.sysctl("net.ipv4.ip_forward", "1")
        rules = NATS[nat or "port-restricted"].replace("{out}", "outside").replace(
            "{host}", host.address)
        self.load(gate, rules)
        if nat != "full-cone" or firewall:
            self.load(gate, FIREWALL.format(
                rules=(firewall or INWARD_CLOSED).replace("{relay}", relay)))
        return host

    def load(self, space, rules):
        subprocess.run(space.inside(["nft", rules]), check=True, timeout=20)

    def forget_mappings(self, host):
        """The gate's NAT loses its memory, as one that is restarted does."""
        subprocess.run(host.gate.inside(["conntrack", "-D", "-p", "udp"]), timeout=20,
                       capture_output=True)

    def close(self):
        for space in self.spaces:
            space.close()


class Capture:
    """All packets that pass a host, as they are on its interfaces."""

    def __init__(self, space):
        self.path = tempfile.mktemp(prefix="tw-capture-", dir="/dev/shm")
        self.process = space.start([sys.executable, "-c", CAPTURE, self.path])
        self.process.wait_for("capturing", 10)

    def bytes(self):
        self.process.kill()
        with open(self.path, "rb") as file:
            return file.read()

    def close(self):
        self.process.close()
        if os.path.exists(self.path):
            os.unlink(self.path)


class Relay:
    """`tradewind relay` on a host; it can be killed and started again."""

    def __init__(self, side, keys, *options):
        self.side = side
        self.options = [part for key in keys for part in ("--allow", key)] + list(options)
        self.start()

    def start(self):
        self.process = self.side.start("relay", "--external-address", self.side.namespace.address,
                                       *self.options)
        self.name = self.process.wait_for(r"^(\S+:\d+#[A-Za-z0-9_-]{43})$", 10).group(1)

    def kill(self):
        self.process.kill()


def key_of(side):
    return side.run("keygen").out().decode().strip()


class Receiver:
    """`tradewind receive`, by its relay if it has one."""

    def __init__(self, side, folder, *options, prefix=()):
        self.side, self.folder = side, folder
        os.makedirs(folder, exist_ok=True)
        self.process = side.start("receive", *options, folder, prefix=prefix)
        self.url = self.process.wait_for(r"^(%s)$" % tw.URL, 20).group(1)

    def arrived(self):
        """Bytes on the disk, of unfinished files too."""
        return sum(os.stat(os.path.join(folder, name)).st_blocks * 512
                   for folder, _, names in os.walk(self.folder) for name in names)


def marked_file(path, size, mark):
    """Content that would be found again wherever it passed in the clear."""
    line = (mark * (65536 // len(mark) + 1))[:65536]
    with open(path, "wb") as file:
        while size > 0:
            size -= file.write(line[:min(size, len(line))])
    return path


def cpu_seconds(process):
    """Of all its threads, to the nanosecond where the kernel counts so."""
    spent = 0
    for thread in os.listdir("/proc/%d/task" % process.pid):
        with open("/proc/%d/task/%s/schedstat" % (process.pid, thread)) as file:
            spent += int(file.read().split()[0])
    return spent / 1e9


def every_second(deed, process):
    """Does it each second until the process ends."""
    count = 0
    while not process.ended(1):
        deed()
        count += 1
        if count > 600:
            process.signal(signal.SIGKILL)
            raise AssertionError("no end: " + process.text())
    return count


def wait_until(condition, limit, what):
    deadline = tw.deadline(limit)
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
