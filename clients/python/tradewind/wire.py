"""How a server is reached: a Unix socket, plain HTTP on a loopback address, HTTPS anywhere else.

A server on another host is known by its public key. The first key is written to a file that the
`tradewind` command shares; from then on another key is refused before anything is sent.
"""
from __future__ import annotations

import base64
import hashlib
import http.client
import ipaddress
import os
import re
import select
import shlex
import socket
import ssl
import stat
from typing import Callable, Dict, Optional, Tuple

from .errors import (Internal, InvalidParameter, KeyChanged, Timeout, TradewindError, Unavailable)

DEFAULT_PORT = 8886
ANSWER_MAX = 64 << 20
PIN = re.compile(r"sha256//[A-Za-z0-9+/]{43}=")


def default_socket_path() -> str:
    """Where the server of this user listens; if there is none, that of the machine."""
    system = "/var/lib/tradewind/state/api.sock"
    if os.geteuid() == 0:
        return system
    state = os.environ.get("XDG_STATE_HOME", "")
    if not state.startswith("/"):
        state = os.path.join(os.path.expanduser("~"), ".local", "state")
    own = os.path.join(state, "tradewind", "api.sock")
    return system if not os.path.exists(own) and os.path.exists(system) else own


def default_known_servers() -> str:
    config = os.environ.get("XDG_CONFIG_HOME", "")
    if not config.startswith("/"):
        config = os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(config, "tradewind", "known_servers")


def is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def is_loopback(host: str) -> bool:
    """What is bound never to leave the machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: Optional[float]) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(self.path)
        except BaseException:
            self.sock.close()
            self.sock = None
            raise


class PinnedConnection(http.client.HTTPSConnection):
    """HTTPS with a server that is known by its public key."""

    def __init__(self, host: str, port: int, timeout: Optional[float],
                 check: Callable[[str], None]) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Who signed the certificate says nothing more than the key does.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        super().__init__(host, port, timeout=timeout, context=context)
        self.check = check

    def connect(self) -> None:
        super().connect()
        try:
            self.check(public_key_pin(self.sock.getpeercert(True)))
        except BaseException:
            self.close()
            raise


def der_element(data: bytes, at: int) -> Tuple[int, int, int]:
    """An element of DER (X.690) at `at`: its tag, and where its content begins and ends."""
    tag, length, at = data[at], data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length, at = int.from_bytes(data[at:at + count], "big"), at + count
    if at + length > len(data):
        raise IndexError("cut off")
    return tag, at, at + length


def public_key_pin(certificate: Optional[bytes]) -> str:
    """"sha256//..." of the SubjectPublicKeyInfo in a certificate (RFC 5280, section 4.1)."""
    try:
        data = certificate or b""
        _, at, _ = der_element(data, 0)         # Certificate
        _, at, _ = der_element(data, at)        # TBSCertificate
        tag, _, end = der_element(data, at)
        if tag == 0xA0:                         # a version, which may be left out
            at = end
        for _ in range(5):                      # serial, algorithm, issuer, validity, subject
            _, _, at = der_element(data, at)
        _, _, end = der_element(data, at)
    except IndexError:
        raise Internal("the server shows a certificate that cannot be read") from None
    return "sha256//" + base64.b64encode(hashlib.sha256(data[at:end]).digest()).decode()


class KnownServers:
    """The file of keys: a line "host:port sha256//BASE64" each; others are left alone."""

    def __init__(self, path: Optional[str] = None) -> None:
        self.path = path or default_known_servers()

    def find(self, server: str) -> Tuple[Optional[str], int]:
        """The key of `server`, or None, and the number of its line."""
        try:
            with open(self.path, encoding="utf-8", errors="replace") as file:
                for number, line in enumerate(file, 1):
                    words = line.split()
                    if (len(words) > 1 and words[0].lower() == server
                            and PIN.fullmatch(words[1])):
                        return words[1], number
        except FileNotFoundError:
            pass
        except OSError as error:
            raise Internal(f"cannot read {self.path}: {error.strerror}") from error
        return None, 0

    def add(self, server: str, pin: str) -> None:
        try:
            os.makedirs(os.path.dirname(self.path) or ".", mode=0o700, exist_ok=True)
            fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # A last line that somebody has left without its end would swallow what is added.
                size = os.fstat(fd).st_size
                midline = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
                os.write(fd, f"{chr(10) * midline}{server} {pin}\n".encode())
            finally:
                os.close(fd)
        except OSError as error:
            raise Internal(f"cannot remember the key of {server} in {self.path}: "
                           f"{error.strerror}") from error


class Place:
    """Where a server is, and how to make connections to it."""

    def __init__(self, host: Optional[str], port: Optional[int], socket_path: Optional[str],
                 server_key: Optional[str], known_servers: Optional[str],
                 trust: Optional[Callable[[str, str], bool]] = None) -> None:
        if socket_path is None and host is None and port is None:
            default = default_socket_path()
            socket_path = default if is_socket(default) else None
        self.socket_path = socket_path
        self.host = (host or "127.0.0.1").strip("[]").lower()
        self.port = port or DEFAULT_PORT
        if not re.fullmatch(r"[A-Za-z0-9_:][A-Za-z0-9._:-]*", self.host):
            raise InvalidParameter(f"not the name or address of a host: {host!r}",
                                   parameter="host")
        if ":" in self.host:
            try:
                ipaddress.IPv6Address(self.host)
            except ValueError:
                raise InvalidParameter(f"not the name or address of a host: {host!r}; give the "
                                       "port apart", parameter="host") from None
        if not 0 < self.port < 65536:
            raise InvalidParameter(f"a port is a number from 1 to 65535, not {self.port}",
                                   parameter="port")
        if server_key is not None and not PIN.fullmatch(server_key):
            raise InvalidParameter("a server's key reads sha256// and 44 characters of base64",
                                   parameter="server_key")
        self.secure = socket_path is None and not is_loopback(self.host)
        self.server_key = server_key
        self.known = KnownServers(known_servers)
        self.trust = trust
        host = f"[{self.host}]" if ":" in self.host else self.host
        self.name = f"{host}:{self.port}"

    def __str__(self) -> str:
        if self.socket_path is not None:
            return f"unix:{self.socket_path}"
        return f"{'https' if self.secure else 'http'}://{self.name}"

    def connection(self, timeout: Optional[float]) -> http.client.HTTPConnection:
        if self.socket_path is not None:
            return UnixConnection(self.socket_path, timeout)
        if self.secure:
            return PinnedConnection(self.host, self.port, timeout, self.check_key)
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def check_key(self, pin: str) -> None:
        """Lets the key pass that the server is known by, or that it shows first."""
        line = 0
        known = self.server_key
        if known is None:
            known, line = self.known.find(self.name)
        if known is None:
            if self.trust is not None and not self.trust(self.name, pin):
                raise KeyChanged(f"the key of {self}, {pin}, is not known and was not accepted")
            self.known.add(self.name, pin)
        elif known != pin:
            remedy = "ask for that one"
            if line:
                remedy = f"forget the old one: sed -i {line}d {shlex.quote(self.known.path)}"
            raise KeyChanged(
                f"the key of {self} has changed: it is known by {known} and shows {pin} now; it "
                "was set up anew, or somebody else answers in its place, and would have read the "
                "password; nothing was sent",
                remedy="compare it with what the server said at its start; only if it is the "
                f"same, {remedy}")

    def error(self, error: BaseException) -> TradewindError:
        """The exception of this module for one of the system or of http.client."""
        if isinstance(error, TradewindError):
            return error
        if isinstance(error, (socket.timeout, TimeoutError)):
            return Timeout(f"{self} does not answer in time")
        if isinstance(error, (ConnectionRefusedError, FileNotFoundError)):
            return Unavailable(f"nobody answers at {self}; is `tradewind server` running there?")
        if isinstance(error, socket.gaierror):
            return Unavailable(f"the host of {self} is not known")
        return Unavailable(f"{self}: {str(error) or type(error).__name__}")


class Link:
    """One connection, used again and again, for one request at a time."""

    def __init__(self, place: Place, connect_timeout: float) -> None:
        self.place = place
        self.connect_timeout = connect_timeout
        self.http: Optional[http.client.HTTPConnection] = None

    def close(self) -> None:
        if self.http:
            self.http.close()
            self.http = None

    def _connected(self) -> http.client.HTTPConnection:
        """A connection that the other side has not given up meanwhile: nothing is sent twice."""
        if self.http and self.http.sock:
            poll = select.poll()
            poll.register(self.http.sock, select.POLLIN)
            if poll.poll(0):
                self.close()
        if not self.http or not self.http.sock:
            self.http = self.place.connection(self.connect_timeout)
            self.http.connect()
        return self.http

    def request(self, method: str, path: str, body: Optional[bytes], headers: Dict[str, str],
                timeout: Optional[float]) -> Tuple[int, bytes]:
        """The status and the body of the answer. Any failure closes the connection."""
        try:
            connection = self._connected()
            assert connection.sock is not None
            connection.sock.settimeout(timeout)
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read(ANSWER_MAX + 1)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self.place.error(error) from error
        except BaseException:
            self.close()
            raise
        if len(answer) > ANSWER_MAX:
            self.close()
            raise Internal(f"{self.place} sends more than {ANSWER_MAX >> 20} MiB in one answer")
        return response.status, answer
