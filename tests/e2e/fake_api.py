"""A server of the API for tests of its clients: JSON-RPC, sessions, asynchronous requests and events
as the reference describes them, over a few methods, on a Unix socket or a loopback port.
"""
import base64
import http.server
import json
import os
import socket
import socketserver
import threading
import time

ERRORS = {"InvalidParameter": -32602, "NotFound": -32004, "NotAuthenticated": -32001,
          "NotPermitted": -32003, "Conflict": -32009, "LimitReached": -32010,
          "Unavailable": -32011, "VersionMismatch": -32012, "Timeout": -32013, "Internal": -32603}

STRING, INTEGER, BOOLEAN = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
LIST = {"type": "array", "items": STRING}
MAPPINGS = {"type": "array", "items": {"oneOf": [
    STRING, {"type": "object", "properties": {"srcPath": STRING, "destPath": STRING}}]}}
MAP = {"type": "object"}

# method: (summary, {parameter: (schema, required)})
METHODS = {
    "getServerInfo": ("who the server is", {}),
    "echo": ("gives the text back", {"text": (STRING, True)}),
    "sleep": ("waits", {"milliseconds": (INTEGER, True)}),
    "fail": ("fails as asked", {"name": (STRING, True)}),
    "superuser": ("elevates", {}),
    "auth": ("opens a session", {"user": (STRING, True), "password": (STRING, True)}),
    "getRequestResult": ("waits for a request", {"requestId": (STRING, True)}),
    "lsAsync": ("lists a folder", {"path": (STRING, True)}),
    "setSandboxMapping": ("maps", {"user": (STRING, True), "mapping": (MAP, True)}),
    "send.createManifest": ("names what to send", {
        "fileMappings": (MAPPINGS, False), "include": (LIST, False), "recursive": (BOOLEAN, False),
        "userData": (MAP, False), "mappings": (MAP, False)}),
    "send.setSendRateAsync": ("changes rates", {
        "destinationId": (STRING, False), "sendRate": ({"type": ["integer", "null"]}, False)}),
    "send.getConnections": ("lists connections", {}),
    "send.getDestinations": ("lists destinations", {}),
    "send.getTransfers": ("lists transfers", {"status": (STRING, False),
                                              "limit": (INTEGER, False)}),
    "recv.getTransfersAsync": ("lists what arrives", {}),
    "recv.getSourcesAsync": ("lists who sends", {}),
}


class Failure(Exception):
    def __init__(self, name, message, code=None, parameter=None, remedy=None):
        super().__init__(message)
        self.data = {"name": name}
        self.code = ERRORS[name] if code is None else code
        if parameter:
            self.data["parameter"] = parameter
        if remedy:
            self.data["remedy"] = remedy


def openrpc():
    return {"openrpc": "1.3.2", "info": {"title": "fake", "version": "1"}, "methods": [
        {"name": name, "summary": summary, "paramStructure": "by-name",
         "params": [{"name": parameter, "required": required, "schema": schema}
                    for parameter, (schema, required) in parameters.items()],
         "result": {"name": "result", "schema": {}}}
        for name, (summary, parameters) in METHODS.items()]}


class FakeApi:
    """`state`: lists that the get... methods return. `passwords`: with them a session is needed."""

    def __init__(self, path=None, passwords=None):
        self.path = path
        self.passwords = passwords
        self.calls = []                 # (method, parameters)
        self.connections = 0
        self.tokens = set()
        self.requests = {}
        self.state = {"send.getConnections": [], "send.getDestinations": [],
                      "send.getTransfers": [], "recv.getTransfersAsync": [],
                      "recv.getSourcesAsync": []}
        self.log = []                   # events from number 1 on
        self.events_per_connection = None
        self.events_begin_after = 0     # seconds between the answer and where the stream begins
        self.changed = threading.Condition()
        self.server = self._listen()
        self.port = None if path else self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def _listen(self):
        fake = self

        class Handler(FakeHandler):
            api = fake

        if self.path is None:
            return Server(("127.0.0.1", 0), Handler)
        return UnixServer(self.path, Handler)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        if self.path and os.path.exists(self.path):
            os.unlink(self.path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def happen(self, name, **fields):
        with self.changed:
            number = len(self.log) + 1
            self.log.append((number, name, {"_event": name, "_id": number, **fields}))
            self.changed.notify_all()

    # Methods

    def call(self, method, parameters, allowed):
        self.calls.append((method, parameters))
        if method not in METHODS:
            raise Failure("NotFound", "there is no method %s" % method, code=-32601)
        known = METHODS[method][1]
        for name in parameters:
            if name not in known:
                raise Failure("InvalidParameter", "%s has no parameter %s" % (method, name),
                              parameter=name, remedy="leave it out")
        for name, (_, required) in known.items():
            if required and name not in parameters:
                raise Failure("InvalidParameter", "%s needs %s" % (method, name), parameter=name)
        if not allowed and method not in ("auth", "echo", "getServerInfo"):
            raise Failure("NotAuthenticated", "this needs a session")
        return self.perform(method, **parameters)

    def perform(self, method, **given):
        if method == "getServerInfo":
            return {"serverName": "fake", "version": "1", "apiVersion": 1, "serverId": "a" * 32}
        if method == "echo":
            return given["text"]
        if method == "sleep":
            time.sleep(given["milliseconds"] / 1000)
            return None
        if method == "fail":
            raise Failure(given["name"], "as asked")
        if method == "superuser":
            raise Failure("NotPermitted", "this account is no superuser")
        if method == "auth":
            if (self.passwords or {}).get(given["user"]) != given["password"]:
                raise Failure("NotAuthenticated", "user or password are wrong")
            token = os.urandom(16).hex()
            self.tokens.add(token)
            return {"token": token}
        if method == "getRequestResult":
            if given["requestId"] not in self.requests:
                raise Failure("NotFound", "no such request", parameter="requestId")
            value = self.requests[given["requestId"]]
            if isinstance(value, Failure):
                raise value
            return value
        if method.endswith("Async"):
            return self.later(method, given)
        if method == "send.getTransfers":
            return [transfer for transfer in self.state[method]
                    if transfer["status"] == given.get("status", transfer["status"])
                    ][:given.get("limit")]
        return self.state.get(method, given)

    def later(self, method, given):
        ticket = os.urandom(16).hex()
        if given.get("path") == "/missing":
            self.requests[ticket] = Failure("NotFound", "no such folder", parameter="path")
        else:
            self.requests[ticket] = self.state.get(method, given)
        return {"requestId": ticket}

    def allowed(self, header):
        if self.passwords is None:
            return True
        kind, _, value = (header or "").partition(" ")
        if kind == "Basic":
            user, _, password = base64.b64decode(value).decode().partition(":")
            return self.passwords.get(user) == password
        return kind == "Bearer" and value in self.tokens


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64


class UnixServer(Server):
    address_family = socket.AF_UNIX

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", 0

    def get_request(self):
        connection, _ = self.socket.accept()
        return connection, ("unix", 0)


class FakeHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api = None

    def setup(self):
        super().setup()
        self.api.connections += 1

    def log_message(self, *_):
        pass

    def answer(self, value, status=200, kind="application/json"):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def one(self, request):
        try:
            result = self.api.call(request["method"], request.get("params", {}),
                                   self.api.allowed(self.headers.get("Authorization")))
            return {"jsonrpc": "2.0", "id": request["id"], "result": result}
        except Failure as failure:
            return {"jsonrpc": "2.0", "id": request["id"], "error": {
                "code": failure.code, "message": str(failure), "data": failure.data}}

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/rpc":
            self.answer(b"", 404)
            return
        request = json.loads(body)
        if isinstance(request, list):
            # The order of answers is the server's to choose.
            self.answer([self.one(each) for each in request][::-1])
        else:
            self.answer(self.one(request))

    def do_GET(self):
        if self.path == "/events":
            self.events()
        elif self.path == "/openrpc.json":
            self.answer(openrpc())
        elif self.path == "/metrics":
            self.answer(b"tradewind_up 1\n", kind="text/plain")
        elif self.path == "/healthz":
            self.answer(b"ok\n", kind="text/plain")
        else:
            self.answer(b"", 404)

    def events(self):
        api = self.api
        if not api.allowed(self.headers.get("Authorization")):
            self.answer(b"", 401)
            return
        at = int(self.headers.get("Last-Event-ID", len(api.log)))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.flush()
        time.sleep(api.events_begin_after)
        self.wfile.write(b"id: %d\n\n" % at)
        self.close_connection = True
        sent = 0
        while api.events_per_connection is None or sent < api.events_per_connection:
            with api.changed:
                if not api.changed.wait_for(lambda: len(api.log) > at, 5):
                    return
                number, name, entry = api.log[at]
            self.wfile.write(b"id: %d\nevent: %s\ndata: %s\n\n" % (
                number, name.encode(), json.dumps(entry).encode()))
            at += 1
            sent += 1
