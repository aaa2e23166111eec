"""The control interface of a running server, row by row of the contract, while it transfers to
another one over a path of 50 ms.
"""
import json
import os
import resource
import socket
import struct
import subprocess
import sys
import time

import pytest

import contract
import tw
from apiserver import Fault, Server, metrics

RATE = 1000                     # kbit/s, of the transfer that runs all the time


class World:
    """Two servers, the left one sending to the right one for as long as the tests take."""

    def __init__(self, place):
        self.place = place
        self.network = None
        if tw.privileged():
            self.network = tw.Link(rate="200M", delay="25ms")
            left, right = self.network.left, self.network.right
            self.right = Server(os.path.join(place, "right"), namespace=right,
                                host=self.network.right_ip)
            self.left = Server(os.path.join(place, "left"), namespace=left,
                               host=self.network.left_ip)
        else:
            self.right = Server(os.path.join(place, "right"))
            self.left = Server(os.path.join(place, "left"))
        self.api = self.left.api
        self.superuser = self.left.session()
        self.superuser.call("superuser")
        self.source = os.path.join(place, "source")
        os.makedirs(os.path.join(self.source, "folder", "empty"))
        tw.make_file(os.path.join(self.source, "big"), 64 * tw.MIB)
        tw.make_file(os.path.join(self.source, "folder", "small"), 1000)
        self.destination = self.left.destination(self.right, sendRateMax=RATE)
        self.manifest = self.left.manifest(self.source)
        assert self.manifest["status"] == "complete", self.manifest
        self.transfer = self.api.call("createTransfer", manifestId=self.manifest["manifestId"],
                                      destinationId=self.destination["destinationId"],
                                      sendRateMax=RATE)
        self.wait_active()

    def wait_active(self):
        until = tw.deadline(20)
        while True:
            now = self.now()
            if now["status"] == "active" and now["bytesAcked"] > 0:
                return
            assert time.monotonic() < until, now
            time.sleep(0.05)

    def now(self):
        return self.api.call("getTransfer", transferId=self.transfer["transferId"])

    def close(self):
        """Both end in order, whatever they have been through, in the middle of a transfer."""
        codes = []
        for server in (self.left, self.right):
            server.process.signal(15)
            codes.append(server.process.ended(30) and server.process.code)
        said = self.left.log()[-2000:] + self.right.log()[-2000:]
        self.left.close()
        self.right.close()
        if self.network:
            self.network.close()
        assert codes == [0, 0], said


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(os.fspath(tmp_path_factory.mktemp("api")))
    yield world
    world.close()


def fault(session, method, **parameters):
    with pytest.raises(Fault) as caught:
        session.call(method, **parameters)
    found = caught.value
    assert found.code == contract.ERRORS.get(found.name) or found.code in (-32600, -32601), found
    assert len(found.message) > 10
    return found


# What each method is called with; objects by what they name.
def good_parameters(world, method):
    inside = os.path.join(world.place, "left", "files")
    os.makedirs(inside, exist_ok=True)
    path = os.path.join(inside, "f%d" % time.monotonic_ns())
    ids = {"destinationId": world.destination["destinationId"],
           "connectionId": world.destination["connectionId"],
           "manifestId": world.manifest["manifestId"],
           "transferId": world.transfer["transferId"]}
    special = {
        "echo": {"text": "ä\n\"x\""}, "sleep": {"milliseconds": 1},
        "lsAsync": {"path": world.source}, "lsListAsync": {"paths": [world.source, "/nowhere"]},
        "duAsync": {"path": world.source}, "mkdirAsync": {"path": path + "/a/b"},
        "mkFileAsync": {"path": path},
        "setSandboxMapping": {"user": "somebody", "mapping": {"/": inside}},
        "deleteSandboxMapping": {"user": "somebody"},
        "addWranglerAsync": {"name": "somebody"}, "deleteWrangler": {"name": "somebody"},
        "createAPIToken": {"description": "x", "permissions": ["download"], "userData": {"a": 1}},
        "updateBandwidthLimits": {"incomingRateLimit": None, "outgoingRateLimit": None},
        "updateGarbageCollectSettings": {"intervalSeconds": 3600},
        "send.createDestination": {"destinationAddress": "192.0.2.7", "destinationPort": 9,
                                   "destinationPublicKey": world.right.info["publicKey"],
                                   "userData": {"k": [1, 2.5, None]}},
        "send.setSendRateAsync": {"destinationId": ids["destinationId"], "sendRateMax": RATE},
        "send.createManifest": {"fileMappings": [world.source + "/folder:there"]},
        "send.getManifestFiles": {"manifestId": ids["manifestId"], "limit": 2},
        "send.waitForManifest": {"manifestId": ids["manifestId"], "timeoutMs": 100},
        "send.getTransfers": {"status": "active", "offset": 0, "limit": 10},
        "send.createSharedToken": {"manifestId": ids["manifestId"], "downloadLimit": 2},
        "send.updateObjectUserData": {"transferId": ids["transferId"], "userData": {"b": 2}},
        "send.deleteObjectUserData": {"transferId": ids["transferId"], "keys": ["b"]},
        "recv.addAuthorizedClientAsync": {"clientPublicKey": world.right.info["publicKey"]},
        "recv.removeAuthorizedClientAsync": {"clientPublicKey": world.right.info["publicKey"]},
        "recv.allowOnlyAuthorizedClientsAsync": {"onlyAuthorizedClientsAllowed": False},
        "send.updateTransfer": {"transferId": ids["transferId"], "priority": 100},
        "sendDiscoverPacketAsync": {"address": world.right.host,
                                    "port": world.right.info["receiver"]["ports"][0],
                                    "timeoutMs": 5000},
        "recvDiscoverPacketAsync": {"address": world.right.host,
                                    "port": world.right.info["receiver"]["ports"][0],
                                    "timeoutMs": 5000},
    }
    if method in special:
        return special[method]
    return {name: ids[name] for name, _, mark in contract.parse(contract.METHODS[method])
            if mark == "!"}


# The structure of a result; a list of it where the name has brackets.
RESULTS = {
    "getServerInfo": "ServerInformation", "getThirdPartyLicenses": "[License]",
    "lsAsync": "Listing", "duAsync": "DiskUsage", "updateBandwidthLimits": "BandwidthLimits",
    "createAPIToken": "Token", "getAPITokens": "[Token]",
    "sendDiscoverPacketAsync": "Discovery", "recvDiscoverPacketAsync": "Discovery",
    "send.createDestination": "Destination", "send.getDestination": "Destination",
    "send.getDestinations": "[Destination]", "send.getConnection": "Connection",
    "send.getConnections": "[Connection]", "send.createManifest": "Manifest",
    "send.waitForManifest": "Manifest", "send.getManifest": "Manifest",
    "send.getManifests": "[Manifest]", "send.getManifestFiles": "ManifestFiles",
    "send.getTransfer": "Transfer", "send.getTransfers": "[Transfer]",
    "send.updateTransfer": "Transfer", "send.getTransferSamples": "[TransferSample]",
    "send.createSharedToken": "Token", "send.getSharedTokens": "[Token]",
    "send.getWatches": "[Watch]", "recv.getSourcesAsync": "[Source]",
    "recv.getTransfersAsync": "[ReceiveTransfer]",
}

# Those with a test of their own below, for they end something or need something made first.
APART = {
    "terminate", "auth", "authAsync", "authToken", "superuser", "wrangler", "getRequestStatus",
    "getRequestResult", "getEventLog", "mvAsync", "rmAsync", "getAPIToken", "deleteAPIToken",
    "send.deleteDestination", "send.deleteManifest", "send.createTransfer",
    "send.waitForTransfer", "send.suspendTransfer", "send.resumeTransfer", "send.cancelTransfer",
    "send.failTransfer", "send.deleteTransfer", "send.getSharedToken", "send.deleteSharedToken",
    "send.createWatch", "send.deleteWatch", "send.updateWatch",
}


@pytest.mark.parametrize("method", [m for m in contract.METHODS if m not in APART])
def test_good_call(world, method):
    session = world.superuser if method in contract.SUPERUSER else world.api
    parameters = good_parameters(world, method)
    if "Async" in method:
        result = session.later(method, **parameters)
    else:
        result = session.call(method, **parameters)
    kind = RESULTS.get(method)
    if kind and kind[0] == "[":
        assert isinstance(result, list)
        for item in result:
            contract.check(kind[1:-1], item)
    elif kind:
        contract.check(kind, result)
    if method == "echo":
        assert result == parameters["text"]
    if method in ("send.getConnections", "send.getDestinations", "send.getTransfers",
                  "send.getManifests", "getThirdPartyLicenses"):
        assert result


@pytest.mark.parametrize("method", contract.METHODS)
def test_bad_parameters(world, method):
    """Missing, unknown and ill-typed ones are errors that name them."""
    rows = contract.parse(contract.METHODS[method])
    session = world.superuser
    found = fault(session, method, noSuchParameter=1)
    assert (found.name, found.parameter) == ("InvalidParameter", "noSuchParameter")
    needed = {name: {"s": "x", "b": True, "i": 1, "o": {}, "S": [], "l": []}[letter]
              for name, letter, mark in rows if mark == "!"}
    for name in needed:
        others = {other: value for other, value in needed.items() if other != name}
        # The first that is missing is named: give those before it.
        found = fault(session, method, **others)
        assert (found.name, found.parameter) == ("InvalidParameter", name)
    for name, letter, mark in rows:
        found = fault(session, method, **dict(needed, **{name: contract.WRONG[letter]}))
        assert (found.name, found.parameter) == ("InvalidParameter", name)


def test_table(world):
    """The document that the server hands out is the contract."""
    status, body = world.api.get("/openrpc.json")
    assert status == 200
    document = json.loads(body)
    assert document["openrpc"].startswith("1.")
    methods = {method["name"]: method for method in document["methods"]}
    assert set(methods) == set(contract.METHODS)
    types = {"s": "string", "b": "boolean", "i": "integer", "t": "integer", "o": "object",
             "S": "array", "l": "array"}
    for name, method in methods.items():
        rows = contract.parse(contract.METHODS[name])
        assert {p["name"] for p in method["params"]} == {r[0] for r in rows}
        told = {p["name"]: p for p in method["params"]}
        for parameter, letter, mark in rows:
            kind = told[parameter]["schema"]["type"]
            assert types[letter] in ([kind] if isinstance(kind, str) else kind), parameter
            assert told[parameter].get("required", False) == (mark == "!"), parameter
            assert told[parameter]["description"]
        assert method["x-role"] == ("superuser" if name in contract.SUPERUSER else
                                    "anyone" if name in contract.ANYONE else "authenticated")
        assert method["x-group"] == (name.split(".")[0] if "." in name else "server")
    schemas = document["components"]["schemas"]
    for name, row in contract.STRUCTURES.items():
        assert set(schemas[name]["properties"]) == {f for f, _, _ in contract.parse(row)}, name


def test_bare_names(world):
    names = [name.split(".")[-1] for name in contract.METHODS]
    assert len(set(names)) == len(names)
    for name in ("getConnections", "getTransfers", "getManifests"):
        assert isinstance(world.api.call(name), list)
    assert fault(world.api, "getSourcesAsync").name == "NotPermitted"
    assert fault(world.api, "server.getServerInfo").name == "NotFound"
    assert fault(world.api, "recv.getConnections").name == "NotFound"


def test_roles(world):
    ordinary = world.left.session()
    for method in contract.SUPERUSER:
        assert fault(ordinary, method, **{}).name == "NotPermitted", method
    assert ordinary.call("superuser") is None
    assert ordinary.call("getWranglers") == world.superuser.call("getWranglers")
    assert world.api.call("getServerInfo")["configuration"] is None
    configuration = world.superuser.call("getServerInfo")["configuration"]
    assert configuration["recv-dir"] == world.left.received
    assert configuration["min-cipher"] == 2
    assert world.api.call("wrangler") is None


def test_authentication(world):
    request = world.api.call("authAsync", user="nobody-at-all", password="x")
    known = fault(world.api, "getRequestResult", **request)
    assert known.name == "NotAuthenticated"
    token = world.api.call("createAPIToken", password="secret", permissions=["download"])
    contract.check("Token", world.api.call("getAPIToken", token=token["token"]))
    entered = world.api.call("authToken", token=token["token"], password="secret")
    wrong = fault(world.api, "authToken", token=token["token"], password="wrong")
    unknown = fault(world.api, "authToken", token="0" * 32, password="wrong")
    assert (wrong.name, wrong.message) == (unknown.name, unknown.message)
    assert wrong.name == "NotAuthenticated"
    session = world.left.session(token=entered["token"])
    # A token is a fence: what was made without it lies outside.
    assert session.call("getTransfers") == []
    assert fault(session, "mkdirAsync", path="/nowhere/x").name == "NotPermitted"
    world.api.call("deleteAPIToken", token=token["token"])
    assert fault(session, "getTransfers").name == "NotAuthenticated"
    assert fault(world.api, "getAPIToken", token=token["token"]).name == "NotFound"


OTHER = """
import json, sys
sys.path.insert(0, sys.argv[1])
from apiserver import Session, Fault
session = Session(sys.argv[2])
found = {"transfers": session.call("getTransfers"), "destinations": session.call("getDestinations")}
for name, method, parameters in json.loads(sys.argv[3]):
    try:
        found[name] = session.call(method, **parameters)
    except Fault as fault:
        found[name] = fault.name
print(json.dumps(found))
"""


@pytest.mark.root
def test_other_account(world):
    """Somebody else sees nothing, and the same answers as for what does not exist."""
    probes = [["get", "getTransfer", {"transferId": world.transfer["transferId"]}],
              ["none", "getTransfer", {"transferId": "0" * 32}],
              ["cancel", "cancelTransfer", {"transferId": world.transfer["transferId"]}],
              ["superuser", "superuser", {}], ["wrangler", "wrangler", {}],
              ["limits", "updateBandwidthLimits", {"outgoingRateLimit": 1}]]
    for folder in (world.place, os.path.dirname(world.place), world.left.side.home):
        os.chmod(folder, 0o755)
    upper = os.path.dirname(os.path.dirname(world.place))
    os.chmod(upper, 0o755)
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c",
               OTHER, os.path.dirname(os.path.abspath(__file__)), world.left.socket,
               json.dumps(probes)]
    namespace = world.left.side.namespace
    done = subprocess.run(namespace.inside(command) if namespace else command,
                          capture_output=True, timeout=30, check=False)
    if b"Permission denied" in done.stderr:
        pytest.skip("another account cannot reach this checkout")
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == {
        "transfers": [], "destinations": [], "get": "NotFound", "none": "NotFound",
        "cancel": "NotFound", "superuser": "NotPermitted", "wrangler": "NotPermitted",
        "limits": "NotPermitted"}
    assert world.now()["status"] == "active"


def test_requests(world):
    request = world.api.call("lsAsync", path=world.source)["requestId"]
    listing = world.api.call("getRequestResult", requestId=request)
    contract.check("Listing", listing)
    for entry in listing["entries"]:
        contract.check("File", entry)
    assert [entry["name"] for entry in listing["entries"]] == ["big", "folder"]
    status = world.api.call("getRequestStatus", requestId=request)
    contract.check("Request", status)
    assert (status["status"], status["processing"]) == ("complete", False)
    request = world.api.call("lsAsync", path="/no/such/place")["requestId"]
    assert fault(world.api, "getRequestResult", requestId=request).name == "NotFound"
    status = world.api.call("getRequestStatus", requestId=request)
    assert status["status"] == "error" and status["errorMessage"]
    assert fault(world.api, "getRequestStatus", requestId="0" * 32).name == "NotFound"


def test_file_operations(world):
    place = os.path.join(world.place, "left", "operations")
    assert world.api.later("mkdirAsync", path=place + "/a/b") is None
    assert os.path.isdir(place + "/a/b")
    assert world.api.later("mkFileAsync", path=place + "/a/f") is None
    request = world.api.call("mkFileAsync", path=place + "/a/f")
    assert fault(world.api, "getRequestResult", **request).name == "Conflict"
    assert world.api.later("mvAsync", srcPath=place + "/a/f", destPath=place + "/g") is None
    assert os.listdir(place) in (["a", "g"], ["g", "a"])
    request = world.api.call("mvAsync", srcPath=place + "/g", destPath=place + "/a")
    assert fault(world.api, "getRequestResult", **request).name == "Conflict"
    request = world.api.call("rmAsync", path=place)
    assert fault(world.api, "getRequestResult", **request).name == "Conflict"
    usage = world.api.later("duAsync", path=place)
    assert (usage["totalFiles"], usage["totalSize"]) == (1, 0)
    assert world.api.later("rmAsync", path=place, recursive=True) is None
    assert not os.path.exists(place)


def test_transfer_life(world):
    """A second transfer through all its states, while the first one keeps it waiting."""
    made = world.api.call("createTransfer", manifestId=world.manifest["manifestId"],
                          destinationId=world.destination["destinationId"],
                          destinationPath="second", userData={"a": 1}, clientRequestId="once")
    again = world.api.call("createTransfer", manifestId=world.manifest["manifestId"],
                           destinationId=world.destination["destinationId"],
                           destinationPath="second", userData={"a": 1}, clientRequestId="once")
    contract.check("Transfer", made)
    this = {"transferId": made["transferId"]}
    assert again["transferId"] == made["transferId"]
    assert (made["status"], made["userData"]) == ("pending", {"a": 1})
    assert fault(world.api, "waitForTransfer", timeoutMs=1, **this).name == "Timeout"
    assert world.api.call("suspendTransfer", **this)["status"] == "suspended"
    assert world.api.call("resumeTransfer", **this)["status"] in ("pending", "active")
    assert world.api.call("updateTransfer", priority=200, **this)["priority"] == 200
    failed = world.api.call("failTransfer", errorMessage="because", **this)
    assert (failed["status"], failed["errorMessage"]) == ("error", "because")
    assert world.api.call("waitForTransfer", **this)["status"] == "error"
    assert world.api.call("deleteTransfer", **this) is None
    assert fault(world.api, "getTransfer", **this).name == "NotFound"
    made = world.api.call("createTransfer", manifestId=world.manifest["manifestId"],
                          destinationId=world.destination["destinationId"])
    this = {"transferId": made["transferId"]}
    assert world.api.call("cancelTransfer", **this)["status"] == "cancelled"
    world.api.call("deleteTransfer", **this)
    running = {"transferId": world.transfer["transferId"]}
    assert fault(world.api, "deleteTransfer", **running).name == "Conflict"
    assert fault(world.api, "deleteManifest",
                 manifestId=world.manifest["manifestId"]).name == "Conflict"
    assert fault(world.api, "deleteDestination",
                 destinationId=world.destination["destinationId"]).name == "Conflict"


def test_objects_go(world):
    key = {"destinationAddress": "192.0.2.9", "destinationPublicKey": world.right.info["publicKey"]}
    made = world.api.call("createDestination", **key)
    assert world.api.call("createDestination", **key)["destinationId"] == made["destinationId"]
    assert world.api.call("deleteDestination", destinationId=made["destinationId"]) is None
    gone = {"destinationId": made["destinationId"]}
    assert fault(world.api, "getDestination", **gone).name == "NotFound"
    assert fault(world.api, "getConnection", connectionId=made["connectionId"]).name == "NotFound"
    made = world.left.manifest(os.path.join(world.source, "folder"))
    assert world.api.call("deleteManifest", manifestId=made["manifestId"]) is None
    assert fault(world.api, "getManifest", manifestId=made["manifestId"]).name == "NotFound"
    token = world.api.call("createSharedToken", manifestId=world.manifest["manifestId"])
    contract.check("Token", world.api.call("getSharedToken", token=token["token"]))
    assert world.api.call("deleteSharedToken", token=token["token"]) is None
    assert fault(world.api, "getSharedToken", token=token["token"]).name == "NotFound"


def test_manifest_files(world):
    both = world.api.call("getManifestFiles", manifestId=world.manifest["manifestId"])
    for entry in both["fileMappings"]:
        contract.check("ManifestFile", entry)
    names = [entry["destPath"] for entry in both["fileMappings"]]
    assert "copy/big" in names and "copy/folder/small" in names
    part = world.api.call("getManifestFiles", manifestId=world.manifest["manifestId"], offset=1,
                          limit=1)
    assert part["fileMappings"] == both["fileMappings"][1:2]


def test_live_values(world):
    """Of a running transfer; what each means in full is tested elsewhere."""
    connection = world.api.call("getConnection", connectionId=world.destination["connectionId"])
    assert connection["encryptedConnectionState"] == "connected"
    assert connection["destinationIP"] == world.right.host
    assert connection["lastDestinationServerId"] == world.right.info["serverId"]
    assert connection["lastDestinationServerUid"] == world.right.info["serverUid"]
    assert connection["sendRateMax"] == RATE
    assert connection["lastError"] is None
    if world.network:
        assert 45 < connection["roundTripTimeMs"] < 100
    transfer = world.now()
    assert transfer["status"] == "active" and transfer["processing"]
    assert transfer["totalBytes"] == 64 * tw.MIB + 1000 and transfer["totalFiles"] == 2
    assert 0 < transfer["bytesAcked"] <= transfer["totalBytes"]
    assert transfer["requestTime"] <= transfer["startTime"] <= transfer["snapshotTime"]
    superuser = world.right.session()
    superuser.call("superuser")
    arriving = superuser.later("recv.getTransfersAsync")
    assert world.transfer["transferId"] in [one["transferId"] for one in arriving]
    for one in arriving:
        contract.check("ReceiveTransfer", one)
    sources = superuser.later("recv.getSourcesAsync")
    assert any(source["activeTransferCount"] == 1 for source in sources)
    for source in sources:
        contract.check("Source", source)


def test_batch(world):
    calls = [{"jsonrpc": "2.0", "id": "a", "method": "echo", "params": {"text": "1"}},
             {"jsonrpc": "2.0", "method": "echo", "params": {"text": "no answer"}},
             {"jsonrpc": "2.0", "id": 2, "method": "getConnections"}, 7,
             {"jsonrpc": "2.0", "id": 3, "method": "none"}]
    status, body = world.api.post(calls)
    answers = json.loads(body)
    assert status == 200 and [answer["id"] for answer in answers] == ["a", 2, None, 3]
    assert answers[0]["result"] == "1" and answers[1]["result"]
    assert [answers[i]["error"]["code"] for i in (2, 3)] == [-32600, -32601]
    status, body = world.api.post(calls[1:2])
    assert (status, body) == (204, b"")
    status, body = world.api.post([calls[0]] * 1001)
    assert status == 400 and json.loads(body)["error"]["code"] == -32600
    # What follows superuser in a batch has its rights.
    session = world.left.session()
    status, body = session.post([{"jsonrpc": "2.0", "id": 1, "method": "superuser"},
                                 {"jsonrpc": "2.0", "id": 2, "method": "getWranglers"}])
    assert "result" in json.loads(body)[1]


def test_version(world):
    call = {"jsonrpc": "2.0", "id": 1, "method": "echo", "params": {"text": ""}}
    _, body = world.api.post(call, {"Tradewind-Api-Version": "99"})
    error = json.loads(body)["error"]
    assert error["data"]["name"] == "VersionMismatch" and "version 1" in error["message"]


BAD_BODIES = {
    "nothing": b"", "half": b'{"jsonrpc":', "text": b'"echo"',
    "duplicate": b'{"jsonrpc":"2.0","id":1,"method":"echo","method":"terminate"}',
    "duplicate inside": b'{"jsonrpc":"2.0","id":1,"method":"echo","params":{"text":"a","text":"b"}}',
    "not UTF-8": b'{"jsonrpc":"2.0","id":1,"method":"echo","params":{"text":"\xff\xfe"}}',
    "overlong": b'{"jsonrpc":"2.0","id":1,"method":"echo","params":{"text":"\xc0\x80"}}',
    "NUL": b'{"jsonrpc":"2.0","id":1,"method":"echo","params":{"text":"\\u0000"}}',
    "brackets": b"[" * 1000 + b"]" * 1000,
    "braces": b'{"a":' * 1000 + b"1" + b"}" * 1000,
    "huge number": b'{"jsonrpc":"2.0","id":1,"method":"sleep","params":{"milliseconds":1e999}}',
    "more behind": b'{"jsonrpc":"2.0","id":1,"method":"echo","params":{"text":""}} {}',
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_body(world, name):
    status, body = world.left.session().post(BAD_BODIES[name])
    assert status == 400
    error = json.loads(body)
    assert error["id"] is None and error["error"]["code"] == -32700
    assert world.api.call("echo", text="still there") == "still there"


def raw(world, limit=20):
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(world.left.socket)
    peer.settimeout(limit)
    return peer


def test_body_of_100_mb(world):
    head = (b"POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100000000\r\n\r\n")
    with raw(world) as peer:
        peer.sendall(head + b"[" * 10000)
        assert peer.recv(1000).startswith(b"HTTP/1.1 413 ")
    # Also from one who does not say how much it will be, and sends on regardless.
    with raw(world) as peer:
        peer.sendall(head.replace(b"Content-Length: 100000000", b"Transfer-Encoding: chunked"))
        try:
            for _ in range(1600):
                peer.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
        except OSError:
            pass
        try:
            assert peer.recv(1000).startswith(b"HTTP/1.1 413 ")
        except ConnectionResetError:
            pass
    assert world.now()["status"] == "active"


def test_strange_requests(world):
    for text, status in (
            (b"GET / HTTP/1.1\r\n\r\n", b"400"), (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"400"),
            (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n", b"431"),
            (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 100 + b"\r\n", b"431"),
            (b"BREW /rpc HTTP/1.1\r\nHost: x\r\n\r\n", b"405"),
            (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", b"404"),
            (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"200")):
        with raw(world) as peer:
            peer.sendall(text)
            assert peer.recv(100).split()[1] == status, text[:60]


def test_ten_thousand_connections(world):
    """Silent ones, and halves of requests: others are served, the transfer goes on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(10000, hard - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, wanted + 500)), hard))
    before = world.now()
    crowd = []
    try:
        for number in range(wanted):
            peer = socket.socket(socket.AF_UNIX)
            peer.connect(world.left.socket)
            if number % 2:
                try:
                    peer.send(b"POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Le")
                except OSError:
                    pass        # it has been dropped already
            crowd.append(peer)
            if number % 1000 == 999:
                assert world.left.session().call("echo", text="x") == "x"
        assert world.left.session().call("echo", text="x") == "x"
    finally:
        for peer in crowd:
            peer.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    # Whoever was dropped to make room dials again.
    world.api.close()
    world.superuser.close()
    world.superuser.call("superuser")
    until = tw.deadline(20)
    while world.now()["bytesAcked"] <= before["bytesAcked"]:
        assert time.monotonic() < until, "the transfer stands still"
        time.sleep(0.1)
    assert world.now()["status"] == "active"


class Events:
    """Server-Sent Events, read by hand."""

    def __init__(self, world, after=None):
        self.peer = raw(world)
        fields = "Last-Event-ID: %d\r\n" % after if after is not None else ""
        self.peer.sendall(("GET /events HTTP/1.1\r\nHost: x\r\n%s\r\n" % fields).encode())
        self.file = self.peer.makefile("rb")
        assert self.file.readline().split()[1] == b"200"
        while self.file.readline() != b"\r\n":
            pass
        self.text = b""

    def next(self):
        """(id, name, data) of the next one; comments are passed over."""
        while True:
            while b"\n\n" not in self.text:
                size = int(self.file.readline(), 16)
                self.text += self.file.read(size)
                assert self.file.readline() == b"\r\n"
            event, self.text = self.text.split(b"\n\n", 1)
            fields = dict(line.split(": ", 1) for line in event.decode().split("\n")
                          if not line.startswith(":"))
            if "data" in fields:
                return (int(fields["id"]) if "id" in fields else None, fields["event"],
                        json.loads(fields["data"]))

    def close(self):
        self.file.close()
        self.peer.close()


def test_events(world):
    log = world.api.call("getEventLog")
    assert [entry["_id"] for entry in log] == sorted(entry["_id"] for entry in log)
    assert {"send.destinationCreated", "send.transferStarted"} <= {e["_event"] for e in log}
    for entry in log:
        assert contract.fits(entry["_timestamp"], "t") and entry["_id"] > 0
    assert world.api.call("getEventLog", limit=1) == log[:1]
    assert world.api.call("getEventLog", afterId=log[0]["_id"], limit=1) == log[1:2]
    assert all(entry["_timestamp"] >= log[1]["_timestamp"]
               for entry in world.api.call("getEventLog", since=log[1]["_timestamp"]))
    # Resumed behind an entry: the very same ones again, in order.
    events = Events(world, after=log[0]["_id"])
    for entry in log[1:]:
        number, name, data = events.next()
        assert (number, name, data) == (entry["_id"], entry["_event"], entry)
    # And then what happens.
    made = world.api.call("createDestination", destinationAddress="192.0.2.33",
                          destinationPublicKey=world.right.info["publicKey"])
    number, name, data = events.next()
    assert name == "send.destinationCreated" and data["destinationId"] == made["destinationId"]
    events.close()
    world.api.call("deleteDestination", destinationId=made["destinationId"])
    events = Events(world, after=number)
    assert events.next()[1] == "send.destinationDeleted"
    events.close()
    events = Events(world, after=1 << 40)
    number, name, data = events.next()
    assert name == "gap" and number + 1 == data["firstId"] <= log[0]["_id"]
    events.close()


def test_slow_follower(world):
    """It takes nothing; the others hear all of it."""
    slow = raw(world)
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    slow.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 0\r\n\r\n")
    quick = Events(world)
    for number in range(100):
        made = world.api.call("createDestination", destinationAddress="192.0.2.34",
                              destinationPort=1000 + number,
                              destinationPublicKey=world.right.info["publicKey"])
        assert quick.next()[2]["destinationId"] == made["destinationId"]
        world.api.call("deleteDestination", destinationId=made["destinationId"])
        assert quick.next()[1] == "send.destinationDeleted"
    quick.close()
    # Cut hard, with all of it still to come.
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    slow.close()
    assert world.api.call("echo", text="") == ""


def test_metrics(world):
    status, body = world.api.get("/metrics")
    assert status == 200
    found = metrics(body.decode())
    assert found["tradewind_transfers_active", ()] == 1
    assert found["tradewind_api_calls_total", ()] > 100
    mine = [value for (name, labels), value in found.items()
            if name == "tradewind_connection_round_trip_seconds"
            and ("connection", world.destination["connectionId"]) in labels]
    assert len(mine) == 1 and 0 < mine[0] < 1
    mine = [value for (name, labels), value in found.items()
            if name == "tradewind_transfer_bytes"
            and ("transfer", world.transfer["transferId"]) in labels]
    assert mine == [64 * tw.MIB + 1000]
    assert world.api.get("/healthz") == (200, b"ok\n")


def test_watches(world):
    place = os.path.join(world.place, "watched")
    os.makedirs(place, exist_ok=True)
    made = world.api.call("createWatch", srcPath=place, enabled=False,
                          destinationId=world.destination["destinationId"], include=["*.x"])
    contract.check("Watch", made)
    this = {"watchId": made["watchId"]}
    assert made["include"] == ["*.x"] and not made["enabled"]
    changed = world.api.call("updateWatch", settleSeconds=7, **this)
    assert (changed["settleSeconds"], changed["include"]) == (7, ["*.x"])
    assert this["watchId"] in [watch["watchId"] for watch in world.api.call("getWatches")]
    assert world.api.call("deleteWatch", **this) is None
    assert fault(world.api, "updateWatch", **this).name == "NotFound"


def test_page_is_up_to_date():
    done = subprocess.run([os.path.join(tw.ROOT, "tools", "api-docs"), "--check"], timeout=60,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_method_has_a_test():
    with open(__file__) as file:
        text = file.read()
    for method in APART:
        assert text.count('"%s"' % method.split(".")[-1]) >= 1, method


def test_stop(tmp_path):
    """terminate, and signals: an orderly end, and the same server at the next start."""
    server = Server(tmp_path / "server")
    try:
        uid, instance = server.info["serverUid"], server.info["serverId"]
        made = server.api.call("createDestination", destinationAddress="192.0.2.1",
                               destinationPublicKey=server.info["publicKey"])
        session = server.session()
        session.call("superuser")
        assert session.call("terminate") is None
        assert server.process.wait(20).code == 0, server.log()
        assert not os.path.exists(server.socket)
        server.start()
        assert server.info["serverUid"] == uid and server.info["serverId"] != instance
        assert [one["destinationId"] for one in server.api.call("getDestinations")] == \
            [made["destinationId"]]
        server.process.signal(15)
        assert server.process.wait(20).code == 0, server.log()
    finally:
        server.close()


def test_options(tmp_path):
    side = tw.Side(tmp_path / "side")
    config = tmp_path / "server.conf"
    config.write_text("# options\nserver-name = from a file\napi-port 0\nrecv-port=0\n"
                      "incoming-rate-limit 50M\n")
    try:
        process = side.start("server", "--config", config, "--log-level", "debug")
        process.wait_for("server from a file, version", 20)
        process.wait_for("controlled by", 20)
        process.signal(2)
        assert process.wait(20).code == 0
        for bad in (["--api-port", "99999"], ["--min-cipher", "4"], ["--encryption", "maybe"],
                    ["--outgoing-rate-limit", "0"], ["--log-level", "loud"], ["--recv-port", "x"],
                    ["--config", "/nonexistent"], ["more"]):
            process = side.start("server", *bad)
            assert process.wait(20).code == 2, bad
            tw.last_sentence(process)
        process = side.start("server", "--api-host", "0.0.0.0", "--recv-port", "0")
        assert process.wait(20).code == 5
        assert "--api-allow-remote-control" in tw.last_sentence(process)
    finally:
        side.close()
