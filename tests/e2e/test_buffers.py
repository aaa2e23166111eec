"""Socket buffers hold what a path brings in a round trip; who may not have them so large is told, once,
by which command he would."""
import json
import os
import re

import pytest

import tw

pytestmark = pytest.mark.root

# Of root's rights all but the one to pass by net.core.*mem_max.
BOUNDED = ["setpriv", "--bounding-set", "-net_admin"]
PRODUCT = 250e6 / 8 * 0.2               # of the path below: 6.25 MB


def most(way):
    with open("/proc/sys/net/core/%smem_max" % way) as file:
        return int(file.read())


def commands(process):
    return re.findall(r"sysctl -w .*", process.text())


@pytest.fixture
def ends(place):
    """ends(network, prefix): a receiver's process, and a function that sends a file to it."""
    sides = []

    def make(network, prefix):
        left, right = (tw.Side(os.path.join(place, name), getattr(network, name))
                       for name in ("left", "right"))
        sides.extend((left, right))
        receiver = right.start("receive", "--once", os.path.join(place, "in"), prefix=prefix)
        key = receiver.wait_for(tw.URL, 10).group(4)
        url = "tw://%s:8886/#%s" % (network.right_ip, key)

        def send(source, *options):
            sender = left.run("send", *options, source, url, prefix=prefix)
            assert sender.code == 0, sender.text()
            return sender

        return receiver, send

    os.mkdir(os.path.join(place, "in"))
    yield make
    for side in sides:
        side.close()


def grown(way):
    """The command that is right where the system's bound is too low; none where it is not."""
    return ["sysctl -w net.core.%smem_max=8388608" % way] if most(way) < PRODUCT else []


@pytest.mark.parametrize("prefix", [BOUNDED, []], ids=["bounded", "free"])
def test_a_path_that_holds_more(link, ends, place, prefix):
    """250 Mbit/s and 200 ms: more than the usual bound; a sender sends it, a receiver receives it."""
    source = tw.make_file(os.path.join(place, "file"), 50_000_000)
    receiver, send = ends(link(rate="300M", delay="100ms"), prefix)
    sender = send(source, "--rate", "250M", "--rate-control", "fixed", "--json")
    receiver.wait(10)
    allowed = not prefix
    least = any(most(way) < 4 << 20 for way in "rw")      # a receiver says so when it starts
    assert commands(sender) == ([] if allowed else grown("w")), sender.text()
    if allowed or not least:
        assert commands(receiver) == ([] if allowed else grown("r")), receiver.text()
    assert len(commands(receiver)) <= 1
    granted = max(json.loads(line)["connection"]["socketSendBufferSize"] or 0
                  for line in sender.out().splitlines())
    assert granted >= 2 * (PRODUCT if allowed else min(PRODUCT, most("w")))


def test_a_short_path_needs_no_word(direct, ends, place):
    source = tw.make_file(os.path.join(place, "file"), 1_000_000)
    receiver, send = ends(direct(), BOUNDED)
    assert commands(send(source)) == []
    receiver.wait(10)
    if min(most("r"), most("w")) >= 4 << 20:
        assert commands(receiver) == []
