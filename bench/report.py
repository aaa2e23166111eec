"""What was measured, for people: lines while it runs, tables, plots, docs/performance.md."""
import json
import os
import statistics

from . import goals, plot
from .cases import CASES, FILE_BYTES
from .measure import BUSY_CORES
from .peers import PEERS

BEGIN, END = "<!-- bench: begin (written by make bench) -->", "<!-- bench: end -->"
FOLDER = "performance"          # below docs/: the plots and every single run

KEY = """\\* stopped at the time limit: the rate until then, of contents that had arrived.<br>
† the emulator dropped packets of its own accord in every try: the machine was the limit.<br>
‡ other programs of this machine took more than a quarter of a core meanwhile.<br>
§ measured with an earlier commit, named in the table of the case.<br>
¹ one run only; all others are medians of as many runs as the table of the case says."""


def busy(run):
    return run["otherCores"] > BUSY_CORES


def megabytes(value, run):
    """A process starts as a copy of the one that measures: what it needs below that is not seen."""
    floor = run["rssFloor"]
    return "≤ %.0f" % floor if value < floor + 1 else "%.0f" % value


def cpu(send, receive):
    return "-" if send is None else "%.2f + %.2f" % (send, receive)


def line(name, run):
    notes = [] if run["whole"] else ["stopped at the limit"]
    notes += ["INVALID: " + run["invalid"]] if run["invalid"] else []
    notes += ["others took %.1f cores" % run["otherCores"]] if busy(run) else []
    return "%-28s %7.2f s %7.0f Mbit/s  CPU %13s s  %4s + %4s MiB  %s" % (
        name, run["seconds"], run["mbps"], cpu(run["cpuSend"], run["cpuReceive"]),
        megabytes(run["rssSend"], run), megabytes(run["rssReceive"], run), ", ".join(notes))


class Row:
    """One program in one case: medians of its runs. @newest: the commit that was measured last;
    @otherwise: the one of runs that do not say it themselves."""

    def __init__(self, case, name, runs, newest, otherwise):
        self.case, self.name, self.runs = case, name, runs
        self.ours = name.startswith("Tradewind")
        self.earlier = sorted({run.get("commit", otherwise) for run in runs} - {newest})
        self.mark = "".join(sign for sign, there in (
            ("*", not all(run["whole"] for run in runs)),
            ("†", any(run["invalid"] for run in runs)),
            ("‡", any(busy(run) for run in runs)),
            ("§", self.earlier),
            ("¹", len(runs) == 1 and runs[0]["whole"])) if there)

    @property
    def count(self):
        """How many runs, and of which commit if not the newest."""
        return "%d%s" % (len(self.runs), "".join(" § " + each for each in self.earlier))

    def median(self, key):
        values = [run[key] for run in self.runs if run[key] is not None]
        return statistics.median(values) if values else None

    def figures(self):
        """What the case is about, of each run: Mbit/s, or files a second."""
        factor = 1e6 / 8 / FILE_BYTES if self.case.many else 1.0
        return [run["mbps"] * factor for run in self.runs]

    @property
    def figure(self):
        return statistics.median(self.figures())

    @property
    def share(self):
        payload = self.case.payload_bps
        return "%.1f %%" % (self.median("mbps") * 1e8 / payload) if payload else "-"


def newest_commit(result):
    found = list(result["cases"].values())
    return result.get("commit") or found[-1]["commit"]


def tables_of(result):
    """Case name -> program name -> row, in the order of the grid."""
    tables, newest = {}, newest_commit(result)
    for case in CASES:
        found = result["cases"].get(case.name)
        if found:
            tables[case.name] = {
                peer.name: Row(case, peer.name, found["runs"][peer.name], newest, found["commit"])
                for peer in PEERS if found["runs"].get(peer.name)}
    return tables


def cases_of(result):
    return [case for case in CASES if case.name in result["cases"]]


def short(value):
    return "%.1f" % value if value < 9.95 else "%.0f" % value


def markdown(head, rows):
    """A table whose columns line up in plain text too."""
    grid = [head] + rows
    widths = [max(len(row[i]) for row in grid) for i in range(len(head))]
    shown = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
             for row in grid]
    shown.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(shown)


def overview(result, tables):
    cases = cases_of(result)
    head = ["Mbit/s; files/s"] + [case.name for case in cases]
    lines = [["payload the line carries"] +
             [short(case.payload_bps / 1e6) if case.payload_bps and not case.many else ""
              for case in cases]]
    for peer in PEERS:
        rows = [tables[case.name].get(peer.name) for case in cases]
        if any(rows):
            lines.append([peer.name] + [short(row.figure) + row.mark if row else ""
                                        for row in rows])
    return markdown(head, lines)


def goal_table(tables):
    rows = [[case, name, asked, reached, "yes" if met else "**no**"]
            for case, name, asked, reached, met in goals.judged(tables)]
    return markdown(["case", "program", "asked", "reached", "met"], rows) if rows else ""


def case_table(case, rows):
    head = [{True: "files/s", False: "Mbit/s"}[case.many], "from - to", "of payload", "seconds",
            "CPU s" if case.many else "CPU s/GiB", "peak MiB", "on the wire", "runs"]
    lines = []
    for row in sorted(rows.values(), key=lambda row: -row.figure):
        wire, last = row.median("wire"), row.runs[-1]
        lines.append([
            "**%s**" % row.name if row.ours else row.name, short(row.figure) + row.mark,
            "%s - %s" % (short(min(row.figures())), short(max(row.figures()))), row.share,
            "%.2f" % row.median("seconds"),
            cpu(row.median("cpuSend"), row.median("cpuReceive")),
            "%s + %s" % (megabytes(row.median("rssSend"), last),
                         megabytes(row.median("rssReceive"), last)),
            "%.3f" % wire if wire else "-", row.count])
    return markdown(["program"] + head, lines)


def left_out(result):
    lines = ["%s: %s." % pair for pair in result["absent"].items()]
    for case in cases_of(result):
        found = result["cases"][case.name]
        lines += ["%s in %s: %s." % (name, case.name, why) for name, why in found["unfit"].items()]
        lines += ["%s in %s: FAILED: %s" % (name, case.name, why.splitlines()[0])
                  for name, why in found["failed"].items()]
    return lines


def text(result):
    """For the terminal."""
    tables = tables_of(result)
    parts = [overview(result, tables), goal_table(tables), KEY.replace("<br>", "")]
    return "\n\n".join(part for part in parts if part)


# --------------------------------------------------------------------------------------------------
# docs/performance.md


def title(case, rows):
    """With what was sent, in a run that went well."""
    sent = max(run["size"] for row in rows.values() for run in row.runs)
    return case.describe(sent)


def bar_panel(case, rows, reference=None):
    ordered = sorted(rows.values(), key=lambda row: -row.figure)
    unit = "files a second" if case.many else "Mbit/s"
    return plot.Panel("%s: %s" % (title(case, rows), unit),
                      [plot.Bar(row.name, [row.figure], row.ours, row.mark) for row in ordered],
                      short, reference)


def carried(case):
    """The dashed line of a case."""
    if not case.payload_bps or case.many:
        return None
    return case.payload_bps / 1e6, "payload the line carries"


def cpu_panel(case, rows):
    known = [row for row in rows.values() if row.median("cpuSend") is not None]
    ordered = sorted(known, key=lambda row: row.median("cpuSend") + row.median("cpuReceive"))
    return plot.Panel(title(case, rows) + ": processor seconds per GiB, sender and (pale) receiver",
                      [plot.Bar(row.name, [row.median("cpuSend"), row.median("cpuReceive")],
                                row.ours, row.mark) for row in ordered],
                      "{:.2f}".format)


def loss_plot(tables):
    cases = [case for case in CASES if case.name.startswith("500M-") and case.name in tables]
    names = [peer.name for peer in PEERS if any(peer.name in tables[case.name] for case in cases)]
    series = [(name, [tables[case.name][name].figure if name in tables[case.name] else None
                      for case in cases], name.startswith("Tradewind")) for name in names]
    series.append(("what the line carries", [case.payload_bps / 1e6 for case in cases], None))
    return plot.lines("500 Mbit/s, 100 ms: Mbit/s over the whole command as packets are lost",
                      ["%g %%" % (100 * case.loss) for case in cases], series, 500, "packets lost")


def plots(tables):
    """File name -> SVG."""
    named = {case.name: case for case in CASES if tables.get(case.name)}
    made = {}
    if "lan" in named:
        made["lan.svg"] = plot.bars([bar_panel(named["lan"], tables["lan"])])
        made["cpu.svg"] = plot.bars([cpu_panel(named["lan"], tables["lan"])])
    if sum(name.startswith("500M-") for name in named) > 1:
        made["loss.svg"] = loss_plot(tables)
    for file, names in (("far.svg", ("1G-1", "100M-10")), ("files.svg", ("files", "files-lan"))):
        panels = [bar_panel(named[name], tables[name], carried(named[name]))
                  for name in names if name in named]
        if panels:
            made[file] = plot.bars(panels)
    return made


LINKS = {"ours": "`bench/link`", "netem": "the kernel's netem"}


def origin(result):
    machine, newest = result["machine"], newest_commit(result)
    runs = [run for found in result["cases"].values() for several in found["runs"].values()
            for run in several]
    links = sorted({run.get("link", "ours") for run in runs} & set(LINKS))
    date = max(found["date"] for found in result["cases"].values())
    return ("%d cores of %s, %.0f GiB, Linux %s; commit %s, %s; long lines by %s.\n"
            "Every run is in [results.json](%s/results.json)." % (
                machine["cores"], machine["processor"], machine["memoryGiB"], machine["kernel"],
                newest, date, " and ".join(LINKS[link] for link in links), FOLDER))


def page(result, tables, pictures):
    parts = [BEGIN, origin(result), overview(result, tables), KEY]
    if goal_table(tables):
        parts += ["### What was asked, and what was reached", goal_table(tables)]
    parts += ["![%s](%s/%s)" % (name[:-4], FOLDER, name) for name in pictures]
    for case in cases_of(result):
        if tables[case.name]:
            parts += ["### %s (`%s`)" % (title(case, tables[case.name]), case.name),
                      case_table(case, tables[case.name])]
    if left_out(result):
        parts += ["### Left out", "\n".join("- " + line for line in left_out(result))]
    return "\n\n".join(parts + [END])


def write(result, root):
    """Replaces what stands between the markers of docs/performance.md; returns its path."""
    tables = tables_of(result)
    pictures = plots(tables)
    folder = os.path.join(root, "docs", FOLDER)
    os.makedirs(folder, exist_ok=True)
    for name, svg in pictures.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(svg)
    with open(os.path.join(folder, "results.json"), "w") as file:
        json.dump(result, file, indent=1)
    path = os.path.join(root, "docs", "performance.md")
    with open(path, encoding="utf-8") as file:
        before, _, rest = file.read().partition(BEGIN)
    with open(path, "w", encoding="utf-8") as file:
        file.write(before + page(result, tables, pictures) + rest.partition(END)[2])
    return path
