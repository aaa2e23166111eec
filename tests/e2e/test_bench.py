"""The measurement itself: it runs, its figures are plausible, and it writes what people read."""
import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

import tw

RUN = os.path.join(tw.ROOT, "bench", "run")
PERFORMANCE = os.path.join(tw.ROOT, "docs", "performance.md")


def bench(*arguments):
    return subprocess.run([sys.executable, RUN, *arguments], capture_output=True, text=True,
                          timeout=60, check=False)


@pytest.fixture(name="result", scope="module")
def measured(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("bench") / "results.json")
    told = bench("--runs", "2", "--mib", "4", "--limit", "3", "--only", "sendfile, cubic",
                 "--json", path, "lan", "500M-0", "500M-0.1", "100M-10",
                 "files-lan")
    assert told.returncode == 0, told.stdout + told.stderr
    with open(path) as file:
        return json.load(file)


@pytest.mark.root
def test_measures(result):
    assert list(result["cases"]) == ["lan", "500M-0", "500M-0.1", "100M-10", "files-lan"]
    for found in result["cases"].values():
        assert not found["failed"]
        runs = found["runs"]["TCP sendfile, cubic"]
        assert runs and len(runs) == (2 if runs[0]["whole"] else 1)
    ocean = result["cases"]["500M-0"]["runs"]["TCP sendfile, cubic"]
    for run in ocean:           # 4 MiB: a handshake and a few round trips of slow start
        assert run["bytes"] == 4 << 20 and run["whole"] and run["invalid"] is None
        assert 0.3 < run["seconds"] < 3
        assert 1514 / 1448 - 0.001 < run["wire"] < 1.25


@pytest.mark.root
def test_a_copy_that_takes_too_long_is_stopped(result):
    run, = result["cases"]["100M-10"]["runs"]["TCP sendfile, cubic"][:1]
    if not run["whole"]:
        assert 2.9 < run["seconds"] < 4 and 0 <= run["bytes"] < 4 << 20
        assert run["mbps"] == pytest.approx(run["bytes"] * 8 / run["seconds"] / 1e6)
    else:
        assert run["mbps"] < 86


@pytest.mark.root
def test_writes_the_page(result, tmp_path):
    """Rendered into a copy of the tree's page: the text around the markers stays."""
    (tmp_path / "docs").mkdir()
    shutil.copy(PERFORMANCE, tmp_path / "docs")
    stored = tmp_path / "earlier.json"
    stored.write_text(json.dumps(result))
    for _ in range(2):          # what is written once can be written again
        told = bench("--docs", "--from", str(stored), "--root", str(tmp_path))
        assert told.returncode == 0, told.stderr
    before = open(PERFORMANCE, encoding="utf-8").read().split("<!-- bench: begin")[0]
    page = (tmp_path / "docs" / "performance.md").read_text(encoding="utf-8")
    assert page.startswith(before) and page.count("<!-- bench: ") == 2
    assert result["machine"]["kernel"] in page
    for word in ("| TCP sendfile, cubic", "LAN (direct pair)", "100M-10"):
        assert word in page
    for name in ("lan", "cpu", "loss", "far", "files"):
        assert "(performance/%s.svg)" % name in page
        picture = ElementTree.parse(tmp_path / "docs" / "performance" / (name + ".svg")).getroot()
        words = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
        assert "TCP sendfile, cubic" in words


@pytest.mark.root
def test_keeps_what_is_not_measured_again(result, tmp_path):
    """One program more in one case: the others' runs, and the other cases, stay."""
    stored = tmp_path / "earlier.json"
    stored.write_text(json.dumps(result))
    told = bench("--runs", "1", "--mib", "4", "--limit", "3", "--only", "sendfile, bbr", "--only",
                 "tradewind, aes", "--keep", "--json", str(stored), "lan")
    assert told.returncode == 0, told.stdout + told.stderr
    after = json.loads(stored.read_text())
    assert after["cases"]["100M-10"] == result["cases"]["100M-10"]
    runs = after["cases"]["lan"]["runs"]
    name = "TCP sendfile, cubic"
    assert runs[name] == result["cases"]["lan"]["runs"][name]
    assert len(runs["Tradewind, AES-128-GCM"]) == 1


@pytest.mark.root
def test_says_what_comes_from_where(result, tmp_path):
    """Runs of an earlier commit, single runs and the maker of the lines are named on the page; what
    another machine measured is not mixed in."""
    (tmp_path / "docs").mkdir()
    shutil.copy(PERFORMANCE, tmp_path / "docs")
    mixed = json.loads(json.dumps(result))
    lan = mixed["cases"]["lan"]["runs"]["TCP sendfile, cubic"]
    for run in lan:
        run["commit"] = "0ld"
    del mixed["cases"]["500M-0"]["runs"]["TCP sendfile, cubic"][1:]
    stored = tmp_path / "mixed.json"
    stored.write_text(json.dumps(mixed))
    assert bench("--docs", "--from", str(stored), "--root", str(tmp_path)).returncode == 0
    page = (tmp_path / "docs" / "performance.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| TCP sendfile, cubic")]
    assert "§" in rows[0].split("|")[2] and "¹" in rows[0].split("|")[3]
    assert any(row.rstrip(" |").endswith("2 § 0ld") for row in rows[1:])
    assert "long lines by `bench/link`" in page or "long lines by the kernel's netem" in page
    mixed["machine"]["processor"] = "another"
    stored.write_text(json.dumps(mixed))
    told = bench("--keep", "--json", str(stored), "--mib", "1", "--runs", "1", "lan")
    assert told.returncode == 1 and "another machine" in told.stderr
    assert json.loads(stored.read_text()) == mixed


def test_unknown_case():
    told = bench("lann")
    assert told.returncode == 2 and "no such case: lann" in told.stderr
