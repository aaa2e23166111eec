"""What the processes of `tradewind server` may and may not: whom they run as, that a password has to
be right, that they end together, and that a server of before is taken over.

Accounts are made in a private copy of /etc, in a mount namespace of the test's own: this machine's
stay as they are.
"""
import concurrent.futures
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest

import tw
from apiserver import Session
from service import Service

pytestmark = pytest.mark.root
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for other accounts")
PASSWORD = "eight wooden ships"

# Copies /etc to a file system of its own, makes accounts there, and goes on as the program given.
IN_PRIVATE_ETC = r"""
set -eu
mount -t tmpfs -o mode=755 none "$1"
cp -a /etc/. "$1"
mount --bind "$1" /etc
install -m 644 "$2" /etc/pam.d/tradewind
cat >> /etc/group <<END
carriers:x:60101:twbob
twbob:x:60102:
twengine:x:60103:
END
cat >> /etc/passwd <<END
twalice:x:60101:60101::/nonexistent:/bin/sh
twbob:x:60102:60102::/nonexistent:/bin/sh
twengine:x:60103:60103::/nonexistent:/usr/sbin/nologin
END
cat >> /etc/shadow <<END
twalice:$(openssl passwd -6 "$3"):19000:0:99999:7:::
twbob:*:19000:0:99999:7:::
END
shift 3
exec "$@"
"""
ALICE, BOB, ENGINE, SPARE = 60101, 60102, 60103, 60886


def children(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
            return [int(each) for each in file.read().split()]
    except FileNotFoundError:
        return []


def status(pid):
    """The fields of /proc/PID/status, as lists of words."""
    with open("/proc/%d/status" % pid) as file:
        found = re.findall(r"(?m)^(\w+):\t(.*)$", file.read())
    return {name: words.split() for name, words in found}


def alive(pid):
    try:
        return status(pid)["State"][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(condition, limit=30):
    deadline = tw.deadline(limit)
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Separated(Service):
    """A server in a private /etc; `user`: who starts it, if not root."""

    user = None

    def launch(self):
        etc = os.path.join(self.folder, "etc")
        os.makedirs(etc, exist_ok=True)
        become = ["setpriv", "--reuid", str(self.user), "--regid", str(self.user),
                  "--clear-groups"] if self.user else []
        self.process = tw.Process(
            ["unshare", "-m", "--propagation", "private", "sh", "-c", IN_PRIVATE_ETC, "sh", etc,
             os.path.join(tw.ROOT, "packaging/pam.d/tradewind"), PASSWORD, *become,
             tw.TRADEWIND, "server", "--persistent-state-dir", self.state, "--recv-dir",
             self.received, "--identity", os.path.join(self.folder, "identity"), "--api-port",
             str(self.api_port), "--recv-port", str(self.port), *self.options],
            # AddressSanitizer stands in front of crypt(), and has to find it when it begins.
            env={"HOME": self.folder, "LD_PRELOAD": "libcrypt.so.1", **self.environment})
        self.processes.append(self.process)

    environment = {}

    def engine(self):
        return children(self.process.pid)[0]

    def agent(self, uid):
        """The process that serves this account's files."""
        found = []

        def look():
            found[:] = [each for each in children(self.process.pid)[1:]
                        if alive(each) and status(each)["Uid"] == [str(uid)] * 4]
            return found

        until(look)
        return found[0]

    def root(self):
        return Session(self.socket)

    def by_token(self, token):
        session = Session(None, self.api_port)
        session.token = session.call("authToken", token=token)["token"]
        return session


def as_account(uid, where, method, **parameters):
    """How a request ends that is made over the Unix socket by somebody known by his id alone."""
    script = ("import sys, json; sys.path.insert(0, %r); from apiserver import Session\n"
              "session = Session(%r); number = session.call(%r, **%r)['requestId']\n"
              "print(json.dumps(session.answer('getRequestResult', requestId=number)))"
              % (os.path.dirname(os.path.abspath(__file__)), where, method, parameters))
    told = subprocess.run(["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups",
                           sys.executable, "-B", "-c", script], capture_output=True, timeout=30,
                          check=True)
    return json.loads(told.stdout)


def done(session, method, **parameters):
    """The end of a request: its result or its fault."""
    number = session.call(method, **parameters)["requestId"]
    return session.answer("getRequestResult", requestId=number)


@pytest.fixture
def server(place):
    """server("--engine-user", ...): a server whose folder everybody may come through."""
    made = []
    os.chmod(place, 0o755)

    def make(*options, **attributes):
        kind = type("Separated", (Separated,), attributes)
        made.append(kind(os.path.join(place, "server-%d" % len(made)), *options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def private_folder(place, name, uid):
    """A folder that this account alone may look into, with a file."""
    path = os.path.join(place, name)
    os.makedirs(path)
    with open(os.path.join(path, "letter"), "w") as file:
        file.write("hidden")
    os.chown(path, uid, uid)
    os.chmod(path, 0o700)
    return path


def assert_unprivileged(pid, uid):
    told = status(pid)
    assert told["Uid"] == [str(uid)] * 4
    for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
        assert told[name] == ["0" * 16], name
    assert told["NoNewPrivs"] == ["1"]


@ROOT_ONLY
def test_accounts(place, server):
    """Each account is served with its own rights and no others; a password has to be right; who has
    proved himself is known after a restart."""
    alices, bobs = private_folder(place, "alices", ALICE), private_folder(place, "bobs", BOB)
    here = server("--engine-user", "twengine")
    assert status(here.process.pid)["Uid"][0] == "0"
    assert_unprivileged(here.engine(), ENGINE)
    assert status(here.engine())["Groups"] == [str(ENGINE)]

    # Larger than the system lets anybody have: by the monitor.
    told = subprocess.run(["ss", "-Huamn", "sport = :%d" % here.port], capture_output=True,
                          timeout=30, check=True).stdout.decode()
    assert told.count("rb%d," % (16 * tw.MIB)) == told.count("skmem") > 0, told

    alice = Session(None, here.api_port)
    answer = alice.call("auth", user="twalice", password=PASSWORD)
    alice.token = answer["token"]
    assert "letter" in json.dumps(done(alice, "lsAsync", path=alices)["result"])
    assert "error" in done(alice, "lsAsync", path=bobs)
    done(alice, "mkdirAsync", path=os.path.join(alices, "new"))
    made = os.stat(os.path.join(alices, "new"))
    assert (made.st_uid, made.st_gid) == (ALICE, ALICE)
    assert_unprivileged(here.agent(ALICE), ALICE)
    assert status(here.agent(ALICE))["Groups"] == [str(ALICE)]
    token = alice.call("createAPIToken", permissions=["download"])["token"]

    # Wrong, side by side: one that is there, one that is not, root, and one without a password.
    def fail(user, password):
        session = Session(None, here.api_port)
        began = time.monotonic()
        error = session.answer("auth", user=user, password=password)["error"]
        return error, time.monotonic() - began

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        failures = list(pool.map(fail, ["twalice", "twnobody", "root", "twbob"],
                                 [PASSWORD + "!", PASSWORD, PASSWORD, ""]))
    assert all(error == failures[0][0] for error, _ in failures)
    assert all(took >= 2 for _, took in failures)

    # The kernel's word is enough, and the groups are those of the database.
    assert "result" in as_account(BOB, here.socket, "lsAsync", path=bobs)
    assert status(here.agent(BOB))["Groups"] == [str(ALICE), str(BOB)]

    grants = os.path.join(here.state, "grants")
    told = os.stat(grants)
    assert (told.st_uid, told.st_mode & 0o777) == (0, 0o600)
    with open(grants) as file:
        assert sorted(file.read().splitlines()[1:]) == ["60101 60101 twalice", "60102 60102 twbob"]
    here.stop()
    assert here.process.code == 0
    here.options += ("--no-root-files",)
    here.start()
    assert len(children(here.process.pid)) == 1
    again = here.by_token(token)
    assert "result" in done(again, "lsAsync", path=alices)
    assert_unprivileged(here.agent(ALICE), ALICE)
    root = here.root()
    assert "error" in done(root, "lsAsync", path=alices)
    root.call("superuser")
    assert "configuration" in root.call("getServerInfo")


@ROOT_ONLY
@pytest.mark.parametrize("which", ["monitor", "engine"])
def test_killed(place, server, which):
    """All of it ends together, and the next one starts at once."""
    here = server("--engine-user", "twengine")
    assert "result" in as_account(BOB, here.socket, "lsAsync", path="/")
    monitor, engine, agent = here.process.pid, here.engine(), here.agent(BOB)
    os.kill(monitor if which == "monitor" else engine, signal.SIGKILL)
    here.process.wait(30)
    assert here.process.code == (-signal.SIGKILL if which == "monitor" else 1)
    here.start()
    until(lambda: not alive(engine) and not alive(agent))
    assert_unprivileged(here.engine(), ENGINE)


@ROOT_ONLY
def test_taken_over(place, server):
    """The state of a server that ran as root goes on under another account, and another one again."""
    here = server("--engine-user", "root")
    assert status(here.engine())["Uid"][0] == "0"
    made = here.root().call("createDestination", destinationAddress="192.0.2.1",
                            destinationPublicKey=here.key)["destinationId"]
    here.stop()
    assert os.stat(os.path.join(here.state, "tradewind.db")).st_uid == 0
    # A second name for somebody else's file is not given away with the rest.
    mine = os.path.join(place, "mine")
    with open(mine, "w") as file:
        file.write("root's")
    os.link(mine, os.path.join(here.state, "tradewind.db-old"))
    os.symlink(mine, os.path.join(here.state, "link"))
    # What has been received goes along; what somebody else has put there does not.
    for name, uid in (("theirs", BOB), ("got", 0)):
        with open(os.path.join(here.received, name), "w") as file:
            file.write("a file")
        os.chown(os.path.join(here.received, name), uid, uid)
    os.makedirs(os.path.join(here.received, ".tradewind"), exist_ok=True)
    for options, uid in ((("--engine-user", "twengine"), ENGINE), ((), SPARE)):
        here.options = options
        here.start()
        assert_unprivileged(here.engine(), uid)
        found = here.root().call("getDestinations")
        assert [each["destinationId"] for each in found] == [made]
        here.stop()
        assert os.stat(os.path.join(here.state, "tradewind.db")).st_uid == uid
        folder = os.stat(here.state)
        assert (folder.st_uid, folder.st_gid, folder.st_mode & 0o7777) == (0, uid, 0o1771)
        for name, owner in (("", uid), (".tradewind", uid), ("got", uid), ("theirs", BOB)):
            assert os.stat(os.path.join(here.received, name)).st_uid == owner, name
    assert os.stat(mine).st_uid == 0
    assert "useradd" in here.process.text()


@ROOT_ONLY
def test_without_root(place, server):
    """The same processes with one id; it serves its own account, whose password PAM knows."""
    folder = private_folder(place, "alices", ALICE)
    os.makedirs(os.path.join(place, "server-0", "received"))
    os.chown(os.path.join(place, "server-0"), ALICE, ALICE)
    os.chown(os.path.join(place, "server-0", "received"), ALICE, ALICE)
    here = server(user=ALICE)
    told = status(here.engine())
    assert told["Uid"] == [str(ALICE)] * 4 and told["NoNewPrivs"] == ["1"]
    assert int(told["CapPrm"][0], 16) == 0
    assert "result" in as_account(ALICE, here.socket, "lsAsync", path=folder)
    assert status(here.agent(ALICE))["Gid"] == [str(ALICE)] * 4
    # By the helper that pam_unix has for this.
    session = Session(None, here.api_port)
    assert session.call("auth", user="twalice", password=PASSWORD)["user"] == "twalice"


@ROOT_ONLY
def test_tells_systemd(place, server):
    """From the process that it knows, once it serves, and when it stops."""
    address = os.path.join(place, "notify")
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    told.bind(address)
    told.settimeout(30)
    here = server("--engine-user", "twengine", environment={"NOTIFY_SOCKET": address})

    def next_message():
        text, control, _, _ = told.recvmsg(256, socket.CMSG_SPACE(12))
        pid, _, _ = struct.unpack("iII", control[0][2])
        return text, pid

    assert next_message() == (b"READY=1", here.process.pid)
    here.stop()
    assert next_message() == (b"STOPPING=1", here.process.pid)
    told.close()


@ROOT_ONLY
def test_no_such_account(place):
    told = subprocess.run([tw.TRADEWIND, "server", "--engine-user", "no-such-account",
                           "--persistent-state-dir", os.path.join(place, "state")],
                          capture_output=True, timeout=20, check=False)
    assert told.returncode == 2
    assert b"useradd --system" in told.stderr
    assert not os.path.exists(os.path.join(place, "state"))
