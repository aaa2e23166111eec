"""Sessions, groups of methods, batches."""
from __future__ import annotations

import base64
import itertools
import json
from typing import Any, Callable, Dict, List, Mapping, Optional, Union

from .errors import Internal, NotAuthenticated, NotFound, TradewindError, from_json, from_status
from .events import Events
from .record import Record, loads
from .wire import Link, Place

# They wait on purpose: no time limit counts for them.
WAITING = ("waitFor", "getRequestResult", "sleep")


class Tradewind:
    """Where a server is and who calls.

    Without `host`, `port` and `socket_path` it is the server of this machine: its Unix socket if
    there is one, where no password is needed, else the loopback address. Hosts other than loopback
    are spoken to by HTTPS alone, and known by their public key: `server_key` ("sha256//...") or the
    one that `known_servers` holds; a new one is written there. `trust(server, key)` is asked before
    that, and says whether; without it a first key is believed.

    With `user` and `password` a session is opened at the first call, and anew when it has expired.
    `token` is that of a session or an API token. `basic=True` sends user and password with each
    request instead, for a single call.

    `timeout`: seconds for an answer, None for ever; methods that wait on purpose are not limited.
    """

    def __init__(self, host: Optional[str] = None, port: Optional[int] = None, *,
                 socket_path: Optional[str] = None, user: Optional[str] = None,
                 password: Optional[str] = None, token: Optional[str] = None,
                 basic: bool = False, server_key: Optional[str] = None,
                 known_servers: Optional[str] = None,
                 trust: Optional[Callable[[str, str], bool]] = None,
                 timeout: Optional[float] = 60.0, connect_timeout: float = 10.0) -> None:
        self.place = Place(host, port, socket_path, server_key, known_servers, trust)
        self.user, self.password, self.token, self.basic = user, password, token, basic
        self.timeout, self.connect_timeout = timeout, connect_timeout

    def api(self) -> Api:
        """A session. Use it in a `with` statement, or close() it; one thread at a time."""
        return Api(self)

    def __repr__(self) -> str:
        return f"<Tradewind {self.place}>"


class Method:
    """One method, to be called with its parameters by name."""

    def __init__(self, target: Any, name: str) -> None:
        self._target, self._name = target, name

    def __call__(self, *positional: Any, **parameters: Any) -> Any:
        if positional:
            raise TypeError(f"{self._name}() takes its parameters by name: "
                            f"{self._name}(name=value)")
        return self._target.call(self._name, parameters)

    def __repr__(self) -> str:
        return f"<method {self._name}>"


class Group:
    """The methods of a group: `api.send.getConnections(...)`."""

    def __init__(self, target: Any, prefix: str) -> None:
        self._target, self._prefix = target, prefix

    def __getattr__(self, name: str) -> Method:
        if name.startswith("_"):
            raise AttributeError(name)
        return Method(self._target, self._prefix + name)

    def __dir__(self) -> List[str]:
        return [name[len(self._prefix):] for name in self._target.method_names()
                if name.startswith(self._prefix) and "." not in name[len(self._prefix):]]


class Groups:
    """What sessions and batches have in common: groups, and methods by their bare names."""

    def __init__(self) -> None:
        self.server = Group(self, "")
        self.send = Group(self, "send.")
        self.recv = Group(self, "recv.")

    def __getattr__(self, name: str) -> Method:
        if name.startswith("_"):
            raise AttributeError(name)
        return Method(self, name)

    def __dir__(self) -> List[str]:
        return [*super().__dir__(), *(name for name in self.method_names() if "." not in name)]

    def call(self, method: str, parameters: Optional[Mapping[str, Any]] = None) -> Any:
        raise NotImplementedError

    def method_names(self) -> List[str]:
        raise NotImplementedError


class Api(Groups):
    """One session with a server.

    Every method of the reference is here, by its group (`api.server`, `api.send`, `api.recv`) or by
    its bare name (`api.getServerInfo()`); parameters are given by name, structures come back as
    `Record`. A method that ends in "Async" returns a `requestId`; `wait()` gives what comes of it,
    and so does the method without that ending: `api.ls(path="/")` is `lsAsync` and `wait()`.
    """

    def __init__(self, server: Tradewind) -> None:
        super().__init__()
        self._server = server
        self._link = Link(server.place, server.connect_timeout)
        self._numbers = itertools.count(1)
        self._token = server.token
        self._own_token = False
        self._signed_in = False
        self._openrpc: Optional[Record] = None
        self._async_names: Dict[str, str] = {}

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Api {self._server.place}>"

    def close(self) -> None:
        self._link.close()

    @property
    def token(self) -> Optional[str]:
        """The session's token, for another program to go on with; None on the Unix socket."""
        return self._token

    # Calls

    def call(self, method: str, parameters: Optional[Mapping[str, Any]] = None, *,
             timeout: Union[float, None, str] = "default") -> Any:
        """Calls a method by its full name. `timeout` in seconds, None for ever."""
        if method in self._async_names:
            return self.wait(self._call(self._async_names[method], parameters, timeout))
        try:
            return self._call(method, parameters, timeout)
        except NotFound:
            name = self._async_name(method)
            if name is None:
                raise
        self._async_names[method] = name
        return self.wait(self._call(name, parameters, timeout))

    def wait(self, request: Union[str, Mapping[str, Any]], timeout: Optional[float] = None) -> Any:
        """What comes of an asynchronous request: its id, or what the method returned."""
        if not isinstance(request, str):
            request = request["requestId"]
        return self._call("getRequestResult", {"requestId": request}, timeout)

    def batch(self) -> Batch:
        """Several calls in one round trip; see Batch."""
        return Batch(self)

    def events(self, after: Optional[int] = None, *, quiet: Optional[float] = None,
               away: float = 60.0) -> Events:
        """The events from now on, or after number `after` (0: all that the log still holds); see
        Events for `quiet` and `away`."""
        self._sign_in()
        return Events(self._server.place, self._authorization, after,
                      self._server.connect_timeout, quiet, away)

    # Documents

    def get(self, path: str) -> str:
        """What GET answers: "/metrics", "/healthz"."""
        self._sign_in()
        status, answer = self._link.request("GET", path, None, self._authorization(),
                                            self._server.timeout)
        if status != 200:
            raise from_status(status, str(self._server.place))
        return answer.decode("utf-8", "replace")

    def metrics(self) -> str:
        """The server's figures in the text format of Prometheus."""
        return self.get("/metrics")

    def openrpc(self) -> Record:
        """The description of all methods."""
        if self._openrpc is None:
            self._openrpc = loads(self.get("/openrpc.json"))
        return self._openrpc

    def method_names(self) -> List[str]:
        return [method["name"] for method in self.openrpc().get("methods", [])]

    # Within

    def _async_name(self, method: str) -> Optional[str]:
        """The full name of the asynchronous method that `method` is short for, or None."""
        if method.endswith("Async"):
            return None
        try:
            names = self.method_names()
        except TradewindError:
            return None
        if method in names or any(name.endswith("." + method) for name in names):
            return None
        wanted = [name for name in names
                  if name == method + "Async" or name.endswith("." + method + "Async")]
        return wanted[0] if len(wanted) == 1 else None

    def _call(self, method: str, parameters: Optional[Mapping[str, Any]],
              timeout: Union[float, None, str]) -> Any:
        if timeout == "default":
            waits = method.rpartition(".")[2].startswith(WAITING)
            timeout = None if waits else self._server.timeout
        request = self._request(method, parameters)
        answer = self._exchange(request, timeout)
        if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
            raise Internal(f"{self._server.place} answers neither with a result nor with an error")
        if answer.get("error") is not None:
            raise from_json(answer["error"])
        return answer["result"]

    def _request(self, method: str, parameters: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
        request: Dict[str, Any] = {"jsonrpc": "2.0", "id": next(self._numbers), "method": method}
        if parameters:
            request["params"] = dict(parameters)
        return request

    def _exchange(self, request: Any, timeout: Any) -> Any:
        """Sends it; once more if the session that was opened here has expired meanwhile."""
        self._sign_in()
        answer = self._post(request, timeout)
        if self._own_token and is_expired(answer):
            self._token, self._own_token, self._signed_in = None, False, False
            self._sign_in()
            answer = self._post(request, timeout)
        return answer

    def _post(self, request: Any, timeout: Optional[float]) -> Any:
        headers = {"Content-Type": "application/json", **self._authorization()}
        status, answer = self._link.request("POST", "/rpc", json.dumps(request).encode(), headers,
                                            timeout)
        try:
            return loads(answer)
        except ValueError:
            if status != 200:
                raise from_status(status, str(self._server.place)) from None
            raise Internal(f"{self._server.place} answers with something else than JSON") from None

    def _authorization(self) -> Dict[str, str]:
        server = self._server
        if self._token:
            return {"Authorization": f"Bearer {self._token}"}
        if server.basic and server.password is not None:
            pair = f"{server.user or ''}:{server.password}".encode()
            return {"Authorization": "Basic " + base64.b64encode(pair).decode()}
        return {}

    def _sign_in(self) -> None:
        server = self._server
        if self._token or self._signed_in or server.basic or server.password is None:
            return
        answer = self._post(self._request("auth", {"user": server.user or "",
                                                   "password": server.password}), server.timeout)
        if not isinstance(answer, dict) or answer.get("error") is not None:
            raise from_json(answer.get("error") if isinstance(answer, dict) else None)
        result = answer.get("result")
        self._signed_in = True
        # On the Unix socket there may be none: the account is known without.
        if isinstance(result, dict) and result.get("token"):
            self._token, self._own_token = result["token"], True


def is_expired(answer: Any) -> bool:
    """Whether an answer, or the first of a batch, says that the session is none."""
    if isinstance(answer, list):
        answer = answer[0] if answer else None
    if not isinstance(answer, dict) or not answer.get("error"):
        return False
    return isinstance(from_json(answer["error"]), NotAuthenticated)


class Pending:
    """A call of a batch. `result()` once the batch is done."""

    def __init__(self, method: str) -> None:
        self.method = method
        self._done = False
        self._result: Any = None
        self.error: Optional[TradewindError] = None

    def result(self) -> Any:
        """What the call returned, or its error raised."""
        if not self._done:
            raise RuntimeError(f"{self.method}: the batch is not done yet: leave its `with` "
                               "statement first")
        if self.error:
            raise self.error
        return self._result


class Batch(Groups):
    """Calls that are collected and made in one round trip, in this order, when the `with` statement
    ends. Each call returns a Pending:

        with api.batch() as batch:
            info = batch.getServerInfo()
            connections = batch.send.getConnections()
        print(info.result().serverName, len(connections.result()))
    """

    def __init__(self, api: Api) -> None:
        super().__init__()
        self._api = api
        self._requests: List[Dict[str, Any]] = []
        self._pending: Dict[int, Pending] = {}

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, kind: Any, *exception: Any) -> None:
        if kind is None:
            self.run()

    def call(self, method: str, parameters: Optional[Mapping[str, Any]] = None) -> Pending:
        request = self._api._request(method, parameters)
        pending = Pending(method)
        self._requests.append(request)
        self._pending[request["id"]] = pending
        return pending

    def method_names(self) -> List[str]:
        return self._api.method_names()

    def run(self) -> None:
        """Makes the calls that were collected. Only a failure of the whole is raised."""
        requests, pending = self._requests, self._pending
        self._requests, self._pending = [], {}
        if not requests:
            return
        answers = self._api._exchange(requests, self._api._server.timeout)
        if isinstance(answers, dict) and answers.get("error"):
            raise from_json(answers["error"])
        if not isinstance(answers, list):
            raise Internal(f"{self._api._server.place} answers a batch with no list")
        for answer in answers:
            one = pending.pop(answer.get("id"), None) if isinstance(answer, dict) else None
            if one:
                one._done, one._result = True, answer.get("result")
                one.error = from_json(answer["error"]) if answer.get("error") else None
        for one in pending.values():
            one._done = True
            one.error = Internal(f"{self._api._server.place} gives no answer to {one.method}")
