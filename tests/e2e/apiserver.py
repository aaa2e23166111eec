"""A `tradewind server` under test, and a client for it that adds nothing: JSON-RPC over the Unix
socket or TCP, so that what is seen is what the server says.
"""
import contextlib
import http.client
import itertools
import json
import os
import re
import socket

import tw

ids = itertools.count(1)
HANG_MS = (20000, 30000)    # those that only keep a test from hanging


class Fault(Exception):
    """An error that a method answered."""

    def __init__(self, error):
        super().__init__("%s: %s" % (error.get("data", {}).get("name"), error.get("message")))
        self.code = error["code"]
        self.message = error["message"]
        self.name = error["data"]["name"]
        self.parameter = error["data"]["parameter"]


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket, or TCP where `path` is None. A server in a namespace knows by the
    Unix socket who is in there with it."""

    def __init__(self, path, port=0, limit=30, namespace=None):
        super().__init__("localhost" if path else "127.0.0.1", port, timeout=tw.patient(limit))
        self.path = path
        self.namespace = namespace

    def connect(self):
        if not self.path:
            super().connect()
            return
        with self.namespace.entered() if self.namespace else contextlib.nullcontext():
            self.sock = socket.socket(socket.AF_UNIX)
        # With a limit of time it would not wait for a place in the queue at all.
        self.sock.connect(self.path)
        self.sock.settimeout(self.timeout)


class Session:
    """A keep-alive connection: what it becomes (superuser) it stays."""

    def __init__(self, path, port=0, token=None, limit=30, namespace=None):
        self.connection = Connection(path, port, limit, namespace)
        self.token = token

    def post(self, body, headers=None):
        """(HTTP status, body as bytes)."""
        fields = {"Content-Type": "application/json"}
        if self.token:
            fields["Authorization"] = "Bearer " + self.token
        fields.update(headers or {})
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.connection.request("POST", "/rpc", body, fields)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def get(self, path):
        fields = {"Authorization": "Bearer " + self.token} if self.token else {}
        self.connection.request("GET", path, headers=fields)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def answer(self, method, **parameters):
        """The whole answer of one call."""
        number = next(ids)
        _, body = self.post({"jsonrpc": "2.0", "id": number, "method": method,
                             "params": parameters})
        answer = json.loads(body)
        assert answer["jsonrpc"] == "2.0"
        assert answer["id"] in (number, None)
        assert ("result" in answer) != ("error" in answer), answer
        return answer

    def call(self, method, **parameters):
        # Any other may be what is tested, of whichever type.
        if parameters.get("timeoutMs") in HANG_MS:
            parameters["timeoutMs"] = int(tw.patient(parameters["timeoutMs"]))
        answer = self.answer(method, **parameters)
        if "error" in answer:
            raise Fault(answer["error"])
        return answer["result"]

    def later(self, method, **parameters):
        """The result of an Async method."""
        request = self.call(method, **parameters)
        assert set(request) == {"requestId"}, request
        return self.call("getRequestResult", requestId=request["requestId"])

    def close(self):
        self.connection.close()


class Server:
    """`tradewind server` with a home of its own; any free ports."""

    def __init__(self, folder, *options, namespace=None, host="127.0.0.1"):
        self.side = tw.Side(folder, namespace)
        self.host = host
        self.state = os.path.join(self.side.home, "state")
        self.received = os.path.join(self.side.home, "received")
        self.options = options
        self.sessions = []
        self.start()

    def start(self, *more):
        self.process = self.side.start(
            "server", "--persistent-state-dir", self.state, "--recv-dir", self.received,
            "--identity", os.path.join(self.side.home, "identity"), "--api-port", "0",
            "--recv-port", "0", *tw.SERVER_OPTIONS, *self.options, *more)
        match = self.process.wait_for(r"controlled by https?://\S+:(\d+)/ and (\S+);", 20)
        self.port, self.socket = int(match.group(1)), match.group(2)
        self.api = self.session()
        self.info = self.api.call("getServerInfo")

    def session(self, **options):
        session = Session(self.socket, namespace=self.side.namespace, **options)
        self.sessions.append(session)
        return session

    def tcp(self, **options):
        """Only where the server shares this process's network."""
        session = Session(None, self.port, **options)
        self.sessions.append(session)
        return session

    def destination(self, other, **parameters):
        """A destination on `other`, which this server can reach."""
        return self.api.call("createDestination", destinationAddress=other.host,
                             destinationPort=other.info["receiver"]["ports"][0],
                             destinationPublicKey=other.info["publicKey"], **parameters)

    def manifest(self, source, name="copy"):
        made = self.api.call("createManifest",
                             fileMappings=[{"srcPath": os.fspath(source), "destPath": name}])
        return self.api.call("waitForManifest", manifestId=made["manifestId"], timeoutMs=20000)

    def log(self):
        return self.process.err().decode("utf-8", "replace")

    def close(self):
        for session in self.sessions:
            session.close()
        self.side.close()


def metrics(text):
    """{(name, labels as a tuple of pairs): value} of Prometheus' text format; every line must be
    one of its."""
    found, types = {}, {}
    label = r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"'
    for line in text.splitlines():
        match = re.fullmatch(r"# (HELP|TYPE) ([a-z_]+) (.+)", line)
        if match:
            if match.group(1) == "TYPE":
                assert match.group(2) not in types, line
                assert match.group(3) in ("gauge", "counter"), line
                types[match.group(2)] = match.group(3)
            continue
        match = re.fullmatch(r"([a-z_]+)(?:\{(%s(?:,%s)*)\})? (\S+)" % (label, label), line)
        assert match, line
        assert match.group(1) in types, line
        key = match.group(1), tuple(re.findall(label, match.group(2) or ""))
        assert key not in found, line
        found[key] = float(match.group(match.lastindex))
    return found
