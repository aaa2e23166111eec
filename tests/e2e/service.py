"""`tradewind server` in tests: its own state, identity, receive folder and ports, all on loopback."""
import contextlib
import os
import re
import sys

import tw

sys.path.insert(0, os.path.join(tw.ROOT, "clients", "python"))
from tradewind import Tradewind  # noqa: E402


class Service:
    """A server that runs. After kill() or stop(), start() is the same one again, on the same ports."""

    def __init__(self, folder, *options, space=None):
        self.folder = os.fspath(folder)
        self.options, self.space = options, space
        self.state = os.path.join(self.folder, "state")
        self.received = os.path.join(self.folder, "received")
        self.socket = os.path.join(self.state, "api.sock")
        self.api_port = self.port = 0
        self.processes = []
        os.makedirs(self.received, exist_ok=True)
        self.start()

    def start(self):
        self.launch()
        said = self.process.wait_for(
            r"public key (\S+)[\s\S]*receives on UDP port (\d+)[\s\S]*"
            r"controlled by https?://\S+?:(\d+)/", 20)
        self.key, self.port, self.api_port = said.group(1), int(said.group(2)), int(said.group(3))

    def launch(self):
        """Starts it and waits for nothing."""
        command = [tw.TRADEWIND, "server", "--persistent-state-dir", self.state, "--recv-dir",
                   self.received, "--identity", os.path.join(self.folder, "identity"),
                   "--api-port", str(self.api_port), "--recv-port", str(self.port),
                   *tw.SERVER_OPTIONS, *self.options]
        self.process = tw.Process(self.space.inside(command) if self.space else command,
                                  env={"HOME": self.folder})
        self.processes.append(self.process)

    def stop(self):
        self.process.stop(20)

    def kill(self):
        self.process.kill()

    def close(self):
        tw.close_all(self.processes)

    def api(self):
        """A session of the Python client, for a `with` statement."""
        api = Tradewind(socket_path=self.socket).api()
        if self.space:
            # Who connects from another network is nobody whom the server knows.
            with self.space.entered():
                api.getServerInfo()
        return api

    def destination(self, api, there, **more):
        """A destination for the server `there`."""
        return api.send.createDestination(
            destinationAddress="127.0.0.1", destinationPort=there.port,
            destinationPublicKey=there.key, **more)

    def send(self, api, destination, *mappings, **more):
        """A transfer that has been created."""
        manifest = api.send.createManifest(fileMappings=list(mappings))
        manifest = api.send.waitForManifest(manifestId=manifest.manifestId)
        assert manifest.status == "complete", manifest
        return api.send.createTransfer(manifestId=manifest.manifestId,
                                       destinationId=destination.destinationId, **more)


@contextlib.contextmanager
def services(folder, count=2, *options):
    """So many servers, below `folder`."""
    made = []
    try:
        for number in range(count):
            made.append(Service(os.path.join(os.fspath(folder), "server-%d" % number), *options))
        yield made
    finally:
        tw.close_all(made)


def last_lines(service):
    """What a server said last, for messages of failed tests."""
    return re.sub(r"(?s).*?((?:[^\n]*\n){0,15})$", r"\1", service.process.text())
