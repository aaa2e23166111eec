"""The whole measurement: every case, the programs in turns, what came out to a file and to people."""
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time

import netem
import tw

from . import measure, report
from .cases import CASES
from .peers import PEERS, why_not

TRIES = 3                       # of a run that the machine spoilt


def processor():
    with open("/proc/cpuinfo") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit(root):
    answer = subprocess.run(["git", "-C", root, "describe", "--always", "--dirty", "--exclude=*"],
                            capture_output=True, text=True)
    return answer.stdout.strip() or "unknown"


def machine():
    return {"processor": processor(), "cores": os.cpu_count(), "kernel": platform.release(),
            "memoryGiB": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30}


def one_run(peer, case, source, arguments):
    """Again when the emulator did not keep up: then it was the machine that was measured."""
    for attempt in range(TRIES):
        result = measure.run(peer, case, source, arguments)
        if not result["invalid"]:
            break
        print("    %-26s invalid: %s%s" % (peer.name, result["invalid"],
                                           "" if attempt == TRIES - 1 else "; again"), flush=True)
    return result


def measure_case(case, peers, arguments, folder):
    """Rounds in which each program has its turn. One that was stopped at the limit would only be
    stopped again."""
    source = measure.make_input(folder, case, arguments.mib)
    runs, failed = {}, {}
    for turn in range(arguments.runs):
        for peer in peers:
            if peer.name in failed or (turn and not runs[peer.name][-1]["whole"]):
                continue
            try:
                result = one_run(peer, case, source, arguments)
            except AssertionError as error:
                failed[peer.name] = str(error)
                print("    %-26s FAILED: %s" % (peer.name, error), flush=True)
                continue
            runs.setdefault(peer.name, []).append({**result, "commit": commit(tw.ROOT)})
            print("    " + report.line(peer.name, result), flush=True)
    return {"runs": runs, "failed": failed, "bytes": measure.tree_bytes(source)}


def choose(arguments):
    cases = [case for case in CASES if not arguments.cases or case.name in arguments.cases]
    peers = [peer for peer in PEERS if not arguments.only or
             any(word.lower() in peer.name.lower() for word in arguments.only)]
    return cases, peers


def show_list(cases, peers):
    for case in cases:
        print("%-10s %s" % (case.name, case.describe(case.bytes)))
    print()
    for peer in peers:
        print("%-28s %s" % (peer.name, why_not(peer) or ""))


def by_name(name):
    return next(peer for peer in PEERS if peer.name == name)


def links(found):
    return {run.get("link", "ours") for runs in found["runs"].values() for run in runs} - {"veth"}


def beside(earlier, found):
    """A case as it was, but for the programs that were measured now, each run with the commit it is
    of. Another size, or lines made by something else, are another case."""
    if not earlier or earlier["bytes"] != found["bytes"] or len(links(earlier) | links(found)) > 1:
        return found
    for runs in earlier["runs"].values():
        for run in runs:
            run.setdefault("commit", earlier["commit"])
    now = set(found["runs"]) | set(found["failed"]) | set(found["unfit"])
    kept = {what: {name: value for name, value in earlier[what].items() if name not in now}
            for what in ("runs", "failed", "unfit")}
    return {**found, **{what: {**kept[what], **found[what]} for what in kept}}


def measure_all(arguments):
    cases, peers = choose(arguments)
    absent = {peer.name: why_not(peer) for peer in peers if why_not(peer)}
    peers = [peer for peer in peers if peer.name not in absent]
    for name, reason in absent.items():
        print("left out: %s: %s" % (name, reason))
    result = {"cases": {}}
    if arguments.keep and os.path.exists(arguments.json):
        with open(arguments.json) as file:
            result = json.load(file)
    here = machine()
    for what in ("processor", "cores", "kernel"):
        if result["cases"] and result["machine"][what] != here[what]:
            raise SystemExit("bench/run: %s has results of another machine (%s: %s); figures are"
                             " only comparable on one: leave out --keep, or choose another --json"
                             % (arguments.json, what, result["machine"][what]))
    result.update(machine=here, commit=commit(tw.ROOT),
                  absent={name: why for name, why in {**result.get("absent", {}), **absent}.items()
                          if name in absent or why_not(by_name(name))})
    folder = tempfile.mkdtemp(prefix="tw-bench-input-", dir=arguments.memory)
    try:
        for case in cases:
            print("\n%s (%s)" % (case.title, case.name), flush=True)
            able = [peer for peer in peers if not peer.why_not_case(case)]
            found = measure_case(case, able, arguments, folder)
            found.update(commit=commit(tw.ROOT), date=time.strftime("%Y-%m-%d", time.gmtime()),
                         unfit={peer.name: peer.why_not_case(case) for peer in peers
                                if peer not in able})
            result["cases"][case.name] = beside(result["cases"].get(case.name), found)
            os.makedirs(os.path.dirname(arguments.json), exist_ok=True)
            with open(arguments.json, "w") as file:
                json.dump(result, file, indent=1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def main(arguments):
    unknown = set(arguments.cases) - {case.name for case in CASES}
    if unknown:
        print("bench/run: no such case: %s; bench/run --list" % ", ".join(sorted(unknown)),
              file=sys.stderr)
        return 2
    if arguments.list:
        show_list(*choose(arguments))
        return 0
    if arguments.source:
        with open(arguments.source) as file:
            result = json.load(file)
    else:
        if not tw.privileged():
            print("bench/run: network namespaces need root; run it with sudo", file=sys.stderr)
            return 2
        tw.remove_stale_namespaces()
        arguments.link, words = netem.choose(arguments.link)
        if not arguments.link:
            print("bench/run: %s; leave out --link netem" % words, file=sys.stderr)
            return 2
        print("lines by " + words)
        result = measure_all(arguments)
    print("\n" + report.text(result))
    if arguments.docs:
        print("written: " + report.write(result, arguments.root))
    return 1 if any(case["failed"] for case in result["cases"].values()) else 0
