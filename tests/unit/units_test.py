# SPDX-License-Identifier: BSD-2-Clause
"""The systemd units, as systemd-analyze judges them: no fault, and a sandbox. Needs no systemd that runs.

Usage: units_test.py [unittest arguments]
"""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

PACKAGING = pathlib.Path(__file__).resolve().parents[2] / "packaging"
UNITS = ("xebecd.service", "xebecd@.service")
# systemd's own scale from 0 (safe) to 10; what is left is the network, the capabilities and bpf(), which are the program's work.
WORST_EXPOSURE = 2.5


class UnitsTest(unittest.TestCase):
    def setUp(self):
        if shutil.which("systemd-analyze") is None:
            self.assertNotIn("CI", os.environ, "systemd-analyze is not installed: scripts/setup")
            self.skipTest("systemd-analyze is not installed")
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.paths = {}
        for name in UNITS:
            text = (PACKAGING / name).read_text(encoding="utf-8")
            # The programs are not installed here, and whether they are is not the question. Nor are the pages.
            text = re.sub(r"^(Exec\w+=)/usr/s?bin/xebecd?", r"\1/bin/true", text, flags=re.M)
            text = re.sub(r"^Documentation=.*\n", "", text, flags=re.M)
            self.paths[name] = os.path.join(directory.name, name.replace("@.", "@test."))
            pathlib.Path(self.paths[name]).write_text(text, encoding="utf-8")

    def analyze(self, *arguments):
        return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)

    def test_units_have_no_fault(self):
        for name, path in self.paths.items():
            done = self.analyze("verify", "--man=no", "--recursive-errors=no", path)
            about_us = [line for line in done.stderr.splitlines() if os.path.basename(path) in line or path in line]
            self.assertEqual((about_us, done.returncode), ([], 0), name)

    def test_units_are_sandboxed(self):
        for name, path in self.paths.items():
            done = self.analyze("security", "--offline=true", "--no-pager", path)
            exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
            self.assertIsNotNone(exposure, done.stdout + done.stderr)
            self.assertLessEqual(float(exposure.group(1)), WORST_EXPOSURE, name)

    def test_both_units_say_the_same_but_for_the_instance(self):
        one, many = ((PACKAGING / name).read_text(encoding="utf-8").splitlines() for name in UNITS)
        self.assertEqual(len(one), len(many))
        for a, b in zip(one, many):
            if a != b:
                self.assertIn("%i", b, f"{a!r} is not {b!r}")


if __name__ == "__main__":
    unittest.main()
