"""The tools of the whole-program tests see what they are for: a comparer that overlooks something
would make every other test worthless.
"""
import os
import subprocess
import sys
import time

import pytest

import tw


@pytest.fixture
def trees(tmp_path):
    source = tw.make_odd_tree(tmp_path / "tree")
    copy = os.fsencode(tmp_path / "copy")
    subprocess.run(["cp", "-a", "--sparse=always", source, copy], check=True, timeout=30)
    return source, copy


def flip(path):
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))


def keeping_times(change):
    def changed(path):
        status = os.stat(path)
        change(path)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return changed


def fill_holes(path):
    with open(path, "rb") as file:
        content = file.read()
    with open(path, "wb") as file:
        file.write(content)


def file_for_folder(path):
    os.rmdir(path)
    open(path, "wb").close()


CHANGES = {
    "other content": (b"sizes/65537", keeping_times(flip)),
    "other mode": (b"modes/755", lambda path: os.chmod(path, 0o754)),
    "other time": (b"times/nanoseconds", lambda path: os.utime(path, ns=(1, 1234567890123456788))),
    "other time: b'deep-0'": (b"deep-0", lambda path: os.utime(path)),
    "missing: b'empty-folder'": (b"empty-folder", os.rmdir),
    "missing: b'odd/new\\nline'": (b"odd/new\nline", os.unlink),
    "other kind": (b"empty-folder", file_for_folder),
    "too much": (b"odd/extra", lambda path: open(path, "wb").close()),
    "left over": (b"odd/.tradewind-0123456789abcdef.part", lambda path: open(path, "wb").close()),
    "not sparse": (b"sparse", keeping_times(fill_holes)),
}


def test_equal_trees_are_equal(trees):
    source, copy = trees
    assert tw.differences(source, copy) == []
    assert len(tw.listing(source)) > 120


@pytest.mark.parametrize("word", CHANGES)
def test_every_difference_is_seen(trees, word):
    source, copy = trees
    path, change = CHANGES[word]
    change(os.path.join(copy, path))
    found = tw.differences(source, copy)
    assert any(text.startswith(word) for text in found), found


def test_process_measures_its_child():
    script = "import time; data = b'x' * (80 << 20); t = time.process_time()\n" \
             "while time.process_time() - t < 0.2: pass\nprint('done'); raise SystemExit(3)"
    process = tw.Process([sys.executable, "-c", script]).wait(20)
    assert process.code == 3 and process.out() == b"done\n"
    assert 0.2 <= process.cpu_seconds < 5
    assert 80 << 20 < process.rss_bytes < 200 << 20
    process.close()


def test_process_that_hangs_is_ended():
    process = tw.Process(["sleep", "60"])
    start = time.monotonic()
    with pytest.raises(AssertionError, match="took more than"):
        process.wait(0.2)
    assert process.code == -9 and time.monotonic() - start < 5
    process.close()


@pytest.mark.parametrize("said", ["WARNING: ThreadSanitizer: data race (pid=1)",
                                  "==1==ERROR: AddressSanitizer: heap-use-after-free",
                                  "src/x.c:1:2: runtime error: signed integer overflow"])
def test_what_sanitizers_say_is_heard(said):
    """Whatever else the test looks at, and others are closed nevertheless."""
    process, other = tw.Process(["sh", "-c", "echo '%s' >&2" % said]), tw.Process(["sleep", "60"])
    assert process.wait(20).code == 0
    with pytest.raises(AssertionError, match="Sanitizer|runtime"):
        tw.close_all([other, process])
    assert other.code == -9


def test_process_that_ends_early_is_noticed():
    process = tw.Process(["sh", "-c", "echo something else; exit 5"])
    with pytest.raises(AssertionError, match="something else"):
        process.wait_for("what we want", 20)
    process.close()


@pytest.mark.root
def test_namespaces_do_not_outlive_their_test(direct):
    network = direct()
    process = network.left.start(["sleep", "60"])
    network.close()
    assert process.code == -9
    assert network.left.name not in tw.ip("netns", "list").stdout.decode()
