# SPDX-License-Identifier: BSD-2-Clause
"""The manual pages name every verb, option, argument, configuration key and exit code that there is, and are clean mdoc.

Usage: manual_test.py BUILD-DIRECTORY [unittest arguments]
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

BUILD = pathlib.Path(".")
ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ("xebec.1", "xebec.json.5", "xebecd.8")


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def rendered(page):
    """As a reader sees it, in one line, and on so wide a terminal that no word is hyphenated."""
    text = subprocess.run(["groff", "-mdoc", "-Tutf8", "-P-c", "-k", "-rLL=2000n", str(BUILD / "man" / page)], check=True,
                          capture_output=True, text=True, timeout=60).stdout
    text = re.sub(r".\x08|\x1b\[[0-9;]*m", "", text)
    text = re.sub(r"[\u2018\u2019]", "'", re.sub(r"[\u2010-\u2012\u2212]", "-", text))
    return re.sub(r"\s+", " ", re.sub(r"-\n\s*", "-", text))


def leaves(verb, path=()):
    here = (*path, verb["name"])
    if not verb["verbs"]:
        yield here, verb
    for v in verb["verbs"]:
        yield from leaves(v, here)


def schema_keys(node):
    """Every property of every object in the schema."""
    if isinstance(node, dict):
        yield from node.get("properties", {})
        for value in node.values():
            yield from schema_keys(value)
    elif isinstance(node, list):
        for value in node:
            yield from schema_keys(value)


class ManualTest(unittest.TestCase):
    def setUp(self):
        self.tool = json.loads(output(BUILD / "xebec", "grammar"))
        self.daemon = json.loads(output(BUILD / "xebecd", "--grammar"))

    def test_every_verb_with_its_options_and_arguments_is_in_xebec_1(self):
        text = rendered("xebec.1")
        verbs = [leaf for verb in self.tool["verbs"] for leaf in leaves(verb)]
        self.assertGreater(len(verbs), 20)
        for path, verb in verbs:
            self.assertIn(" ".join(path), text)
            self.assertIn(verb["what"].split("`")[0][:30], text, path)
            for item in (*verb["options"], *verb["arguments"]):
                for name in item["names"]:
                    if name not in ("-->", "-h", "--help"):
                        self.assertIn(name, text, path)
        for option in self.tool["options"]:
            for name in option["names"]:
                self.assertIn(name, text)

    def test_every_option_is_in_xebecd_8(self):
        text = rendered("xebecd.8")
        self.assertGreater(len(self.daemon["options"]), 10)
        for option in self.daemon["options"]:
            for name in option["names"]:
                self.assertIn(name, text)

    def test_every_configuration_key_is_in_xebec_json_5(self):
        text = rendered("xebec.json.5")
        keys = set(schema_keys(json.loads((ROOT / "docs/xebec.schema.json").read_text(encoding="utf-8"))))
        self.assertGreater(len(keys), 60)
        self.assertEqual([key for key in sorted(keys) if not re.search(rf"\b{re.escape(key)}\b", text)], [])

    def test_exit_codes_are_those_of_the_program_pages(self):
        for page, document in (("xebec.1", "xebec.md"), ("xebecd.8", "xebecd.md")):
            text = rendered(page)
            after = text[text.index("EXIT STATUS"):]
            for code in re.findall(r"^\| (\d) \|", (ROOT / "docs" / document).read_text(encoding="utf-8"), re.M):
                self.assertRegex(after, rf"\b{code} ", page)

    def test_formatters_find_no_fault(self):
        for page in PAGES:
            path = str(BUILD / "man" / page)
            groff = subprocess.run(["groff", "-mdoc", "-Tutf8", "-k", "-ww", "-z", path], capture_output=True, text=True,
                                   check=True, timeout=60)
            self.assertEqual(groff.stderr, "", page)
        if shutil.which("mandoc") is None:
            self.assertNotIn("CI", os.environ, "mandoc is not installed: scripts/setup")
            self.skipTest("mandoc is not installed")
        for page in PAGES:
            lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning", str(BUILD / "man" / page)], capture_output=True, text=True,
                                  check=False, timeout=60)
            self.assertEqual(lint.stdout + lint.stderr, "", page)


if __name__ == "__main__":
    BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
