"""Runs docs/cookbook.md: every command of it, in order, in one shell, and compares what comes out with
what the page says.
"""
import os
import re
import signal
import subprocess
import tempfile
import time

import pytest

import tw

PAGE = os.path.join(tw.ROOT, "docs", "cookbook.md")
RUN = {"sh", "python", "crontab"}
SHOWN = {"yaml"}                # looked at, not run
BLOCK_SECONDS = 60


class Block:
    def __init__(self, section, kind, text, line):
        self.section, self.kind, self.text, self.line = section, kind, text, line
        self.output = None      # what the page says that it prints


def read_page():
    blocks, section, kind, lines = [], None, None, []
    with open(PAGE, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            fence = re.match(r"```(\w*)$", line.rstrip("\n"))
            if kind is None and line.startswith("## "):
                section = line[3:].strip()
            elif kind is None and fence:
                kind, lines = fence.group(1), []
            elif kind is not None and line.rstrip("\n") == "```":
                if kind == "output":
                    assert blocks and blocks[-1].output is None, "line %d: output of what?" % number
                    blocks[-1].output = "".join(lines)
                else:
                    assert kind in RUN | SHOWN, "line %d: a block of kind %r" % (number, kind)
                    blocks.append(Block(section, kind, "".join(lines), number))
                kind = None
            elif kind is not None:
                lines.append(line)
    return blocks


BLOCKS = read_page()
SECTIONS = list(dict.fromkeys(block.section for block in BLOCKS))


def pattern(output):
    """A regular expression for what the page shows: `...` stands for anything in a line; a line of it
    alone for any lines."""
    parts = []
    for line in output.splitlines():
        if line.strip() == "...":
            parts.append(r"(?:[^\n]*\n)*")
        else:
            text = r"[^\n]*".join(re.escape(part) for part in line.split("..."))
            parts.append(re.sub(r"(\\ )+", r"[ ]+", text) + r"[ ]*\n")
    return "".join(parts)


class Shell:
    """One bash for the whole page: variables and jobs of a block are there for the next."""

    def __init__(self, folder):
        self.folder = folder
        self.errors = open(os.path.join(folder, "errors"), "w+b")
        work = os.path.join(folder, "w")
        os.makedirs(work)
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith("TRADEWIND_API")}
        self.process = subprocess.Popen(
            ["bash", "--norc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            cwd=work, start_new_session=True, env={
                **kept, "PATH": os.path.dirname(tw.TRADEWIND) + ":" + kept["PATH"], "HOME": folder,
                "PYTHONPATH": os.path.join(tw.ROOT, "clients", "python"), "NO_COLOR": "1"})
        self.count = 0
        self.pending = b""
        # jobs -p wants job control, which a shell without a terminal does not have by itself. Any
        # command that fails, not just the last one, is noted.
        self.run("set -m; failures=0; trap 'failures=1; echo \"failed: $BASH_COMMAND\" >&2' ERR")

    def run(self, text):
        """What it prints. Fails when a command of it fails, or when it takes too long."""
        self.count += 1
        mark = b"--end-of-block-%d:" % self.count
        self.process.stdin.write(text.encode() + b"\nprintf '%s%d\\n' '" + mark + b"' $failures\n")
        self.process.stdin.flush()
        os.set_blocking(self.process.stdout.fileno(), False)
        deadline = tw.deadline(BLOCK_SECONDS)
        while True:
            found = re.search(re.escape(mark) + rb"(\d+)\n", self.pending)
            if found:
                out, self.pending = self.pending[:found.start()], self.pending[found.end():]
                assert found.group(1) == b"0", self.complain("ended with %s" % found.group(1), out)
                return out.decode("utf-8", "replace")
            assert time.monotonic() < deadline, self.complain("takes too long", self.pending)
            assert self.process.poll() is None, self.complain("the shell is gone", self.pending)
            piece = self.process.stdout.read(65536)
            if piece:
                self.pending += piece
            else:
                time.sleep(0.02)

    def complain(self, what, out):
        said = tw.read_all(self.errors).decode("utf-8", "replace")[-3000:]
        logs = ""
        for name in ("here/log", "there/log"):
            path = os.path.join(self.folder, "w", name)
            if os.path.exists(path):
                with open(path, errors="replace") as file:
                    logs += "\n%s: %s" % (name, file.read()[-2000:])
        return "%s; it printed:\n%s\n%s%s" % (what, out.decode("utf-8", "replace"), said, logs)

    def close(self):
        # With job control each server has a process group of its own: the shell knows them.
        for member in children(self.process.pid):
            try:
                os.kill(member, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()


def children(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


@pytest.fixture(scope="module")
def shell():
    # A short path: a socket's is limited.
    with tempfile.TemporaryDirectory(prefix="tw-cook-", ignore_cleanup_errors=True) as folder:
        # Hooks run as other accounts, who have to come here.
        os.chmod(folder, 0o755)
        made = Shell(folder)
        yield made
        made.close()


def commands(block):
    """What a block means to the shell."""
    if block.kind == "python":
        return "python3 - <<'END-OF-PYTHON'\n%sEND-OF-PYTHON" % block.text
    if block.kind == "crontab":
        lines = [re.fullmatch(r"(?:\S+\s+){5}(.*)", line).group(1)
                 for line in block.text.splitlines()]
        return " &&\n".join(line + " >/dev/null" for line in lines)
    return block.text


def test_the_page_has_enough():
    tasks = [section for section in SECTIONS if re.match(r"\d+\. ", section)]
    assert len(tasks) >= 12
    assert [int(task.split(".")[0]) for task in tasks] == list(range(1, len(tasks) + 1))
    for task in tasks:
        assert any(block.output for block in BLOCKS if block.section == task), \
            "%s claims nothing that could be checked" % task


failed = []


@pytest.mark.parametrize("section", SECTIONS)
def test_recipe(shell, section):
    assert not failed, "builds on %s, which failed" % failed[0]
    failed.append(section)
    for block in BLOCKS:
        if block.section != section or block.kind not in RUN:
            continue
        printed = shell.run(commands(block))
        wanted = block.output or ""
        assert re.fullmatch(pattern(wanted), printed), \
            "line %d: the page says\n%s\nit printed\n%s" % (block.line, wanted, printed)
    failed.remove(section)
