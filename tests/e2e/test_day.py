# SPDX-License-Identifier: BSD-2-Clause
"""An operator's day: the commands of docs/walkthrough.md, one after the other, under load."""
import contextlib
import json
import os
import re
import signal
import time

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

import frames
import peers
import pcapng
from cases import case, expect, expect_equal
from daemon import Daemon
from lab import HERE, VIP, run, wait_until
from peers import HTTP_PORT, Process

ROOT = os.path.dirname(os.path.dirname(HERE))
NOTICED_S = 2 * 0.3 + 0.2  # fall x interval + timeout, of the walkthrough's configuration


def walkthrough():
    """Its commands in order, its configuration, and all of it."""
    with open(os.path.join(ROOT, "docs", "walkthrough.md"), encoding="utf-8") as f:
        text = f.read()
    consoles = re.findall(r"```console\n(.*?)```", text, re.S)
    return ([line[2:] for block in consoles for line in block.splitlines() if line.startswith("$ ")],
            re.search(r"```jsonc\n(.*?)```", text, re.S).group(1), text)


class Day:
    """Types the walkthrough's commands in the balancer's namespace, with the installed programs."""

    def __init__(self, env, lab, daemon):
        self.env, self.lab, self.daemon = env, lab, daemon
        self.commands, self.configuration, self.text = walkthrough()
        self.root = lab.path("root")

    def install(self):
        """What the package would put there; its own life in a fresh system is tests/package."""
        expect_equal(self.commands.pop(0), "apt-get install ./xebec.deb", "the first command")
        run("env", f"DESTDIR={self.root}", "cmake", "--install", self.env.programs, "--prefix", "/usr", timeout=120)

    def words(self, command):
        """As typed, with the files of this lab and its socket."""
        path = ":".join([self.root + "/usr/bin", self.root + "/usr/sbin", os.environ["PATH"]])
        words = ["env", f"PATH={path}", "xebec", "--socket", self.daemon.socket]
        for word in command.split()[1:]:
            word = self.daemon.file if word == "/etc/xebec/xebec.json" else word
            words.append(self.lab.path(word) if word.endswith(".pcapng") else word)
        return words + (["--log", "file:" + self.lab.path("xebecd.log")] if " start " in command else [])

    def next(self, command):
        expect(self.commands and self.commands[0] == command, f"the walkthrough goes on with {self.commands[:1]}, not {command}")
        self.commands.pop(0)
        return self.words(command)

    def type(self, command, code=0):
        """The next command of the walkthrough; what it said. code=None: whatever it found."""
        done = self.lab.lb.ns.run(*self.next(command), check=False, timeout=60)
        if code is not None:
            expect_equal(done.returncode, code, f"exit code of `{command}` ({done.stdout}{done.stderr})")
        return done.stdout + done.stderr

    def write(self, old="", new=""):
        text = self.configuration.replace('"prot": 80', '"port": 80').replace(old, new) if new else self.configuration
        self.daemon.write(text)


def expect_says(text, *wanted):
    for words in wanted:
        expect(words in text, f"does not say {words!r}:\n{text}")


def expect_no_failures(load, but, when):
    report = load.report()
    expect_equal(report["failed"], but, f"failed requests {when} ({report})")


@contextlib.contextmanager
def ended_by_its_id(day):
    """The daemon is no child of the test: whatever happens, it does not outlive it."""
    try:
        yield
    finally:
        done = run(os.path.join(day.env.programs, "xebec"), "--socket", day.daemon.socket, "-j", "status", check=False)
        if done.stdout.startswith("{"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(json.loads(done.stdout)["pid"], signal.SIGKILL)


def a_backend_dies(day, lab, servers, load):
    """Kills b3's process; returns the requests that failed for it."""
    expect_no_failures(load, 0, "before")
    servers["b3"].end(signal.SIGKILL)
    killed = time.monotonic()
    failed, last_failure = 0, killed

    def is_down():
        nonlocal failed, last_failure
        now = load.report()["failed"]
        failed, last_failure = now, last_failure if now == failed else time.monotonic()
        rows = day.daemon.ask("backend", "list", "web")["backends"]
        return any(b["health"]["state"] == "down" and not b["usable"] for b in rows)

    wait_until(is_down, "b3 to be found dead")
    noticed = time.monotonic() - killed
    # Half a second: the most a change waits behind another one, and what a busy machine takes to tell.
    expect(noticed < NOTICED_S + 0.5 * 2, f"noticed after {noticed:.2f} s, promised are {NOTICED_S} s")
    expect_says(day.type("xebec health history web 10.77.0.13"), "10.77.0.13", "down")
    expect_says(day.type("xebec monitor --since 1m --type health --once"), "backend 10.77.0.13 of web", "-> down")
    expect_says(day.type("xebec status", code=1), "10.77.0.13")
    settled = load.report()["failed"]
    time.sleep(0.5)  # the span that is watched, not a wait for something
    after = load.report()
    expect_equal(after["failed"], settled, f"requests that fail although the backend is out ({after})")
    servers["b3"] = peers.Peer(lab, lab.backend("b3").ns, "serve", "b3", "--tcp", HTTP_PORT)
    wait_until(lambda: all(b["usable"] for b in day.daemon.ask("backend", "list", "web")["backends"]), "b3 to come back")
    return settled


@case(timeout_s=120)
def operator_has_a_day_and_no_request_fails_that_need_not(env):
    with env.lab() as lab:
        day = Day(env, lab, Daemon(lab, env.programs, "{}"))
        servers = peers.serve(lab)
        day.install()

        day.write()
        wrong = day.type("xebec config check /etc/xebec/xebec.json", code=3)
        place = day.configuration.split('"prot"')[0]
        line, column = place.count("\n") + 1, len(place.rpartition("\n")[2]) + 1
        said = next(line for line in day.text.splitlines() if ": error: " in line)
        expect_says(said, f":{line}:{column}: error: ")
        expect_says(wrong, said.replace("/etc/xebec/xebec.json", day.daemon.file))
        day.write("10.77.0.11", "10.77.0.11")
        day.type("xebec config check /etc/xebec/xebec.json")
        with ended_by_its_id(day):
            day.type("xebec start -c /etc/xebec/xebec.json")
            wait_until(lambda: day.daemon.cli("status", check=False).returncode == 0, "the start to be done", 20)
            day.type("xebec status")
            load = peers.http_load(lab, 4, concurrency=4)
            expect_says(day.type("xebec doctor web", code=None), "10.77.0.11")  # of the host it may have something to say, too

            expect_says(day.type("xebec top --once"), "web")
            expect_says(day.type("xebec stats --rate"), "web")
            expect_says(day.type("xebec backend list web"), "10.77.0.11", "10.77.0.12", "10.77.0.13")
            expect_says(day.type("xebec explain 10.77.0.2:5555 203.0.113.10:80/tcp"), "forward")

            failed = a_backend_dies(day, lab, servers, load)

            kept = peers.keep(lab, VIP[4], connections=30, interval_ms=20, rounds=60)
            expect_says(day.type("xebec backend drain web 10.77.0.12 --wait --deadline 30s"), "10.77.0.12")
            connections = kept.report()
            expect(all(k["error"] is None and not k["moved"] for k in connections), f"the drain broke connections: {connections}")
            expect_says(day.type("xebec backend list web"), "drain")
            before = load.report()["share"]
            day.type("xebec backend ready web 10.77.0.12")
            wait_until(lambda: load.report()["share"]["b2"] > before["b2"], "new connections to b2")
            expect_no_failures(load, failed, "by the drain")

            day.write('{ "address": "10.77.0.13" }', '{ "address": "10.77.0.13" }, { "address": "10.77.0.14" }')
            expect_says(day.type("xebec config diff /etc/xebec/xebec.json"), "10.77.0.14")
            expect_says(day.type("xebec config apply /etc/xebec/xebec.json --dry-run"), "10.77.0.14", "web")
            day.type("xebec config apply /etc/xebec/xebec.json --confirm-within 60s")
            wait_until(lambda: load.report()["share"].get("b4"), "requests to the new backend")
            day.type("xebec config confirm")
            expect_no_failures(load, failed, "by the deployment")

            day.type("xebec backend drain web 10.77.0.14 --wait --deadline 30s")
            expect_says(day.type("xebec config history"), "uid 0")
            day.type("xebec config rollback 3")
            # It has no connections, and leaves within half a second.
            wait_until(lambda: len(day.daemon.ask("backend", "list", "web")["backends"]) == 3, "three backends after going back")
            expect_says(day.type("xebec config diff /etc/xebec/xebec.json"), "10.77.0.14")
            expect_no_failures(load, failed, "by going back")

            capture = "xebec capture -w lost.pcapng --drop any --count 1 --seconds 20"
            process = Process(lab, lab.lb.ns, *day.next(capture), name="capture")
            wait_until(lambda: day.daemon.http("GET", "/v1/captures")[1]["captures"], "the capture to run")
            probe = Ether(src=lab.client.mac, dst=lab.lb.mac) / IP(src=lab.client.address[4], dst=VIP[4]) / \
                TCP(sport=9, dport=HTTP_PORT, dataofs=15) / Raw(b"probe")
            frames.inject(lab.client, bytes(probe))
            wait_until(lambda: process.process.poll() is not None, lambda: f"the capture to end: {process.said()}")
            expect_says(pcapng.packets(lab.path("lost.pcapng"))[0][1], "drop bad_l4_header")
            expect_says(day.type("xebec explain --config /etc/xebec/xebec.json --pcap lost.pcapng"), "bad_l4_header")
            expect_says(day.type("xebec stats --by drop-reason"), "bad_l4_header")

            report = load.stop()
            expect_equal(report["failed"], failed, f"failed requests of the whole day ({report})")
            expect(report["requests"] > 200, f"hardly anything was asked: {report}")
            day.daemon.expect_conservation()
            day.type("xebec stop")
            expect_equal(day.daemon.attached(), None, "XDP on the interface")
        expect_equal(day.commands, [], "commands that were not typed")
