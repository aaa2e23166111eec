import os
import shutil
import sys
import tempfile

import pytest

# The programs to test come with their source; until then there is only the emulator.
if not os.path.exists(os.path.join(os.path.dirname(__file__), "../../src/session/meson.build")):
    collect_ignore = ["test_transfer.py", "test_options.py", "test_faults.py", "test_mistakes.py"]

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tw  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "root: needs root for network namespaces, devices or mounts")
    if tw.privileged():
        tw.remove_stale_namespaces()


def pytest_collection_modifyitems(items):
    if tw.privileged():
        return
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if item.get_closest_marker("root") or fixtures & {"direct", "link"}:
            item.add_marker(pytest.mark.skip(reason="needs root, for network namespaces"))


class Maker:
    """Makes networks for a test and takes all of them down after it."""

    def __init__(self, kind):
        self.kind, self.made = kind, []

    def __call__(self, **options):
        network = self.kind(**options)
        self.made.append(network)
        return network

    def close(self):
        tw.close_all(self.made)


@pytest.fixture
def direct():
    """direct(mtu=1500): two namespaces joined by a virtual Ethernet pair."""
    maker = Maker(tw.Direct)
    yield maker
    maker.close()


@pytest.fixture
def link():
    """link(rate="100M", delay="50ms", ...): two namespaces joined by the link emulator."""
    maker = Maker(tw.Link)
    yield maker
    maker.close()


@pytest.fixture
def place():
    """A folder for large things, in memory where there is room for them."""
    memory = "/dev/shm"
    roomy = os.path.isdir(memory) and shutil.disk_usage(memory).free > 3 << 30
    folder = tempfile.mkdtemp(prefix="tw-e2e-", dir=memory if roomy else None)
    yield folder
    shutil.rmtree(os.fsencode(folder), ignore_errors=True)


@pytest.fixture
def pair(place):
    """pair(network, "--min-cipher", "0", ipv6=True): a receiver that runs, and a sender's side."""
    made = []

    def make(network, *receive_options, **options):
        made.append(tw.Pair(network, options.pop("place", place), *receive_options, **options))
        return made[-1]

    yield make
    tw.close_all(made)
