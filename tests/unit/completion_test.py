# SPDX-License-Identifier: BSD-2-Clause
"""Completion of `xebec`: the candidates against the grammar, and the Tab key pressed in bash, zsh and fish. No root.

Usage: completion_test.py PATH-OF-XEBEC [unittest arguments]
"""
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from fake_daemon import FakeDaemon

XEBEC = ""
SERVICES = {"schema": "xebec.service-list/1", "services": [{"name": "web"}, {"name": "dns6"}]}
BACKENDS = {"schema": "xebec.backend-list/1", "backends": [{"address": "2001:db8::11"}, {"address": "10.0.1.11"}]}


class Terminal:
    """An interactive shell on a pty."""

    def __init__(self, environment, *command):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], command, environment)
        self.screen = ""

    def type(self, text):
        os.write(self.fd, text.encode())

    def wait_for(self, pattern, deadline_s=30):
        """Until the screen has shown `pattern` since last time."""
        end = time.monotonic() + deadline_s
        while not (found := re.search(pattern, self.screen)):
            ready, _, _ = select.select([self.fd], [], [], max(0.0, end - time.monotonic()))
            data = os.read(self.fd, 4096) if ready else b""
            if not data:
                raise AssertionError(f"nothing like {pattern!r} on the screen: {self.screen!r}")
            self.screen += re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|[=>])|[\x00\x07]", "", data.decode(errors="replace"))
        self.screen = self.screen[found.end():]

    def close(self):
        os.close(self.fd)  # the shell is hung up on
        for _ in range(500):
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                return
            time.sleep(0.02)
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)


class CompletionTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        os.symlink(XEBEC, os.path.join(self.directory, "xebec"))
        self.socket = os.path.join(self.directory, "x.sock")
        self.environment = {"PATH": self.directory + ":" + os.environ["PATH"], "HOME": self.directory, "TERM": "vt100",
                            "XEBEC_SOCKET": self.socket, "LC_ALL": "C.UTF-8"}

    def serve(self):
        daemon = FakeDaemon(self.socket)
        self.addCleanup(daemon.close)
        daemon.answer("GET", "/v1/services", SERVICES)
        daemon.answer("GET", "/v1/backends", BACKENDS)
        daemon.answer("GET", "/v1/backends?service=web", BACKENDS)
        return daemon

    def run_tool(self, *words):
        return subprocess.run([XEBEC, *words], capture_output=True, text=True, timeout=60, check=True, env=self.environment)

    def candidates(self, *words):
        done = self.run_tool("__complete", "--", *words)
        self.assertEqual(done.stderr, "")
        return [line.split("\t")[0] for line in done.stdout.splitlines()]

    def grammar(self):
        return json.loads(self.run_tool("grammar").stdout)

    # Candidates

    def test_every_object_verb_and_option_of_the_grammar_is_offered_and_nothing_else(self):
        def check(verb, path):
            names = [v["name"] for v in verb["verbs"]]
            if names:
                self.assertEqual(sorted(self.candidates(*path, "")), sorted(names), path)
            for option in verb["options"]:
                for name in (n for n in option["names"] if n.startswith("--") and n != "-->"):
                    self.assertIn(name, self.candidates(*path, "--"), path)
            for v in verb["verbs"]:
                check(v, (*path, v["name"]))

        grammar = self.grammar()
        self.assertGreater(len(grammar["verbs"]), 10)
        for hidden in ("grammar", "__complete"):
            self.assertNotIn(hidden, self.candidates(""))
        check(grammar, ())

    def test_names_of_services_and_backends_are_the_daemons(self):
        self.serve()
        rows = [
            (("service", "list", ""), ["dns6", "web"]),
            (("service", "delete", "w"), ["web"]),
            (("service", "add", ""), []),  # a new name
            (("backend", "list", ""), ["dns6", "web"]),
            (("backend", "set", "web", ""), ["10.0.1.11", "2001:db8::11"]),
            (("backend", "rm", "web", "2001:"), ["2001:db8::11"]),
            (("-o", "tsv", "backend", "set", "web", "10"), ["10.0.1.11"]),
            (("--socket", self.socket, "stats", "d"), ["dns6"]),
            (("stats", "web", "--by", "w"), ["worker"]),
            (("stats", "--by=dr"), ["--by=drop-reason"]),
            (("backend", "set", "web", "10.0.1.11", "adm"), ["admin="]),
            (("service", "add", "x", "10.0.0.1:80/tcp", "mode=d"), ["mode=dsr-l2", "mode=dnat"]),
            (("completion", ""), ["bash", "zsh", "fish"]),
            (("config", "check", ""), [":files"]),
            (("--socket", ""), [":files"]),
        ]
        for words, expected in rows:
            self.assertEqual(self.candidates(*words), expected, words)

    def test_without_a_daemon_there_are_no_names_and_no_complaint(self):
        self.assertEqual(self.candidates("service", "list", ""), [])
        self.assertEqual(self.candidates("--socket", "/nowhere", "backend", "set", "web", ""), [])

    def test_a_daemon_that_does_not_answer_keeps_nobody_waiting(self):
        daemon = self.serve()
        daemon.hanging.add(("GET", "/v1/services"))
        began = time.monotonic()
        self.assertEqual(self.candidates("service", "list", ""), [])
        self.assertLess(time.monotonic() - began, 10)

    def test_names_that_a_shell_would_take_for_more_are_left_out(self):
        daemon = self.serve()
        daemon.answer("GET", "/v1/services", {"schema": "xebec.service-list/1",
                                              "services": [{"name": "good"}, {"name": "$(bad)"}, {"name": "b ad"}, {"name": "b\nad"}]})
        self.assertEqual(self.candidates("service", "list", ""), ["good"])

    # Shells

    def need(self, shell):
        if shutil.which(shell) is None:
            self.assertNotIn("CI", os.environ, f"{shell} is not installed: scripts/setup")
            self.skipTest(f"{shell} is not installed")

    def press_tab(self, terminal):
        """Each: what is typed before the Tab, and what then stands on the line."""
        for typed, line in [("xebec backe", "xebec backend "), ("xebec backend delete w", "xebec backend delete web "),
                            ("xebec backend delete web 2001:d", "xebec backend delete web 2001:db8::11"),
                            ("xebec backend set web 10.0.1.11 adm", "xebec backend set web 10.0.1.11 admin="),
                            ("xebec stats --by wo", "xebec stats --by worker ")]:
            terminal.type(typed + "\t")
            terminal.wait_for(re.escape(line))
            terminal.type("\x15echo new$((1))line\n")  # ^U: an empty line again
            terminal.wait_for(r"new1line")

    def test_bash_completes(self):
        self.serve()
        terminal = Terminal(self.environment, "bash", "--norc", "--noprofile", "-i")
        self.addCleanup(terminal.close)
        terminal.type("bind 'set bell-style none'; PS1='$ '; eval \"$(xebec completion bash)\"; echo rea''dy\n")
        terminal.wait_for("ready")
        self.press_tab(terminal)

    def test_zsh_completes(self):
        self.need("zsh")
        self.serve()
        terminal = Terminal(self.environment, "zsh", "-f", "-i")
        self.addCleanup(terminal.close)
        terminal.type("PS1='$ '; unsetopt beep; autoload -U compinit; compinit -u -D; eval \"$(xebec completion zsh)\"; echo rea''dy\n")
        terminal.wait_for("ready")
        self.press_tab(terminal)

    def test_fish_completes(self):
        self.need("fish")
        self.serve()

        def offered(line):
            done = subprocess.run(["fish", "--no-config", "-c", f"xebec completion fish | source; complete -C '{line}'"],
                                  capture_output=True, text=True, timeout=60, check=True, env=self.environment)
            return [row.split("\t")[0] for row in done.stdout.splitlines()]

        self.assertEqual(offered("xebec backe"), ["backend"])
        self.assertEqual(offered("xebec backend delete w"), ["web"])
        self.assertEqual(offered("xebec backend delete web 2001:d"), ["2001:db8::11"])
        self.assertEqual(offered("xebec stats --by wo"), ["worker"])


if __name__ == "__main__":
    XEBEC = os.path.abspath(sys.argv.pop(1))
    unittest.main()
