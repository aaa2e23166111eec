"""A server that root starts, and what several accounts reach through it: their own files with their
own rights, inside their mappings; the engine itself reads nothing of anybody.
"""
import json
import os
import pwd
import stat
import subprocess
import sys

import pytest

import apiserver

pytestmark = pytest.mark.root

# Calls as another account, in a process of its own: the server knows its peers by what the kernel
# says of them. Each call: [name, method, parameters]; "Async" is waited for.
CALLS = """
import json, sys
sys.path.insert(0, sys.argv[1])
import apiserver
session, results = apiserver.Session(sys.argv[2]), {}
for name, method, parameters in json.loads(sys.argv[3]):
    call = session.later if method.endswith("Async") else session.call
    parameters = {key: value % results if isinstance(value, str) and "%(" in value else value
                  for key, value in parameters.items()}
    try:
        result = call(method, **parameters)
    except apiserver.Fault as fault:
        result = fault.name
    results[name] = result
    for key in ("manifestId", "transferId", "destinationId"):
        if isinstance(result, dict) and key in result:
            results[key] = result[key]
print(json.dumps(results))
"""


class World:
    def __init__(self, folder):
        self.place = os.fspath(folder)
        self.server = apiserver.Server(os.path.join(self.place, "one"))
        self.other = apiserver.Server(os.path.join(self.place, "two"))
        self.server.api.call("superuser")
        self.files = os.path.join(self.place, "files")
        self.people = {}
        above = self.place
        while above != "/":
            os.chmod(above, os.stat(above).st_mode | 0o055)
            above = os.path.dirname(above)
        for side in (self.server, self.other):
            os.chmod(side.side.home, 0o755)
        os.makedirs(self.files)
        for name in ("daemon", "bin"):
            account = pwd.getpwnam(name)
            self.people[name] = account
            home = os.path.join(self.files, name)
            os.makedirs(home)
            self.put(name + "/own", b"of " + name.encode(), account, 0o600)
            os.chown(home, account.pw_uid, account.pw_gid)
            os.chmod(home, 0o700)
        self.put("roots", b"secret", None, 0o600)

    def put(self, name, content, account=None, mode=0o644):
        path = os.path.join(self.files, name)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)
        if account:
            os.chown(path, account.pw_uid, account.pw_gid)
        return path

    def call(self, account, *calls):
        """{name of the call: its result, or the name of its fault}."""
        who = self.people[account]
        done = subprocess.run(
            ["setpriv", "--reuid=%d" % who.pw_uid, "--regid=%d" % who.pw_gid, "--clear-groups",
             sys.executable, "-B", "-c", CALLS, os.path.dirname(os.path.abspath(__file__)),
             self.server.socket, json.dumps(calls)],
            capture_output=True, timeout=60, check=False)
        if b"Permission denied" in done.stderr:
            pytest.skip("another account cannot reach this checkout")
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def map(self, user, mapping):
        self.server.api.call("setSandboxMapping", user=user, mapping=mapping)

    def unmap(self):
        for user in self.server.api.call("getSandboxMappings"):
            self.server.api.call("deleteSandboxMapping", user=user)

    def close(self):
        self.server.close()
        self.other.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("sandbox"))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def nothing_mapped(world):
    world.unmap()


def names(listing):
    return [entry["name"] for entry in listing["entries"]]


def test_own_rights(world):
    """What an account may not, the server does not for it, although root has started it."""
    files = world.files
    found = world.call(
        "daemon", ("own", "lsAsync", {"path": files + "/daemon"}),
        ("other", "lsAsync", {"path": files + "/bin"}),
        ("make", "mkFileAsync", {"path": files + "/daemon/made"}),
        ("folder", "mkdirAsync", {"path": files + "/daemon/deep/er"}),
        ("beside", "mkFileAsync", {"path": files + "/made"}),
        ("move", "mvAsync", {"srcPath": files + "/roots", "destPath": files + "/daemon/x"}),
        ("remove", "rmAsync", {"path": files + "/roots"}),
        ("roots", "lsRootsAsync", {}))
    assert names(found["own"]) == ["own"]
    assert found["other"] == "NotPermitted"
    assert found["make"] is None and found["folder"] is None
    assert [found[call] for call in ("beside", "move", "remove")] == ["NotPermitted"] * 3
    assert found["roots"] == ["/"]
    made = os.stat(files + "/daemon/made")
    assert (made.st_uid, made.st_gid) == world.people["daemon"][2:4]
    assert stat.S_ISDIR(os.stat(files + "/daemon/deep/er").st_mode)
    assert os.path.exists(files + "/roots")


def test_manifests_with_own_rights(world):
    """A file that only its owner may read arrives; one of root's does not even get into a manifest."""
    files = world.files
    receiver = {"destinationAddress": "127.0.0.1",
                "destinationPort": world.other.info["receiver"]["ports"][0],
                "destinationPublicKey": world.other.info["publicKey"]}
    found = world.call(
        "bin",
        ("bad", "createManifest", {"fileMappings": [files + "/daemon/own:stolen"]}),
        ("refused", "waitForManifest", {"manifestId": "%(manifestId)s", "timeoutMs": 20000}),
        ("good", "createManifest", {"fileMappings": [files + "/bin:mine"]}),
        ("listed", "waitForManifest", {"manifestId": "%(manifestId)s", "timeoutMs": 20000}),
        ("to", "createDestination", receiver),
        ("goes", "createTransfer", {"manifestId": "%(manifestId)s",
                                    "destinationId": "%(destinationId)s"}),
        ("went", "waitForTransfer", {"transferId": "%(transferId)s", "timeoutMs": 30000}))
    assert found["refused"]["status"] == "error"
    assert found["listed"]["status"] == "complete", found["listed"]
    assert found["went"]["status"] == "complete", found["went"]
    with open(os.path.join(world.other.received, "mine", "own"), "rb") as file:
        assert file.read() == b"of bin"
    assert not os.path.exists(os.path.join(world.other.received, "stolen"))


def test_mappings(world):
    files = world.files
    world.map("", {"/": files + "/{user}", "/shared": {"type": "File", "path": files}})
    os.symlink("/etc", files + "/daemon/etc")
    os.symlink("../roots", files + "/daemon/up")
    found = world.call(
        "daemon", ("top", "lsAsync", {"path": "/"}), ("shared", "lsAsync", {"path": "/shared"}),
        ("own", "lsAsync", {"path": "/own"}), ("roots", "lsRootsAsync", {}),
        ("up", "lsAsync", {"path": "/../roots"}), ("etc", "lsAsync", {"path": "/etc/passwd"}),
        ("link", "lsAsync", {"path": "/up"}), ("whole", "lsAsync", {"path": files}),
        ("remove", "rmAsync", {"path": "/shared", "recursive": True}),
        ("move", "mvAsync", {"srcPath": "/made", "destPath": "/shared/made"}))
    assert {"own", "shared", "etc", "up"} <= set(names(found["top"]))
    assert "roots" in names(found["shared"])
    assert found["own"]["size"] == len(b"of daemon")
    assert sorted(found["roots"]) == ["/", "/shared"]
    assert [found[call] for call in ("up", "etc", "link")] == ["NotPermitted"] * 3
    assert found["whole"] == "NotFound"
    assert found["remove"] == "Conflict"
    assert found["move"] == "NotPermitted"      # the shared folder is root's
    found = world.call("bin", ("top", "lsAsync", {"path": "/"}))
    assert names(found["top"]) == ["own", "shared"]
