"""The stream of a server's events."""
from __future__ import annotations

import http.client
import socket
import time
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional

from .errors import Internal, Timeout, Unavailable, from_status
from .record import loads
from .wire import Place

EVENT_MAX = 1 << 20
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 0.25, 5.0


class Event(NamedTuple):
    """`id`: its number in the event log. `name`: "send.transferComplete", ...; "gap" means that
    entries are lost, `data` tells which. `data`: the entry."""
    id: Optional[int]
    name: str
    data: Any


class Decoder:
    """Server-sent events (WHATWG HTML, section 9.2.6) from lines."""

    def __init__(self, last_id: Optional[int]) -> None:
        self.id = self.told_id = last_id    # `told_id` counts once its event has ended
        self.name = ""
        self.data: list = []
        self.size = 0

    def take(self, line: bytes) -> Optional[Event]:
        line = line.rstrip(b"\r\n")
        if not line:
            name, data = self.name, self.data
            self.name, self.data, self.size = "", [], 0
            self.id = self.told_id
            if not data:
                return None
            try:
                return Event(self.id, name or "message", loads(b"\n".join(data)))
            except ValueError:
                raise Internal("the server sends an event that is not JSON") from None
        self.size += len(line)
        if self.size > EVENT_MAX:
            raise Internal(f"the server sends an event of more than {EVENT_MAX} bytes")
        field, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if field == b"id" and value.isdigit():
            self.told_id = int(value)
        elif field == b"event":
            self.name = value.decode("utf-8", "replace")
        elif field == b"data":
            self.data.append(value)
        return None


class Events:
    """An iterator over events, on a connection of its own. A connection that breaks is made again
    and goes on after the last event that was handed out.

    It ends when nothing happened for `quiet` seconds (None: never). Unavailable is raised when the
    server has been away for `away` seconds. Use it in a `with` statement, or close() it.
    """

    def __init__(self, place: Place, headers: Callable[[], Dict[str, str]],
                 after: Optional[int], connect_timeout: float, quiet: Optional[float],
                 away: float) -> None:
        self.place, self.headers = place, headers
        self.connect_timeout, self.quiet, self.away = connect_timeout, quiet, away
        self.last_id = after
        self.http: Optional[http.client.HTTPConnection] = None
        self.response: Optional[http.client.HTTPResponse] = None
        self.decoder = Decoder(after)
        self._connect()

    def _connect(self) -> None:
        """Returns once the server has said where the stream begins: what happens from then on is
        not missed, however soon the connection breaks."""
        headers = {**self.headers(), "Accept": "text/event-stream"}
        if self.last_id is not None:
            headers["Last-Event-ID"] = str(self.last_id)
        self.decoder = Decoder(self.last_id)
        try:
            self.http = self.place.connection(self.connect_timeout)
            self.http.request("GET", "/events", headers=headers)
            self.response = self.http.getresponse()
            if self.response.status != 200:
                raise from_status(self.response.status, str(self.place))
            while self.last_id is None:
                line = self.response.readline(EVENT_MAX + 1)
                if not line.endswith(b"\n"):
                    raise http.client.HTTPException("the stream of events ended before it began")
                self.decoder.take(line)
                self.last_id = self.decoder.id
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self.place.error(error) from error
        except BaseException:
            self.close()
            raise

    def _again(self) -> None:
        deadline, pause = time.monotonic() + self.away, RETRY_SECONDS_MIN
        while True:
            try:
                return self._connect()
            except (Unavailable, Timeout):
                if time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, RETRY_SECONDS_MAX)

    def close(self) -> None:
        if self.response:
            self.response.close()
        if self.http:
            self.http.close()
        self.http = self.response = None

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        return self

    def _line(self, deadline: Optional[float]) -> bytes:
        """The next line; b"" when the connection is over. TimeoutError at the deadline."""
        if self.response is None or self.http is None:
            return b""
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        sock = self.http.sock or getattr(getattr(self.response.fp, "raw", None), "_sock", None)
        if sock is not None:
            sock.settimeout(left)
        line = self.response.readline(EVENT_MAX + 1)
        return line if line.endswith(b"\n") else b""

    def __next__(self) -> Event:
        deadline = None if self.quiet is None else time.monotonic() + self.quiet
        while True:
            try:
                line = self._line(deadline)
            except (socket.timeout, TimeoutError):
                # What has arrived of a line is lost with it: a new connection sends it again.
                self.close()
                raise StopIteration from None
            except (OSError, http.client.HTTPException, ValueError):
                line = b""
            if not line:
                self.close()
                self._again()
                continue
            event = self.decoder.take(line)
            self.last_id = self.decoder.id
            if event:
                return event
