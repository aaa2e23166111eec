"""The Python module against a fake server: everything that a healthy server never shows."""
import os
import socket
import ssl
import subprocess
import sys
import threading

import pytest

import tw
from fake_api import ERRORS, FakeApi

sys.path.insert(0, os.path.join(tw.ROOT, "clients", "python"))
import tradewind  # noqa: E402
from tradewind import Tradewind  # noqa: E402
from tradewind.wire import KnownServers, public_key_pin  # noqa: E402


@pytest.fixture
def fake(tmp_path):
    with FakeApi(str(tmp_path / "api.sock")) as server:
        yield server


@pytest.fixture
def api(fake):
    with Tradewind(socket_path=fake.path).api() as session:
        yield session


def test_groups_and_bare_names(fake, api):
    assert api.getServerInfo().serverName == "fake"
    assert api.server.getServerInfo()["serverName"] == "fake"
    assert api.echo(text="grüße") == "grüße"
    assert api.send.getConnections() == []
    assert api.send.createManifest(fileMappings=["a:b"]).fileMappings == ["a:b"]
    assert fake.calls == [("getServerInfo", {}), ("getServerInfo", {}), ("echo", {"text": "grüße"}),
                          ("send.getConnections", {}),
                          ("send.createManifest", {"fileMappings": ["a:b"]})]
    assert fake.connections == 1, "one connection for all calls"
    with pytest.raises(TypeError, match="by name"):
        api.echo("hello")


def test_names_for_completion(api):
    assert "createManifest" in dir(api.send) and "getTransfersAsync" in dir(api.recv)
    assert "getServerInfo" in dir(api.server) and "createManifest" not in dir(api.server)
    assert "echo" in dir(api)


def test_records(api):
    info = api.getServerInfo()
    assert info.version == info["version"] == "1" and "serverId" in dir(info)
    with pytest.raises(AttributeError, match="there are: serverName"):
        info.nothing


@pytest.mark.parametrize("name", ERRORS)
def test_each_error_is_an_exception_of_its_name(api, name):
    with pytest.raises(tradewind.TradewindError) as caught:
        api.fail(name=name)
    assert type(caught.value) is getattr(tradewind, name)
    assert caught.value.name == name and caught.value.code == ERRORS[name]
    assert str(caught.value) == "as asked"


def test_parameter_and_remedy(api):
    with pytest.raises(tradewind.InvalidParameter) as caught:
        api.echo(txt="x")
    assert caught.value.parameter == "txt" and caught.value.remedy == "leave it out"
    assert str(caught.value) == "echo has no parameter txt (leave it out)"


def test_asynchronous_requests(fake, api):
    ticket = api.lsAsync(path="/srv")
    assert api.wait(ticket) == api.wait(ticket.requestId) == {"path": "/srv"}
    assert api.ls(path="/srv") == {"path": "/srv"}
    fake.calls.clear()
    assert api.ls(path="/srv") == {"path": "/srv"}
    assert [name for name, _ in fake.calls] == ["lsAsync", "getRequestResult"], "found only once"
    assert api.recv.getTransfers() == []
    with pytest.raises(tradewind.NotFound) as caught:
        api.ls(path="/missing")
    assert caught.value.parameter == "path"
    with pytest.raises(tradewind.NotFound, match="no method nothing"):
        api.nothing()


def test_batch(fake, api):
    with api.batch() as batch:
        info = batch.getServerInfo()
        wrong = batch.echo()
        connections = batch.send.getConnections()
        with pytest.raises(RuntimeError):
            info.result()
    assert info.result().serverName == "fake" and connections.result() == []
    with pytest.raises(tradewind.InvalidParameter):
        wrong.result()
    with pytest.raises(ZeroDivisionError):
        with api.batch() as batch:
            batch.echo(text="never sent")
            raise ZeroDivisionError
    assert ("echo", {"text": "never sent"}) not in fake.calls


def test_documents(api):
    assert api.metrics() == "tradewind_up 1\n"
    assert api.openrpc().methods[0].name == "getServerInfo"
    with pytest.raises(tradewind.NotFound, match="is it a Tradewind server"):
        api.get("/nothing")


def test_time_limits(fake):
    with Tradewind(socket_path=fake.path, timeout=0.05).api() as api:
        api.sleep(milliseconds=150)             # waits on purpose
        with pytest.raises(tradewind.Timeout):
            api.call("sleep", {"milliseconds": 2000}, timeout=0.05)
        assert api.echo(text="again") == "again"


def test_a_connection_that_was_closed_while_idle(fake, api):
    assert api.echo(text="1") == "1"
    api._link.http.sock.shutdown(socket.SHUT_WR)        # the server hangs up on that
    while api._link.http.sock.recv(1):
        pass
    fake.calls.clear()
    assert api.echo(text="2") == "2"
    assert fake.calls == [("echo", {"text": "2"})]


def test_nobody_there(tmp_path):
    for server in (Tradewind(socket_path=str(tmp_path / "none")),
                   Tradewind("127.0.0.1", free_port())):
        with server.api() as api, pytest.raises(tradewind.Unavailable, match="tradewind server"):
            api.getServerInfo()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_sessions():
    with FakeApi(passwords={"ann": "pw"}) as fake:
        with Tradewind("127.0.0.1", fake.port, user="ann", password="pw").api() as api:
            assert api.send.getTransfers() == []
            first = api.token
            fake.tokens.clear()
            assert api.send.getTransfers() == []
            assert api.token not in (None, first)
            with Tradewind("localhost", fake.port, token=api.token).api() as other:
                assert other.send.getTransfers() == []
            fake.tokens.clear()
            with api.batch() as batch:
                transfers = batch.send.getTransfers()
            assert transfers.result() == []
        assert [name for name, _ in fake.calls].count("auth") == 3
        with Tradewind("127.0.0.1", fake.port, user="ann", password="pw", basic=True).api() as api:
            assert api.send.getTransfers() == []
        assert [name for name, _ in fake.calls].count("auth") == 3
        for wrong in ({"user": "ann", "password": "no"}, {"token": "x"}, {}):
            with Tradewind("127.0.0.1", fake.port, **wrong).api() as api:
                with pytest.raises(tradewind.NotAuthenticated):
                    api.send.getTransfers()
        with Tradewind("127.0.0.1", fake.port).api() as api:
            with pytest.raises(tradewind.NotAuthenticated):
                api.events()


def test_events_resume(fake, api):
    fake.happen("launch")
    fake.events_per_connection = 1
    with api.events(after=0, quiet=0.3) as events:
        fake.happen("send.transferStarted", transferId="t")
        first, second = next(events), next(events)
        assert (first.id, first.name) == (1, "launch")
        assert (second.id, second.data.transferId) == (2, "t")
        assert list(events) == []
        fake.happen("send.transferComplete")
        assert next(events).id == 3, "goes on where it was"


def test_events_from_now_on_are_not_lost_with_the_connection(fake, api):
    """The server tells where its log stands before anything happens."""
    fake.happen("launch")
    with api.events(quiet=5) as events:
        fake.events_per_connection = None
        events.http.sock and events.http.sock.close()
        threading.Timer(0.05, fake.happen, ("gap",), {"first": 2}).start()
        event = next(events)
        assert (event.id, event.name, event.data.first) == (2, "gap", 2)


def test_events_begin_where_the_server_says(fake, api):
    """Not with its answer: a connection that broke in between would lose what happens until the next."""
    fake.happen("launch")
    fake.events_begin_after = 0.2
    with api.events() as events:
        assert events.last_id == 1


def test_events_of_a_server_that_is_gone(tmp_path):
    fake = FakeApi(str(tmp_path / "api.sock"))
    fake.happen("launch")
    fake.events_per_connection = 1
    with Tradewind(socket_path=fake.path).api() as api, api.events(after=0, away=0.1) as events:
        next(events)
        fake.close()
        with pytest.raises(tradewind.Unavailable):
            next(events)


@pytest.mark.parametrize("wrong, parameter", [
    ({"host": "host:8886"}, "host"), ({"host": "user@host"}, "host"), ({"host": "a/b"}, "host"),
    ({"host": "x", "port": 65536}, "port"),
    ({"host": "x", "server_key": "sha256//x"}, "server_key"),
])
def test_places_that_cannot_be(wrong, parameter):
    with pytest.raises(tradewind.InvalidParameter) as caught:
        Tradewind(**wrong)
    assert caught.value.parameter == parameter


@pytest.mark.parametrize("host, shown", [
    ("127.0.0.1", "http://127.0.0.1:8886"), ("LOCALHOST", "http://localhost:8886"),
    ("::1", "http://[::1]:8886"), ("[::1]", "http://[::1]:8886"),
    ("10.0.0.1", "https://10.0.0.1:8886"), ("Server.Example", "https://server.example:8886"),
    ("2001:db8::1", "https://[2001:db8::1]:8886"), ("notlocalhost", "https://notlocalhost:8886"),
])
def test_plain_http_never_leaves_the_machine(host, shown):
    assert str(Tradewind(host).place) == shown


# A certificate is made by the program; where it is not installed, TLS is left to the C library's
# tests.
@pytest.fixture
def certificates(tmp_path):
    made = []
    for name in ("one", "two"):
        path = str(tmp_path / (name + ".pem"))
        try:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-nodes", "-keyout", path, "-out",
                            path + ".crt", "-subj", "/CN=x", "-days", "2"],
                           check=True, capture_output=True, timeout=30)
        except FileNotFoundError:
            pytest.skip("needs the openssl program to make a certificate")
        with open(path + ".crt") as certificate, open(path, "a") as both:
            both.write(certificate.read())
        made.append(path)
    return made


def test_the_first_key_is_kept_and_another_refused(tmp_path, certificates):
    # An address of this machine that is spelt like another host's.
    elsewhere = "2130706433"
    known = str(tmp_path / "config" / "known_servers")
    received = []
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve():
        for certificate in (certificates[0], certificates[0], certificates[1]):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            plain, _ = listener.accept()
            plain.settimeout(5)
            try:
                with context.wrap_socket(plain, server_side=True) as wire:
                    request = piece = wire.recv(65536)
                    while piece and not request.endswith(b"}}"):
                        piece = wire.recv(65536)
                        request += piece
                    received.append(request)
                    wire.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n"
                                 b"\r\n{\"result\":1}")
            except OSError:
                pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    server = Tradewind(elsewhere, port, token="secret", known_servers=known)
    for _ in range(2):
        with server.api() as api:
            assert api.echo(text="x") == 1
    with open(known) as file:
        lines = file.read().splitlines()
    assert len(lines) == 1 and lines[0].startswith("%s:%d sha256//" % (elsewhere, port))
    assert os.stat(known).st_mode & 0o777 == 0o600
    with server.api() as api, pytest.raises(tradewind.KeyChanged, match="has changed") as caught:
        api.echo(text="x")
    assert caught.value.remedy.endswith("sed -i 1d " + known)
    thread.join(5)
    listener.close()
    assert len(b"".join(received).split(b"secret")) == 3, "never shown to the other one"


def test_a_last_line_without_end_takes_no_key(tmp_path):
    pin = "sha256//" + "A" * 43 + "="
    file = tmp_path / "known_servers"
    file.write_text("# that is all")
    known = KnownServers(str(file))
    known.add("host:1", pin)
    known.add("host:2", pin)
    assert known.find("host:1") == (pin, 2) and known.find("host:2") == (pin, 3)


def test_the_pin_is_what_openssl_says(certificates):
    key = subprocess.run(["openssl", "pkey", "-in", certificates[0], "-pubout", "-outform", "DER"],
                         check=True, capture_output=True, timeout=30).stdout
    digest = subprocess.run(["openssl", "dgst", "-sha256", "-binary"], input=key, check=True,
                            capture_output=True, timeout=30).stdout
    with open(certificates[0] + ".crt") as file:
        der = ssl.PEM_cert_to_DER_cert(file.read())
    import base64
    assert public_key_pin(der) == "sha256//" + base64.b64encode(digest).decode()
    for cut in range(0, len(der) // 2, 7):
        try:
            public_key_pin(der[:cut])
        except tradewind.Internal:
            pass
