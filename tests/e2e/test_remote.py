"""The control interface from other machines: TLS, who is let through, and clients that know a server
by its key.
"""
import base64
import concurrent.futures
import hashlib
import json
import os
import re
import socket
import ssl
import subprocess

import pytest

import test_privileges
import tw
from apiserver import Server
from tradewind import NotAuthenticated, NotPermitted, Tradewind

# An address of loopback that clients take for another machine's.
ELSEWHERE = "2130706433"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server(os.fspath(tmp_path_factory.mktemp("remote")), "--api-allow-remote-control",
                  "--api-host", "127.0.0.1", "--external-address", ELSEWHERE)
    yield made
    made.close()


def pin_of(log):
    return re.search(r"key (sha256//\S+)", log).group(1)


def any_certificate(**versions):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for name, version in versions.items():
        setattr(context, name, version)
    return context


def ask(wire, text):
    wire.sendall(text.encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = wire.recv(65536)
        if not piece:
            return answer.decode()
        answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
    while len(body) < length:
        piece = wire.recv(65536)
        assert piece, "cut off after %d of %d" % (len(body), length)
        body += piece
    return (head + b"\r\n\r\n" + body).decode()


def dial(server, host="127.0.0.1", **versions):
    plain = socket.create_connection((host, server.port), timeout=20)
    return any_certificate(**versions).wrap_socket(plain)


def test_one_port_speaks_both_on_loopback(server):
    with dial(server) as wire:
        assert wire.version() == "TLSv1.3"
        for _ in range(3):
            assert ask(wire, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").endswith("ok\n")
        key = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-pubkey"],
                             input=wire.getpeercert(True), capture_output=True, check=True,
                             timeout=20).stdout
    der = ssl.PEM_cert_to_DER_cert(key.decode().replace("PUBLIC KEY", "CERTIFICATE"))
    pin = "sha256//" + base64.b64encode(hashlib.sha256(der).digest()).decode()
    assert pin == pin_of(server.log()) == server.info["certificateFingerprint"]
    assert 3640 < server.info["certificateValidation"] < 3660
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as wire:
        assert ask(wire, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").endswith("ok\n")
    with pytest.raises(ssl.SSLError):
        dial(server, maximum_version=ssl.TLSVersion.TLSv1_2)


def test_large_answers_and_streams_over_tls(server):
    calls = json.dumps([{"jsonrpc": "2.0", "id": n, "method": "echo",
                         "params": {"text": "x" * 50000}} for n in range(60)])
    head = "POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%s" \
           "Content-Length: %d\r\n\r\n%s"
    with dial(server) as wire:
        for more in ("", "Connection: close\r\n"):
            answer = ask(wire, head % (more, len(calls), calls))
            found = json.loads(answer.partition("\r\n\r\n")[2])
            assert [one["id"] for one in found] == list(range(60))
            assert all(one["result"] == "x" * 50000 for one in found)
        assert wire.recv(100) == b"", "and is closed in order"
    with dial(server) as wire:          # rubbish after the handshake, and a peer that just goes
        assert ask(wire, "nonsense\r\n\r\n").startswith("HTTP/1.1 400")
    plain = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    plain.sendall(b"\x16\x03\x01\x00\x10rubbish that is none")
    assert b"HTTP" not in plain.recv(1000), "an alert at most"
    plain.close()
    assert server.api.call("echo", text="well") == "well"


def test_the_host_must_be_ours(server):
    def status(host):
        with dial(server) as wire:
            return ask(wire, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n" % host).split()[1]
    name = server.info["hostName"]
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8886", ELSEWHERE, name,
                 name.upper() + ":443"):
        assert status(host) == "200", host
    for host in ("evil.example", "localhost.evil.example", "", "x" * 300, name + ".evil"):
        assert status(host) == "403", host


def console(server, home, *arguments, code=0, **environment):
    """At no terminal; what it says on both."""
    done = subprocess.run(
        [tw.TRADEWIND, arguments[0], "--host", ELSEWHERE, "--api-control-port", str(server.port),
         *arguments[1:]], capture_output=True, timeout=30, text=True, stdin=subprocess.DEVNULL,
        env={"HOME": os.fspath(home), "PATH": os.environ["PATH"], **environment})
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def test_the_console_knows_servers_by_their_keys(tmp_path):
    server = Server(os.fspath(tmp_path / "server"), "--api-allow-remote-control", "--api-host",
                    "127.0.0.1", "--external-address", ELSEWHERE)
    known = tmp_path / ".config" / "tradewind" / "known_servers"
    try:
        key = server.info["certificateFingerprint"]
        asks = ("api", "--field", "serverId", "getServerInfo")
        _, said = console(server, tmp_path, *asks, code=4)
        assert key in said and "--accept-new" in said and not known.exists()
        console(server, tmp_path, *asks, TRADEWIND_API_FINGERPRINT=key)
        console(server, tmp_path, "api", "--server-key", key, *asks[1:])
        assert not known.exists()
        other = key[:-5] + "AAAA="
        _, said = console(server, tmp_path, *asks, code=4, TRADEWIND_API_FINGERPRINT=other)
        assert "has changed" in said and key in said
        _, said = console(server, tmp_path, "api", "--accept-new", *asks[1:])
        assert key in said and "remembered" in said
        _, said = console(server, tmp_path, *asks)
        assert said == "" and known.stat().st_mode & 0o777 == 0o600
        # The same key after a restart, with a new certificate; then another key.
        server.process.stop(20)
        os.unlink(os.path.join(server.state, "api-certificate.pem"))
        server.start("--api-port", str(server.port))
        console(server, tmp_path, *asks)
        server.process.stop(20)
        os.unlink(os.path.join(server.state, "api-key.pem"))
        server.start("--api-port", str(server.port))
        secret = "0123456789abcdef" * 2
        for command in (asks, ("status",), ("api", "--user", "ann", *asks[1:])):
            _, said = console(server, tmp_path, *command, code=4, TRADEWIND_API_PASSWORD=secret)
            assert "has changed" in said and key in said
            assert server.info["certificateFingerprint"] in said and secret not in said
        subprocess.run(said[said.index("sed -i"):], shell=True, check=True, timeout=20)
        console(server, tmp_path, "api", "--accept-new", *asks[1:])
        assert console(server, tmp_path, *asks)[0].strip() == server.info["serverId"]
    finally:
        server.close()


def test_other_machines_must_speak_tls(tmp_path):
    if not tw.privileged():
        pytest.skip("needs namespaces, so root")
    network = tw.Direct()
    server = Server(os.fspath(tmp_path / "server"), "--api-allow-remote-control",
                    namespace=network.right)
    there = "%s:%d" % (network.right_ip, server.port)
    try:
        def curl(*arguments):
            done = network.left.run(["curl", "-s", "-m", "20", *arguments], 30)
            return done.code, done.out().decode()
        assert curl("-k", "https://%s/healthz" % there) == (0, "ok\n")
        code, text = curl("-i", "http://%s/healthz" % there)
        assert text.startswith("HTTP/1.1 400") and "https" in text
        pinned = ("-k", "--pinnedpubkey", server.info["certificateFingerprint"])
        assert curl(*pinned, "https://%s/healthz" % there) == (0, "ok\n")
        # A stranger learns what the server is, and may log in; nothing else.
        body = ("-H", "Content-Type: application/json", "-d",
                '{"jsonrpc":"2.0","id":1,"method":"send.getTransfers","params":{}}')
        assert "NotAuthenticated" in curl("-k", *body, "https://%s/rpc" % there)[1]
        assert curl("-k", "https://%s/metrics" % there)[1].startswith("log in first")
        assert curl("-k", "https://[%s]:%d/healthz" % (network.right_ip6, server.port)) == (
            0, "ok\n")
    finally:
        server.close()
        network.close()


@pytest.mark.root
@test_privileges.ROOT_ONLY
def test_accounts_log_in_from_afar(place):
    alice, password = "twalice", test_privileges.PASSWORD
    os.chmod(place, 0o755)
    server = test_privileges.Separated(
        os.path.join(place, "server"), "--engine-user", "twengine", "--api-allow-remote-control",
        "--api-host", "127.0.0.1", "--external-address", ELSEWHERE, "--superuser", alice)
    try:
        info = server.root().call("getServerInfo")
        where = (ELSEWHERE, server.api_port)
        known = {"server_key": info["certificateFingerprint"]}
        for more in ({}, {"basic": True}):
            with Tradewind(*where, user=alice, password=password, **known, **more).api() as api:
                assert api.send.getTransfers() == []
                with pytest.raises(NotPermitted):
                    api.getWranglers()
                api.superuser()
                assert api.getWranglers() == []
        there = Server.__new__(Server)
        there.port = server.api_port
        out, _ = console(there, place, "api", "--server-key", known["server_key"], "--user", alice,
                         "--field", "serverId", "getServerInfo", TRADEWIND_API_PASSWORD=password)
        assert out.strip() == info["serverId"]

        def guess(user, word):
            with Tradewind(*where, user=user, password=word, **known).api() as api:
                with pytest.raises(NotAuthenticated) as caught:
                    api.send.getTransfers()
            return caught.value.message
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            said = list(pool.map(guess, (alice, "nobody-at-all"), ("wrong", password)))
        assert said[0] == said[1]
    finally:
        server.close()
