"""The figures that Tradewind is built to reach, and whether a result does."""
from .cases import FILES

AES, NONE = "Tradewind, AES-128-GCM", "Tradewind, cipher none"
MEMORY_MIB = 128


def best_tcp(rows):
    values = [row.median("mbps") for name, row in rows.items() if name.startswith("TCP sendfile")]
    return max(values, default=None)


def beside_tcp(name, share):
    def judge(rows):
        tcp = best_tcp(rows)
        reached = rows[name].median("mbps") / tcp if tcp else None
        return reached and (reached >= share, "%.2f" % reached)
    return name, "at least %.1f times a plain TCP copy" % share, judge


def processor(name, seconds):
    def judge(rows):
        reached = rows[name].median("cpuSend") + rows[name].median("cpuReceive")
        return reached <= seconds, "%.2f" % reached
    return name, "at most %.1f CPU s/GiB, both ends together" % seconds, judge


def of_payload(share):
    def judge(rows):
        row = rows[AES]
        reached = row.median("mbps") * 1e6 / row.case.payload_bps
        return reached >= share, "%.1f %%" % (100 * reached)
    return AES, "at least %.0f %% of the payload the line can carry" % (100 * share), judge


def within(seconds):
    def judge(rows):
        reached = rows[AES].median("seconds")
        return reached < seconds, "%.2f s" % reached
    return AES, "under %.1f s, whole command" % seconds, judge


def files_a_second(count):
    def judge(rows):
        reached = FILES / rows[AES].median("seconds")
        return reached > count, "%.0f" % reached
    return AES, "above %d files a second" % count, judge


GOALS = [
    ("lan", *beside_tcp(AES, 0.6)),
    ("lan", *processor(AES, 1.3)),
    ("lan", *beside_tcp(NONE, 0.8)),
    ("lan", *processor(NONE, 0.9)),
    ("500M-0", *of_payload(0.95)),
    ("500M-0.1", *of_payload(0.94)),
    ("500M-1", *of_payload(0.94)),
    ("500M-5", *of_payload(0.92)),
    ("1G-1", *of_payload(0.88)),
    ("100M-10", *of_payload(0.86)),
    ("files", *within(1.3)),
    ("files-lan", *files_a_second(25000)),
]


def memory(tables):
    """The most that either side of Tradewind took, over all cases."""
    values = [row.median(side) for rows in tables.values() for row in rows.values() if row.ours
              for side in ("rssSend", "rssReceive")]
    return max(values, default=None)


def judged(tables):
    """@tables: case name -> program name -> row. Yields (case name, program, asked, reached, met);
    nothing for files smaller than planned, where the handshake weighs too much.
    """
    for case, name, asked, judge in GOALS:
        rows = tables.get(case, {})
        found = judge(rows) if name in rows else None
        if found and rows[name].runs[0]["size"] == rows[name].case.bytes:
            yield case, name, asked, found[1] + rows[name].mark, found[0]
    most = memory(tables)
    if most is not None:
        yield ("all", "Tradewind", "at most %d MiB of memory, each side" % MEMORY_MIB,
               "%.0f MiB" % most, most <= MEMORY_MIB)
