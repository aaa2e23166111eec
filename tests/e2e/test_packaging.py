"""The units for systemd: how exposed they are by its own measure, and that the programs work with all
that the units take from them."""
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

import tw
from test_confine import assert_confined, filters, free_port, until, status
sys.path.insert(0, os.path.join(tw.ROOT, "clients", "python"))
from tradewind import Tradewind  # noqa: E402

PACKAGING = os.path.join(tw.ROOT, "packaging")
HERE = os.path.dirname(os.path.abspath(__file__))
# A service for all accounts becomes these accounts, and opens their files: that is what it costs.
EXPOSURE = {"tradewind": 1.5, "tradewind-relay": 1.5, "tradewind-accounts": 2.9}

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"),
                                   reason="needs systemd-analyze")


@needs_systemd
@pytest.mark.parametrize("unit", sorted(EXPOSURE))
def test_exposure(unit):
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager",
         os.path.join(PACKAGING, unit + ".service")], capture_output=True, text=True, check=False,
        env=dict(os.environ, SYSTEMD_COLORS="0"))
    figure = re.search(r"exposure level for \S+: ([0-9.]+)", told.stdout)
    assert figure, told.stdout + told.stderr
    assert float(figure.group(1)) <= EXPOSURE[unit], told.stdout


@pytest.fixture
def place():
    """A folder that an account without rights reaches, with the program in it."""
    folder = tempfile.mkdtemp(prefix="tradewind-unit-", dir="/tmp")
    os.chmod(folder, 0o755)
    shutil.copy(tw.TRADEWIND, folder)
    yield folder
    shutil.rmtree(folder)


class Unit:
    """The command of a unit, with all that the unit takes from it."""

    def __init__(self, place, unit, name, *arguments):
        self.state = os.path.join(place, name)
        os.mkdir(self.state, 0o755)
        if unit != "tradewind-accounts":
            os.chown(self.state, 65534, 65534)
        self.process = tw.Process(
            [sys.executable, "-B", os.path.join(HERE, "underunit.py"),
             os.path.join(PACKAGING, unit + ".service"), self.state,
             os.path.join(place, "tradewind"), *arguments])


@pytest.fixture
def units(place):
    made = []

    def make(*arguments):
        made.append(Unit(place, *arguments))
        return made[-1]
    yield make
    for unit in made:
        unit.process.close()


as_unit = [needs_systemd, pytest.mark.root,
           pytest.mark.skipif(not tw.privileged(), reason="needs root, to become another account"),
           pytest.mark.skipif(not filters(), reason="no filter of system calls here")]


class TestAsUnit:
    pytestmark = as_unit

    def server(self, units, name, kind="tradewind"):
        unit = units(kind, name, "server", "--api-port", "0", "--recv-port", "0")
        said = unit.process.wait_for(r"public key (\S+)[\s\S]*receives on UDP port (\d+)"
                                     r"[\s\S]*controlled by", 20)
        unit.key, unit.port = said.group(1), int(said.group(2))
        unit.socket = os.path.join(unit.state, "state", "api.sock")
        return unit

    @contextlib.contextmanager
    def as_account(self):
        """The kernel names us to a server by these ids."""
        os.setegid(65534)
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)

    def transfer(self, here, there, source):
        """By whoever we are to the server at the moment; the source is his."""
        with Tradewind(socket_path=here.socket).api() as api:
            destination = api.send.createDestination(
                destinationAddress="localhost", destinationPort=there.port,
                destinationPublicKey=there.key)
            manifest = api.send.createManifest(
                fileMappings=[source + ":" + os.path.basename(source)])
            manifest = api.send.waitForManifest(manifestId=manifest.manifestId)
            assert manifest.status == "complete", manifest
            transfer = api.send.createTransfer(manifestId=manifest.manifestId,
                                               destinationId=destination.destinationId)
            ended = api.send.waitForTransfer(transferId=transfer.transferId)
            assert ended.status == "complete", ended

    def arrived(self, there, source):
        return tw.same_bytes(source, os.path.join(there.state, "incoming",
                                                  os.path.basename(source)))

    def stop(self, *units):
        for unit in units:
            unit.process.stop(20)
            assert unit.process.code == 0, unit.process.text()
            assert "warning" not in unit.process.text()

    def test_servers(self, units, place):
        here, there = self.server(units, "here"), self.server(units, "there")
        source = tw.make_file(os.path.join(place, "file"), 3 << 20)
        os.chown(source, 65534, 65534)
        with Tradewind(socket_path=here.socket).api() as api:
            assert api.getServerInfo().version          # root may look
        with self.as_account():
            self.transfer(here, there, source)
        assert self.arrived(there, source)
        self.stop(here, there)

    def test_servers_of_all_accounts(self, units, place):
        here, there = (self.server(units, name, "tradewind-accounts") for name in ("here", "there"))
        for owner in (0, 65534):
            source = tw.make_file(os.path.join(place, "of-%d" % owner), 1 << 20)
            os.chown(source, owner, owner)
            os.chmod(source, 0o600)
            if owner:
                with self.as_account():
                    self.transfer(here, there, source)
            else:
                self.transfer(here, there, source)
            assert self.arrived(there, source)
        self.stop(here, there)

    def test_relay(self, units, place):
        keys = os.path.join(place, "keys")
        with open(keys, "w", encoding="ascii") as file:
            file.write("")
        os.chmod(keys, 0o644)
        unit = units("tradewind-relay", "relay", "relay", "--allow-file", keys, "--control-port",
                     str(free_port()), "--bind", "127.0.0.1", "--confine", "require")
        unit.process.wait_for("relaying", 10)
        until(lambda: status(unit.process.pid)["Seccomp_filters"] == "2")
        assert_confined(unit.process.pid)
        assert os.path.exists(os.path.join(unit.state, "identity"))
        unit.process.stop(10)
        assert unit.process.code == 0, unit.process.text()


def test_pam_service_is_installed_once(tmp_path):
    """Where PAM looks; what an administrator has made of it stays."""
    there = tmp_path / "etc/pam.d/tradewind"

    def install():
        subprocess.run([os.path.join(tw.ROOT, "packaging/install-pam")], check=True, timeout=30,
                       env=dict(os.environ, DESTDIR=str(tmp_path), MESON_SOURCE_ROOT=tw.ROOT))

    install()
    with open(os.path.join(tw.ROOT, "packaging/pam.d/tradewind")) as file:
        assert there.read_text() == file.read()
    assert there.stat().st_mode & 0o777 == 0o644
    there.write_text("account required pam_deny.so\n")
    install()
    assert there.read_text() == "account required pam_deny.so\n"
