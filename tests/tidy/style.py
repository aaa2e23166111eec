#!/usr/bin/python3
"""Holds the tree to its style: which tier may include which, no input or output in the sans-IO
tiers, sizes of files, functions, parameter lists and lines.

Each rule is one test (TAP on standard output). What does not keep a rule yet stands in
exceptions.txt with its present figure: the test fails when the figure grows, and when it could
shrink or go, so that the list only gets shorter. `style.py --list` prints the exceptions the tree
would need.
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXCEPTIONS = os.path.join(ROOT, "tests/tidy/exceptions.txt")

TIERS = ["base", "wire", "crypto", "rate", "core", "content", "session", "relay", "netio",
         "store", "auth", "engine", "api", "client", "cli"]
# Beyond the order: tiers that stand side by side and know nothing of each other.
APART = {"crypto": {"wire"}, "rate": {"wire", "crypto"}, "content": {"core", "rate"},
         # For other programs too: it stands on base alone.
         "client": set(TIERS) - {"base", "client", "cli"}}

# stdio.h may be there for snprintf(); what touches a stream is among the calls.
SANS_IO = {"wire", "crypto", "rate", "core", "session", "relay"}
IO_HEADERS = re.compile(
    r"sys/(?!types\.h|param\.h|auxv\.h).*|netinet/.*|arpa/.*|net/.*|linux/.*|unistd\.h|fcntl\.h"
    r"|time\.h|poll\.h|signal\.h|dirent\.h|openssl/rand\.h|dlfcn\.h|syslog\.h")
IO_CALLS = re.compile(
    r"(?<![\w.>])(clock_gettime|gettimeofday|time|clock|nanosleep|usleep|sleep|open|openat|close"
    r"|read|write|pread|pwrite|readv|writev|lseek|fsync|fopen|fclose|fread|fwrite|printf|fprintf"
    r"|vprintf|vfprintf|puts|fputs|putchar|putc|perror|fgets|getline|getc|fflush|fdopen|popen"
    r"|remove|rename|unlink|socket|bind|connect|accept|listen|recv|recvfrom|recvmsg|recvmmsg|send"
    r"|sendto|sendmsg|sendmmsg|poll|epoll_wait|select|ioctl|mmap|rand|random|srand|rand_r|drand48"
    r"|getrandom|getentropy|arc4random\w*|RAND_\w+|getenv|abort|exit|system|fork)\s*\(")

LIMITS = {"file lines": 1000, "function lines": 70, "parameters": 6}
COLUMNS = 100
TOPS = ["src", "include", "clients", "tests", "bench", "tools"]


def listed_files():
    told = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *TOPS],
                          cwd=ROOT, capture_output=True, check=False)
    if told.returncode == 0:
        names = told.stdout.decode().split("\n")
    else:                       # a tree without its history, such as a release archive
        names = [os.path.relpath(os.path.join(folder, name), ROOT)
                 for top in TOPS
                 for folder, _, files in os.walk(os.path.join(ROOT, top)) for name in files]
    return sorted(name for name in names if name.endswith((".c", ".h", ".py"))
                  and os.path.exists(os.path.join(ROOT, name)))


def blank_out(text):
    """The text with comments, strings and characters turned to spaces; line breaks stay."""
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


class Source:
    def __init__(self, name):
        self.name = name
        self.is_c = name.endswith((".c", ".h"))
        self.is_header = name.endswith(".h")
        with open(os.path.join(ROOT, name), encoding="utf-8") as file:
            self.text = file.read()
        self.lines = self.text.split("\n")
        if self.lines and not self.lines[-1]:
            self.lines.pop()
        self.code = blank_out(self.text) if self.is_c else ""
        parts = name.split("/")
        self.tier = parts[1] if parts[0] == "src" and len(parts) > 2 else None

    def includes(self):
        """(line number, name) of each #include."""
        for number, line in enumerate(self.lines, 1):
            match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
            if match:
                yield number, match.group(1)

    def functions(self):
        """(name, first line, lines, parameters) of definitions and prototypes at the left edge."""
        pattern = re.compile(r"^(?!#|typedef\b|\s)([^;{}=()]*?\b(\w+)\s*)\(", re.M)
        at = 0
        while match := pattern.search(self.code, at):
            close = closing(self.code, match.end() - 1)
            at = match.end()
            if close is None:
                continue
            tail = re.match(r"\s*(?:__attribute__\s*\(\(.*?\)\)\s*)*([{;])",
                            self.code[close + 1:], re.S)
            if not tail:
                continue
            first = self.code.count("\n", 0, match.start()) + 1
            end = close + tail.end()
            if tail.group(1) == "{":
                brace = self.code.find("\n}", end)
                end = len(self.code) if brace < 0 else brace + 1
                at = end
            lines = self.code.count("\n", 0, end) + 1 - first + 1
            yield match.group(2), first, lines, parameters(self.code[match.end():close])


def closing(code, at):
    """Index of the parenthesis that closes the one at @at, or None."""
    depth = 0
    for index in range(at, len(code)):
        depth += {"(": 1, ")": -1}.get(code[index], 0)
        if not depth:
            return index
    return None


def parameters(text):
    depth = 0
    count = 1 if text.strip() not in ("", "void") else 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        count += character == "," and not depth
    return count


# Each rule yields (what, figure, message): @what names it in the list of exceptions.

def rule_tiers(source):
    if source.tier is None:
        return
    if source.tier not in TIERS:
        yield source.name, 1, f"{source.name}: src/{source.tier} is not a tier"
        return
    for number, name in source.includes():
        other = name.split("/")[0] if "/" in name else None
        if other not in TIERS or other == source.tier:
            continue
        if TIERS.index(other) > TIERS.index(source.tier) or other in APART.get(source.tier, ()):
            yield (f"{source.name}:{name}", 1,
                   f"{source.name}:{number}: {source.tier} may not include {name}")


def rule_sans_io(source):
    if source.tier not in SANS_IO:
        return
    for number, name in source.includes():
        if IO_HEADERS.fullmatch(name):
            yield (f"{source.name}:{name}", 1,
                   f"{source.name}:{number}: {source.tier} includes {name}")
    own = {name for name, *_ in source.functions()}
    for number, line in enumerate(source.code.split("\n"), 1):
        for match in IO_CALLS.finditer(line):
            if match.group(1) in own:
                continue
            yield (f"{source.name}:{match.group(1)}", 1,
                   f"{source.name}:{number}: {source.tier} calls {match.group(1)}()")


def rule_file_size(source):
    count = len(source.lines)
    if count > LIMITS["file lines"]:
        yield source.name, count, f"{source.name}: {count} lines, at most {LIMITS['file lines']}"


def rule_function_size(source):
    for name, line, count, _ in source.functions() if source.is_c else ():
        if count > LIMITS["function lines"]:
            yield (f"{source.name}:{name}", count,
                   f"{source.name}:{line}: {name}() has {count} lines, at most"
                   f" {LIMITS['function lines']}")


def rule_parameters(source):
    # What crosses a file is counted once, in its header (the compiler demands a prototype there).
    for name, line, _, count in source.functions() if source.is_c else ():
        static = source.is_header or source.lines[line - 1].startswith("static")
        if count > LIMITS["parameters"] and static:
            yield (f"{source.name}:{name}", count,
                   f"{source.name}:{line}: {name}() has {count} parameters, at most"
                   f" {LIMITS['parameters']}")


def rule_columns(source):
    # A message stays in one piece, so that it can be searched for.
    wide = [number for number, line in enumerate(source.lines, 1)
            if len(line.expandtabs(8)) > COLUMNS and not re.match(r'\s*(return )?"', line)]
    if wide:
        shown = ", ".join(str(number) for number in wide[:8])
        yield (source.name, len(wide),
               f"{source.name}: {len(wide)} lines wider than {COLUMNS} columns: {shown}")


def rule_space(source):
    for number, line in enumerate(source.lines, 1):
        if line != line.rstrip():
            yield source.name, 1, f"{source.name}:{number}: space at the end of the line"
        if source.is_c and re.match(r" {8}", line):
            yield source.name, 1, f"{source.name}:{number}: indented with spaces, not tabs"
    if source.text and not source.text.endswith("\n"):
        yield source.name, 1, f"{source.name}: no line break at the end of the file"


def rule_typedef(source):
    for match in re.finditer(r"\btypedef\s+(struct|union|enum)\b", source.code):
        number = source.code.count("\n", 0, match.start()) + 1
        yield source.name, 1, f"{source.name}:{number}: typedef {match.group(1)}"


def rule_headers(source):
    if not source.is_header:
        return
    name = os.path.basename(source.name)
    if "#pragma once" not in source.lines:
        yield source.name, 1, f"{source.name}: no #pragma once"
    if not source.text.startswith(f"/*\n * {name} - "):
        yield source.name, 1, f"{source.name}: does not open with a comment `{name} - `"


RULES = {
    "tiers": rule_tiers,
    "sans-io": rule_sans_io,
    "file-size": rule_file_size,
    "function-size": rule_function_size,
    "parameters": rule_parameters,
    "columns": rule_columns,
    "space": rule_space,
    "typedef": rule_typedef,
    "headers": rule_headers,
}


def findings(sources):
    """{(rule, what): (figure, [messages])}; figures of several findings add up."""
    found = {}
    for rule, check in RULES.items():
        for source in sources:
            for what, figure, message in check(source):
                before, messages = found.get((rule, what), (0, []))
                found[rule, what] = (before + figure, messages + [message])
    return found


def read_exceptions():
    """{(rule, what): figure} from lines `rule what figure`; # starts a comment."""
    allowed = {}
    with open(EXCEPTIONS, encoding="utf-8") as file:
        for line in file:
            words = line.split("#")[0].split()
            if words:
                rule, what, figure = words
                allowed[rule, what] = int(figure)
    return allowed


def judge(rule, found, allowed):
    """The complaints about one rule."""
    for (name, what), (figure, messages) in found.items():
        limit = allowed.get((name, what), 0)
        if name != rule or figure == limit:
            continue
        if figure > limit:
            yield from messages
            if limit:
                yield f"exceptions.txt allows {what} only {limit}, now it is {figure}"
        else:
            yield f"exceptions.txt: {rule} {what} can shrink from {limit} to {figure}"
    for name, what in allowed:
        if name == rule and (name, what) not in found:
            yield f"exceptions.txt: {rule} {what} keeps the rule now: remove the line"


def main():
    sources = [Source(name) for name in listed_files()]
    found = findings(sources)
    if "--list" in sys.argv:
        for (rule, what), (figure, _) in sorted(found.items()):
            print(rule, what, figure)
        return 0
    allowed = read_exceptions()
    unknown = [f"exceptions.txt: no rule {rule}" for rule, _ in allowed if rule not in RULES]
    bad = 0
    print(f"1..{len(RULES) + 1}")
    for number, rule in enumerate([*RULES, "exceptions"], 1):
        complaints = unknown if rule == "exceptions" else list(judge(rule, found, allowed))
        bad += bool(complaints)
        print(f"{'not ok' if complaints else 'ok'} {number} - {rule}")
        for complaint in complaints:
            print(f"# {complaint}")
    if not sources:
        print("Bail out! no source files found")
    return 1 if bad or not sources else 0


if __name__ == "__main__":
    sys.exit(main())
