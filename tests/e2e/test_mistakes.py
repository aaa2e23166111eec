"""Bad input: each gets one clear sentence, the right exit code, and nothing already received is
lost.
"""
import os
import shutil
import subprocess

import pytest

import tw

pytestmark = pytest.mark.root

USAGE, NOT_AUTHORISED, NETWORK, STORAGE = 2, 4, 5, 6


def says(process, *words):
    sentence = tw.last_sentence(process)
    assert any(word.lower() in sentence.lower() for word in words), sentence


def test_nobody_answers(direct, pair, place):
    """Whoever does not hold the key gets no answer at all, and an address may be nobody's: both are
    given up after the same time, and waited for together.
    """
    source = tw.make_file(os.path.join(place, "file"), 1000)
    p = pair(direct())
    p.receiver.key = tw.Receiver(tw.Side(os.path.join(place, "other"), p.network.right), place, "",
                                 port=9999).key
    host = p.network.right_ip.rsplit(".", 1)[0] + ".77"
    nobody = p.left.start("send", source, "tw://%s:8886/#%s" % (host, "A" * 42 + "E"))
    process = p.send(source, code=NETWORK)
    says(process, "key")
    assert process.seconds < tw.patient(15)
    assert os.listdir(p.folder) == []
    assert nobody.wait(20).code == NETWORK, nobody.text()
    says(nobody, host)
    assert nobody.seconds < tw.patient(15)


@pytest.mark.parametrize("key", ["", "#", "#short", "#" + "A" * 43 + "A", "#" + "*" * 43])
def test_bad_address_is_a_usage_error(tmp_path, key):
    source = tw.make_file(tmp_path / "file", 10)
    side = tw.Side(tmp_path / "home")
    process = side.run("send", source, "tw://127.0.0.1:9/" + key)
    assert process.code == USAGE
    says(process, "key", "address")
    side.close()


def test_nobody_listens(direct, place):
    network = direct()
    source = tw.make_file(os.path.join(place, "file"), 1000)
    side = tw.Side(os.path.join(place, "home"), network.left)
    process = side.run("send", source, "tw://%s:4444/#%s" % (network.right_ip, "A" * 42 + "E"),
                       limit=20)
    assert process.code == NETWORK, process.text()
    says(process, "4444", network.right_ip)


def test_host_name_that_does_not_exist(tmp_path):
    source = tw.make_file(tmp_path / "file", 10)
    side = tw.Side(tmp_path / "home")
    process = side.run("send", source, "tw://no-such-host.invalid:8886/#" + "A" * 42 + "E",
                       limit=30)
    assert process.code == NETWORK, process.text()
    says(process, "no-such-host.invalid")
    side.close()


def test_missing_source(direct, pair, place):
    p = pair(direct())
    process = p.start(os.path.join(place, "is-not-there")).wait(15)
    assert process.code in (1, STORAGE), process.text()
    says(process, "is-not-there")
    assert os.listdir(p.folder) == []


def test_unreadable_file_among_many(direct, pair, place):
    source = tw.make_small_files(os.path.join(place, "tree"), 100, 5000)
    os.chmod(os.path.join(source, b"000", b"000042"), 0)
    p = pair(direct())
    # Root without the right to read everything: as an ordinary user is.
    process = p.left.run("send", source, p.receiver.url(),
                         prefix=["setpriv", "--bounding-set", "-dac_override,-dac_read_search"])
    assert process.code == 1, process.text()
    assert "000042" in process.err().decode()
    found = tw.differences(source, p.arrived("tree"))
    assert [text for text in found if "000042" not in text] == []
    assert not os.path.exists(p.arrived("tree", "000", "000042"))


def test_read_only_disk(direct, place):
    network = direct()
    source = tw.make_file(os.path.join(place, "file"), 1000)
    folder = tw.mount_tmpfs(os.path.join(place, "disk"), 1 << 20)
    right = tw.Side(os.path.join(place, "right"), network.right)
    left = tw.Side(os.path.join(place, "left"), network.left)
    try:
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True, timeout=20)
        receiver = right.start("receive", folder)
        try:
            match = receiver.wait_for(tw.URL, 5)
        except AssertionError:
            # told at once, which is better still
            assert receiver.code == STORAGE, receiver.text()
            says(receiver, "read-only", "written")
            return
        process = left.run("send", source, "tw://%s:8886/#%s" % (network.right_ip, match.group(4)))
        assert process.code == STORAGE, process.text()
        says(process, "read-only", "written")
    finally:
        right.close()
        tw.unmount(folder)


@pytest.mark.parametrize("folder", ["..", "../outside", "a/../../outside", "%2e%2e/outside",
                                    "a/%2e%2e/%2e%2e/outside",
                                    "/outside", "%2Foutside", "link", "link/below", "a%00b"])
def test_destination_that_leaves_the_folder(direct, pair, place, folder):
    source = tw.make_file(os.path.join(place, "file"), 1000)
    outside = os.path.join(place, "outside")
    os.makedirs(outside)
    p = pair(direct())
    os.symlink(outside, p.arrived("link"))
    before = sorted(os.listdir(place))
    process = p.start(source, folder=folder).wait(15)
    assert process.code in (1, USAGE, NOT_AUTHORISED), process.text()
    tw.last_sentence(process)
    assert os.listdir(outside) == [] and not os.path.exists("/outside")
    assert set(os.listdir(place)) - set(before) <= {"home-left"}
    assert p.receiver.process.running()


def test_links_inside_the_destination_are_not_followed(direct, pair, place):
    """A folder of the same name that is a link leads elsewhere: nothing is written there."""
    source = os.path.join(place, "tree")
    os.makedirs(os.path.join(source, "sub"))
    tw.make_file(os.path.join(source, "sub", "file"), 1000)
    tw.make_file(os.path.join(source, "top"), 1000)
    outside = os.path.join(place, "outside")
    os.makedirs(outside)
    victim = tw.make_file(os.path.join(place, "victim"), 50)
    p = pair(direct())
    os.makedirs(p.arrived("tree"))
    os.symlink(outside, p.arrived("tree", "sub"))
    os.symlink(victim, p.arrived("tree", "top"))
    before = open(victim, "rb").read()
    p.start(source).wait(15)
    assert os.listdir(outside) == []
    assert open(victim, "rb").read() == before


def test_second_receiver_on_the_same_port(direct, pair, place):
    source = tw.make_file(os.path.join(place, "file"), 1000)
    p = pair(direct())
    second = p.right.run("receive", "--port", "8886", os.path.join(place, "elsewhere"), limit=10)
    assert second.code == NETWORK, second.text()
    says(second, "8886")
    p.send(source)
    assert tw.same_bytes(source, p.arrived("file"))


def test_cipher_below_the_minimum(direct, pair, place):
    source = tw.make_file(os.path.join(place, "file"), 1000)
    p = pair(direct(), "--min-cipher", "3")
    for cipher in ("none", "auth", "128"):
        process = p.send("--cipher", cipher, source, code=NOT_AUTHORISED, limit=15)
        says(process, "cipher")
    p.send("--cipher", "256", source)
    assert tw.same_bytes(source, p.arrived("file"))


@pytest.mark.parametrize("arguments", [
    ["send"], ["send", "file"], ["send", "--rate", "fast", "file", "URL"],
    ["send", "--rate", "-1", "file", "URL"],
    ["send", "--cipher", "512", "file", "URL"], ["send", "--overwrite", "sometimes", "file", "URL"],
    ["send", "--rate-control", "magic", "file", "URL"], ["send", "--no-such-option", "file", "URL"],
    ["send", "--checkpoint", "x", "file", "URL"],
    ["send", "--rate-min", "20M", "--rate-max", "10M", "file", "URL"],
    ["receive"], ["receive", "--port", "0x", "."], ["receive", "--port", "65536", "."],
    ["receive", "--min-cipher", "4", "."], ["receive", "a", "b"], ["no-such-command"], [],
])
def test_usage(tmp_path, arguments):
    side = tw.Side(tmp_path / "home")
    url = "tw://127.0.0.1:9/#" + "A" * 42 + "E"
    process = side.run(*[url if part == "URL" else part for part in arguments], limit=10)
    assert process.code == USAGE, process.text()
    assert process.err() and not process.out()
    assert len(process.err().splitlines()) <= 30
    side.close()


def test_a_name_too_long_for_the_other_side(direct, pair, place):
    """Long on the way, not at its end: one name of 255 bytes is fine, a part file's name must not
    break it.
    """
    source = os.path.join(place, "tree")
    os.makedirs(source)
    tw.make_file(os.path.join(source, "y" * 255), 5000)
    p = pair(direct())
    p.send(source)
    assert tw.differences(source, p.arrived("tree")) == []


def test_destination_file_is_a_folder(direct, pair, place):
    source = os.path.join(place, "tree")
    os.makedirs(source)
    for name in ("a", "b", "c"):
        tw.make_file(os.path.join(source, name), 5000)
    p = pair(direct())
    os.makedirs(p.arrived("tree", "b", "inside"))
    process = p.send(source, code=1)
    assert "b" in process.err().decode()
    assert tw.same_bytes(os.path.join(source, "a"), p.arrived("tree", "a"))
    assert tw.same_bytes(os.path.join(source, "c"), p.arrived("tree", "c"))
    assert os.path.isdir(p.arrived("tree", "b", "inside"))
    shutil.rmtree(p.arrived("tree"))
