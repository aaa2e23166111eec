"""What whole-program tests stand on: network namespaces, links, processes with limits and
measures, trees of files.

Nothing outlives a test: namespaces carry the test process's id in their name, processes are
children that are ended by their id, and every wait has a limit.
"""
import atexit
import contextlib
import ctypes
import itertools
import json
import os
import random
import re
import select
import shutil
import signal
import stat
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("TRADEWIND_BUILD", os.path.join(ROOT, "build"))
TRADEWIND = os.path.join(BUILD, "tradewind")
LINK = os.path.join(BUILD, "bench", "link", "tradewind-link")

# More for every `tradewind server`, such as `--workers 4`: the suite as on another machine.
SERVER_OPTIONS = os.environ.get("TRADEWIND_SERVER_OPTIONS", "").split()

MIB = 1 << 20
# How much longer than planned whatever has a limit may take: a program that sanitizers look over,
# or a machine with much else to do, is slower and not wrong.
PATIENCE = float(os.environ.get("TRADEWIND_PATIENCE", "1"))
numbers = itertools.count(1)
SANITIZERS = re.compile(rb"(ERROR|WARNING): \w+Sanitizer|: runtime error: ")


def patient(seconds):
    return seconds * PATIENCE


def slower(rate):
    """A rate that programs which take their time still reach; so it takes no longer than patience."""
    return rate / max(1.0, PATIENCE / 2)


def deadline(limit):
    """The time.monotonic() by which what may take `limit` seconds must have happened."""
    return time.monotonic() + patient(limit)


# --------------------------------------------------------------------------------------------------
# Processes


class Process:
    """A child: its output in files, its end with processor time and peak memory."""

    def __init__(self, command, env=None, cwd=None, stdin=None):
        self.command = [os.fspath(part) for part in command]
        self.stdout = tempfile.TemporaryFile()
        self.stderr = tempfile.TemporaryFile()
        self.started = time.monotonic()
        self.popen = subprocess.Popen(
            self.command, stdin=stdin or subprocess.DEVNULL, stdout=self.stdout, stderr=self.stderr,
            env=dict(os.environ, **(env or {})), cwd=cwd, start_new_session=True)
        self.pid = self.popen.pid
        self.code = None                # exit code, or minus the signal
        self.seconds = self.cpu_seconds = self.rss_bytes = None

    def out(self):
        return read_all(self.stdout)

    def err(self):
        return read_all(self.stderr)

    def text(self):
        return (self.out() + self.err()).decode("utf-8", "replace")

    def running(self):
        if self.code is None:
            self._reap(os.WNOHANG)
        return self.code is None

    def _reap(self, options):
        pid, status, usage = os.wait4(self.pid, options)
        if pid == 0:
            return
        self.seconds = time.monotonic() - self.started
        self.code = os.waitstatus_to_exitcode(status)
        self.popen.returncode = self.code
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self.rss_bytes = usage.ru_maxrss * 1024

    def ended(self, limit):
        """Whether it ends within `limit` seconds."""
        if self.code is None:
            fd = os.pidfd_open(self.pid)
            try:
                if select.select([fd], [], [], limit)[0]:
                    self._reap(0)
            finally:
                os.close(fd)
        return self.code is not None

    def wait(self, limit):
        """Waits for the end; kills and fails when it takes longer than `limit` seconds."""
        if not self.ended(patient(limit)):
            self.kill()
            raise AssertionError("%s took more than %g s; it said:\n%s"
                                 % (self.command, patient(limit), self.text()))
        return self

    def wait_for(self, pattern, limit):
        """Waits until standard output or error matches; returns the match."""
        end = deadline(limit)
        while True:
            ended = not self.running()
            match = re.search(pattern, self.text(), re.MULTILINE)
            if match:
                return match
            if ended:
                raise AssertionError("%s ended with %s before it said /%s/; it said:\n%s"
                                     % (self.command, self.code, pattern, self.text()))
            if time.monotonic() > end:
                raise AssertionError("%s did not say /%s/ within %g s; it said:\n%s"
                                     % (self.command, pattern, patient(limit), self.text()))
            time.sleep(0.005)

    def signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        if self.code is None:
            self._reap(0)

    def stop(self, limit=5):
        """An orderly stop, by force if it takes longer than `limit`."""
        self.signal(signal.SIGTERM)
        try:
            self.wait(limit)
        except AssertionError:
            self.kill()

    def close(self):
        """Also fails when a sanitizer has found something that no test has noticed."""
        if self.stderr.closed:
            return
        self.kill()
        said = self.err()
        for stream in (self.stdout, self.stderr, self.popen.stdin):
            if stream:
                stream.close()
        assert not SANITIZERS.search(said), said.decode("utf-8", "replace")


def close_all(things):
    """Closes each, whatever the others say of it."""
    with contextlib.ExitStack() as stack:
        for thing in things:
            stack.callback(thing.close)


def read_all(stream):
    """All that a child has written so far. The file's position is the child's: leave it alone."""
    return os.pread(stream.fileno(), os.fstat(stream.fileno()).st_size, 0)


# --------------------------------------------------------------------------------------------------
# Namespaces and links


def privileged():
    return os.geteuid() == 0


def ip(*arguments, check=True):
    return subprocess.run(("ip",) + arguments, check=check, timeout=20, capture_output=True)


class Namespace:
    """A network namespace of its own, with loopback up. Also holds the processes started in it."""

    def __init__(self):
        self.name = "twt-%d-%d" % (os.getpid(), next(numbers))
        self.processes = []
        self.open = True
        ip("netns", "add", self.name)
        atexit.register(self.close)
        ip("-n", self.name, "link", "set", "lo", "up")
        # What a TCP flow needs to fill a long path; Tradewind must not need any of it.
        self.sysctl("net.ipv4.tcp_rmem", "4096 131072 67108864")
        self.sysctl("net.ipv4.tcp_wmem", "4096 131072 67108864")

    def inside(self, command):
        return ["nsenter", "--net=/run/netns/" + self.name, "--"] + list(command)

    @contextlib.contextmanager
    def entered(self):
        """What this thread opens in the meantime is in the namespace."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net") as home, open("/run/netns/" + self.name) as space:
            for_network = 0x40000000
            assert libc.setns(space.fileno(), for_network) == 0, os.strerror(ctypes.get_errno())
            try:
                yield
            finally:
                assert libc.setns(home.fileno(), for_network) == 0

    def sysctl(self, name, value, check=True):
        subprocess.run(self.inside(["sysctl", "-q", "-w", "%s=%s" % (name, value)]), check=check,
                       timeout=20, capture_output=not check)

    def start(self, command, **options):
        process = Process(self.inside(command), **options)
        self.processes.append(process)
        return process

    def run(self, command, limit, **options):
        return self.start(command, **options).wait(limit)

    def close(self):
        if not self.open:
            return
        self.open = False
        try:
            close_all(self.processes)
        finally:
            ip("netns", "del", self.name, check=False)


def remove_stale_namespaces():
    """What an earlier test process that was killed left behind."""
    for line in ip("netns", "list", check=False).stdout.decode().splitlines():
        match = re.match(r"(twt-(\d+)-\d+)\b", line)
        if match and not os.path.exists("/proc/" + match.group(2)):
            ip("netns", "del", match.group(1), check=False)


class Network:
    """Two hosts and what joins them."""

    def __init__(self):
        self.left = Namespace()
        self.right = Namespace()
        n = next(numbers) % 250
        self.left_ip, self.right_ip = "10.77.%d.1" % n, "10.77.%d.2" % n
        self.left_ip6, self.right_ip6 = "fd77:%x::1" % n, "fd77:%x::2" % n

    def close(self):
        close_all([self.left, self.right])


class Direct(Network):
    """A virtual Ethernet pair: as fast as this machine can."""

    def __init__(self, mtu=1500):
        super().__init__()
        ip("-n", self.left.name, "link", "add", "eth0", "mtu", str(mtu), "type", "veth",
           "peer", "name", "eth0", "mtu", str(mtu), "netns", self.right.name)
        for namespace, address, address6 in ((self.left, self.left_ip, self.left_ip6),
                                             (self.right, self.right_ip, self.right_ip6)):
            ip("-n", namespace.name, "address", "add", address + "/24", "dev", "eth0")
            ip("-n", namespace.name, "address", "add", address6 + "/64", "dev", "eth0", "nodad")
            ip("-n", namespace.name, "link", "set", "eth0", "up")


class Link(Network):
    """The emulated link. Keywords are its options: rate="100M", delay="50ms", loss_back="1%"."""

    def __init__(self, **options):
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="tw-link-")
        self.statistics = os.path.join(self.folder, "statistics.json")
        command = [LINK, "--left", self.left.name, "--right", self.right.name, "--control",
                   "--stats", self.statistics]
        for side in ("left", "right"):
            command += ["--%s-ip" % side, getattr(self, side + "_ip") + "/24"]
            command += ["--%s-ip" % side, getattr(self, side + "_ip6") + "/64"]
        for name, value in options.items():
            command.append("--" + name.replace("_", "-"))
            if value is not True:
                command.append(str(value))
        self.emulator = Process(command, stdin=subprocess.PIPE)
        try:
            self.emulator.wait_for('"event":"ready"', 10)
        except AssertionError:
            self.close()
            raise

    def change(self, line):
        """Changes the running link: "loss 5%", "down 1"; in force within milliseconds."""
        self.emulator.popen.stdin.write(line.encode() + b"\n")
        self.emulator.popen.stdin.flush()

    def counters(self):
        """The emulator's counters right now."""
        if os.path.exists(self.statistics):
            os.unlink(self.statistics)
        self.emulator.signal(signal.SIGUSR1)
        end = deadline(5)
        while not os.path.exists(self.statistics):
            if time.monotonic() > end:
                raise AssertionError("the emulator does not answer: " + self.emulator.text())
            time.sleep(0.002)
        with open(self.statistics) as file:
            return json.load(file)

    def close(self):
        self.emulator.stop()
        self.emulator.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        super().close()


# --------------------------------------------------------------------------------------------------
# The program under test


class Side:
    """One user of tradewind: a home and so an identity of its own, in a namespace or none."""

    def __init__(self, folder, namespace=None):
        self.home = os.fspath(folder)
        self.namespace = namespace
        self.processes = []
        os.makedirs(self.home, exist_ok=True)

    def environment(self):
        return {
            "HOME": self.home,
            "XDG_CONFIG_HOME": os.path.join(self.home, ".config"),
            "XDG_STATE_HOME": os.path.join(self.home, ".local/state"),
            "XDG_DATA_HOME": os.path.join(self.home, ".local/share"),
        }

    def start(self, *arguments, prefix=()):
        """`prefix`: a command that runs the program, such as setpriv with its options."""
        command = list(prefix) + [TRADEWIND] + [os.fspath(a) for a in arguments]
        if self.namespace:
            process = self.namespace.start(command, env=self.environment())
        else:
            process = Process(command, env=self.environment())
        self.processes.append(process)
        return process

    def run(self, *arguments, limit=30, prefix=()):
        return self.start(*arguments, prefix=prefix).wait(limit)

    def close(self):
        close_all(self.processes)


# What `receive` prints: an address, and a public key of 32 bytes in base64url.
URL = r"tw://(\S+?):(\d+)/(\S*?)#([A-Za-z0-9_-]{43})"


class Receiver:
    """`tradewind receive`, and the address it can be reached at."""

    def __init__(self, side, folder, host, *options, port=8886):
        self.side, self.folder, self.options = side, os.fspath(folder), options
        self.host, self.port = host, port
        self.start()

    def start(self):
        """Again after kill() it is the same receiver: the same port, folder and key."""
        self.process = self.side.start("receive", "--port", str(self.port), *self.options,
                                       self.folder)
        match = self.process.wait_for(URL, 10)
        self.key = match.group(4)

    def url(self, folder="", host=None):
        host = host or self.host
        if ":" in host:
            host = "[%s]" % host
        return "tw://%s:%d/%s#%s" % (host, self.port, folder, self.key)


class Pair:
    """A sender on the left of a network, a receiver on its right, and a folder for what arrives."""

    def __init__(self, network, place, *receive_options, ipv6=False, folder=None, port=8886):
        self.network = network
        self.folder = os.fspath(folder or os.path.join(place, "arrived"))
        os.makedirs(self.folder, exist_ok=True)
        self.left = Side(os.path.join(place, "home-left"), network.left)
        self.right = Side(os.path.join(place, "home-right"), network.right)
        host = network.right_ip6 if ipv6 else network.right_ip
        self.receiver = Receiver(self.right, self.folder, host, *receive_options, port=port)

    def start(self, *arguments, folder=""):
        """`tradewind send ARGUMENTS ADDRESS`"""
        return self.left.start("send", *arguments, self.receiver.url(folder))

    def send(self, *arguments, folder="", limit=30, code=0):
        process = self.start(*arguments, folder=folder).wait(limit)
        assert process.code == code, "exit code %s instead of %s; it said:\n%s" % (
            process.code, code, process.text())
        return process

    def arrived(self, *parts):
        return os.path.join(self.folder, *parts)

    def close(self):
        close_all([self.left, self.right])


def json_lines(process):
    """What --json printed: every line of standard output is one object."""
    return [json.loads(line) for line in process.out().decode().splitlines()]


def fields(line):
    """One line's fields by the API's names, wherever a nested structure holds them."""
    flat = {}
    for name, value in line.items():
        if name in ("transfer", "connection"):
            flat.update(value)
        else:
            flat[name] = value
    return flat


def last_sentence(process):
    """The last thing said on standard error, which must be fit for a person and for a terminal."""
    lines = [line for line in process.err().decode("utf-8").splitlines() if line.strip()]
    assert lines, "nothing on standard error, exit code %s" % process.code
    line = lines[-1]
    assert 15 <= len(line) <= 500, line
    assert line.isprintable(), ascii(line)
    return line


# --------------------------------------------------------------------------------------------------
# Trees


def fill(path, size, rng):
    """Content that no compression or accident of zeros can hide behind."""
    with open(path, "wb") as file:
        while size > 0:
            piece = min(size, 4 * MIB)
            file.write(rng.randbytes(piece))
            size -= piece


def make_file(path, size, seed=1):
    fill(path, size, random.Random(seed))
    return path


ODD_NAMES = [
    b"with space", b" leading and trailing ", b"new\nline", b"tab\there",
    b"escape\x1b[31mred\x1b[0m", b"bell\x07",
    b"not-utf8-\xff\xfe\x80", b"latin1-\xe9", "umlaut-äöü-漢字-🚢".encode(), b"-starts-with-dash",
    b"--option",
    b"*glob?[x]", b"back\\slash", b"quote'\"`$(true)", b"#hash", b"percent%41", b"semi;colon&",
    b"...", b".hidden",
    b"x" * 255, b"del\x7f",
]


def make_odd_tree(root, seed=1):
    """Every kind of thing a file system holds that a transfer has to get right. `root` is made."""
    rng = random.Random(seed)
    root = os.fsencode(root)
    os.makedirs(root)

    def add(*parts, size=None):
        path = os.path.join(root, *parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        fill(path, rng.randrange(1, 20000) if size is None else size, rng)
        return path

    for name in ODD_NAMES:
        add(b"odd", name)
        add(b"odd-folders", name, name)
    add(b"empty-file", size=0)
    os.makedirs(os.path.join(root, b"empty-folder"))
    os.makedirs(os.path.join(root, b"empty-folders", b"one", b"two"))
    deep = [b"deep-%d" % i for i in range(40)]
    add(*deep, b"bottom")
    add(*[b"l" * 200 for _ in range(15)], b"long-path")
    for exponent in (12, 16, 20):
        for delta in (-1, 0, 1):
            add(b"sizes", b"%d" % ((1 << exponent) + delta), size=(1 << exponent) + delta)
    for mode in (0o755, 0o600, 0o444, 0o711, 0o640, 0o777):
        os.chmod(add(b"modes", b"%o" % mode), mode)
    private = os.path.join(root, b"private-folder")
    add(b"private-folder", b"inside")
    os.chmod(private, 0o700)
    for name, when in ((b"epoch", 0), (b"before-1970", -86400 * 10**9 - 1),
                       (b"nanoseconds", 1234567890123456789),
                       (b"future", 4102444800 * 10**9)):
        os.utime(add(b"times", name), ns=(when, when))
    make_sparse(os.path.join(root, b"sparse"), rng)
    with open(os.path.join(root, b"only-a-hole"), "wb") as file:
        file.truncate(3 * MIB + 17)
    target = add(b"links", b"target")
    os.symlink(os.path.basename(target), os.path.join(root, b"links", b"to-file"))
    os.symlink(b"../sizes", os.path.join(root, b"links", b"to-folder"))
    os.symlink(b"nowhere", os.path.join(root, b"links", b"dangling"))
    os.symlink(b"loop", os.path.join(root, b"links", b"loop"))
    settle_folder_times(root)
    return root


def make_sparse(path, rng, size=32 * MIB):
    """Data at the start, in the middle (not on a page) and at the end; holes between."""
    with open(path, "wb") as file:
        for offset in (0, 9 * MIB + 4321, size - 10000):
            file.seek(offset)
            file.write(rng.randbytes(10000))
        file.truncate(size)


def make_small_files(root, count, size, seed=1, per_folder=500):
    rng = random.Random(seed)
    root = os.fsencode(root)
    for number in range(count):
        folder = os.path.join(root, b"%03d" % (number // per_folder))
        if number % per_folder == 0:
            os.makedirs(folder)
        with open(os.path.join(folder, b"%06d" % number), "wb") as file:
            file.write(rng.randbytes(size))
    settle_folder_times(root)
    return root


def settle_folder_times(root):
    """Folder times of long ago, so that a receiver that forgets them is seen."""
    for folder, _, _ in os.walk(os.fsencode(root), topdown=False):
        os.utime(folder, ns=(1111111111_000000000, 1111111111_000000000))


def same_bytes(a, b):
    with open(a, "rb") as file_a, open(b, "rb") as file_b:
        while True:
            piece_a, piece_b = file_a.read(MIB), file_b.read(MIB)
            if piece_a != piece_b:
                return False
            if not piece_a:
                return True


def listing(root):
    """Relative path -> stat of what links lead to, without what cannot be sent: dangling links
    and loops.
    """
    found = {}

    def walk(folder, relative, ancestors):
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            try:
                status = os.stat(path)
            except OSError:
                continue
            identity = (status.st_dev, status.st_ino)
            if stat.S_ISDIR(status.st_mode):
                if identity in ancestors:
                    continue
                found[os.path.join(relative, name)] = status
                walk(path, os.path.join(relative, name), ancestors | {identity})
            elif stat.S_ISREG(status.st_mode):
                found[os.path.join(relative, name)] = status

    status = os.stat(root)
    walk(os.fsencode(root), b"", {(status.st_dev, status.st_ino)})
    return found


def differences(source, copy, times=True, leftovers=False):
    """What is not as it should be after `source` was sent to `copy`, as sentences; at most twenty.

    Compares names, kinds, every byte, permission bits, modification times to the nanosecond, and
    that sparse files did not grow on storage. Part files and journals count as differences unless
    `leftovers`.
    """
    source, copy = os.fsencode(source), os.fsencode(copy)
    wanted, got = listing(source), listing(copy)
    found = []
    if not leftovers:
        found += ["left over: %r" % path for path in got if is_leftover(path)]
    got = {path: status for path, status in got.items() if not is_leftover(path)}
    found += ["missing: %r" % path for path in wanted if path not in got]
    found += ["too much: %r" % path for path in got if path not in wanted]
    for path in wanted:
        if path not in got or len(found) >= 20:
            continue
        a, b = wanted[path], got[path]
        regular = stat.S_ISREG(a.st_mode)
        if stat.S_IFMT(a.st_mode) != stat.S_IFMT(b.st_mode):
            found.append("other kind: %r" % path)
            continue
        if regular and not same_bytes(os.path.join(source, path), os.path.join(copy, path)):
            found.append("other content: %r (%d and %d bytes)" % (path, a.st_size, b.st_size))
        if a.st_mode & 0o777 != b.st_mode & 0o777:
            found.append("other mode: %r %o and %o" % (path, a.st_mode & 0o777, b.st_mode & 0o777))
        if times and a.st_mtime_ns != b.st_mtime_ns:
            found.append("other time: %r %d and %d" % (path, a.st_mtime_ns, b.st_mtime_ns))
        stored_a, stored_b = a.st_blocks * 512, b.st_blocks * 512
        if regular and stored_b > stored_a + MIB and stored_b > a.st_size // 2:
            found.append("not sparse any more: %r %d and %d bytes" % (path, stored_a, stored_b))
    if os.path.islink(copy):
        found.append("the copy is a link")
    return found[:20]


def is_leftover(path):
    parts = path.split(b"/")
    return any(part == b".tradewind" or part.startswith(b".tradewind-") for part in parts)


def mount_tmpfs(folder, size_bytes):
    """A small file system to fill. Unmounted at exit if the test does not do it."""
    os.makedirs(folder, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d" % size_bytes, "tmpfs", folder],
                   check=True, timeout=20)
    atexit.register(unmount, folder)
    return folder


def unmount(folder):
    if os.path.ismount(folder):
        ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(folder), 2)       # MNT_DETACH


def fault(counters):
    """Why a measurement over the emulator would be void, or None."""
    for direction in ("forth", "back"):
        for name in ("droppedOverrun", "deviceDrops", "writeErrors"):
            if counters[direction][name]:
                return "%s: %s is %d" % (direction, name, counters[direction][name])
    return None
