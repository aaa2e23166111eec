"""The style test's own test: each rule finds what it is made for, and leaves good code alone."""
import os
import unittest

import style

GOOD = """/*
 * good.h - a model header.
 */
#pragma once

#include <stdint.h>

#include "base/bytes.h"

/* A comment may say read(1) or open(2), and so may "a string". */
int tw_good_read(const char *text, void (*each)(int a, int b), uint64_t *ret);

static inline int add(int a, int b)
{
	return a + b;
}
"""


def source(text, name="src/core/good.h"):
    made = style.Source.__new__(style.Source)
    made.name = name
    made.is_c = not name.endswith(".py")
    made.is_header = name.endswith(".h")
    made.text = text
    made.lines = text.split("\n")[:-1]
    made.code = style.blank_out(text)
    made.tier = name.split("/")[1]
    return made


def found(text, name="src/core/good.h"):
    return sorted({rule for rule, _ in style.findings([source(text, name)])})


class Style(unittest.TestCase):
    def test_good(self):
        self.assertEqual(found(GOOD), [])

    def test_tiers(self):
        for tier, header, bad in [
                ("base", "wire/frame.h", True), ("wire", "base/bytes.h", False),
                ("crypto", "wire/frame.h", True), ("wire", "crypto/noise.h", True),
                ("rate", "core/conn.h", True), ("content", "core/conn.h", True),
                ("core", "rate/pacer.h", False), ("session", "content/sink.h", False),
                ("core", "netio/udp.h", True), ("cli", "engine/queue.h", False),
                ("nonsense", "base/bytes.h", True)]:
            text = GOOD.replace("base/bytes.h", header)
            with self.subTest(tier=tier, header=header):
                self.assertEqual(found(text, f"src/{tier}/good.h"), ["tiers"] if bad else [])

    def test_sans_io(self):
        for line in ["#include <time.h>", "#include <sys/socket.h>", "#include <poll.h>",
                     "#include <unistd.h>", "int x(void)\n{\n\tfputs(\"a\", stderr);\n}", "int x(void)\n{\n\treturn open(\"a\", 0);\n}",
                     "int x(void)\n{\n\treturn (int)time(NULL);\n}",
                     "int x(void)\n{\n\trand ();\n}"]:
            with self.subTest(line=line):
                self.assertEqual(found(GOOD + line + "\n"), ["sans-io"])
                self.assertEqual(found(GOOD + line + "\n", "src/netio/good.h"), [])
        harmless = "int x(struct y *y)\n{\n\treturn y->read(1) + y->ops.open(2) + tw_time(3);\n}\n"
        self.assertEqual(found(GOOD + harmless), [])
        own = "static int send(int a)\n{\n\treturn a;\n}\nint y(void)\n{\n\treturn send(1);\n}\n"
        self.assertEqual(found(GOOD + own), [])

    def test_sizes(self):
        body = "int x(void)\n{\n" + "\treturn 0;\n" * 67 + "}\n"
        self.assertEqual(found(GOOD + body), [])
        self.assertEqual(found(GOOD + body.replace("{\n", "{\n\treturn 1;\n")), ["function-size"])
        self.assertEqual(found(GOOD + "int x(int a, int b, int c, int d, int e, int f);\n"), [])
        seven = "int x(int a, int b, int c, int d,\n      int e, int f, int g);\n"
        self.assertEqual(found(GOOD + seven), ["parameters"])
        self.assertEqual(found("static " + seven, "src/core/a.c"), ["parameters"])
        self.assertEqual(found(seven, "src/core/a.c"), [])
        self.assertEqual(found(GOOD + "\n" * (1000 - GOOD.count("\n"))), [])
        self.assertEqual(found(GOOD + "\n" * (1001 - GOOD.count("\n"))), ["file-size"])
        self.assertEqual(found(GOOD + "/*" + "x" * 96 + "*/\n"), [])
        self.assertEqual(found(GOOD + "\t/*" + "x" * 89 + "*/\n"), ["columns"])

    def test_form(self):
        self.assertEqual(found(GOOD + "int a; \n"), ["space"])
        self.assertEqual(found(GOOD + "        int a;\n"), ["space"])
        self.assertEqual(found(GOOD + "typedef struct a a;\n"), ["typedef"])
        self.assertEqual(found(GOOD.replace("#pragma once\n", "")), ["headers"])
        self.assertEqual(found(GOOD.replace("good.h - ", "other.h - ")), ["headers"])

    def test_exceptions_only_shrink(self):
        text = {("columns", "a.c"): (3, ["a.c: 3 lines"])}
        self.assertEqual(list(style.judge("columns", text, {("columns", "a.c"): 3})), [])
        self.assertTrue(list(style.judge("columns", text, {})))
        self.assertTrue(list(style.judge("columns", text, {("columns", "a.c"): 2})))
        self.assertTrue(list(style.judge("columns", text, {("columns", "a.c"): 4})))
        self.assertTrue(list(style.judge("columns", {}, {("columns", "a.c"): 3})))

    def test_this_tree_is_seen(self):
        names = style.listed_files()
        self.assertIn("src/base/ranges.c", names)
        self.assertIn("tests/tidy/style.py", names)
        self.assertTrue(os.path.exists(style.EXCEPTIONS))
        functions = {name for name, *_ in style.Source("src/base/ranges.c").functions()}
        self.assertIn("tw_ranges_remove", functions)
        self.assertIn("find_end", functions)


if __name__ == "__main__":
    unittest.main()
