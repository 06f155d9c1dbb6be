# SPDX-License-Identifier: BSD-2-Clause
"""What an operator sees of a daemon at work: top in a real terminal, the stream of events, the doctor."""
import glob
import json
import os
import shlex
import signal
import tempfile

import peers
from cases import case, expect, expect_equal
from daemon import config
from lab import VIP, run, wait_until
from peers import Process
from terminal import Terminal


def tool(daemon, *args):
    return [os.path.join(daemon.programs, "xebec"), "--socket", daemon.socket, *args]


@case()
def top_shows_rates_obeys_keys_and_survives_a_restart(env):
    with env.lab() as lab:
        peers.serve(lab)
        with env.daemon(lab) as daemon, Terminal(lab) as terminal:
            load = peers.http_load(lab, 4)
            terminal.type(shlex.join(tool(daemon, "top", "-d", "0.2")) + "; echo exit=$?")
            screen = terminal.wait_for("healthy  lab: xebecd", "[1 services]", "q quit")
            expect("web4" in screen.splitlines()[4], f"the service with the load stands first:\n{screen}")
            colour = terminal.screen(colours=True)
            expect("\x1b[32m" in colour, "healthy is green")
            terminal.keys("2")
            terminal.wait_for("[2 backends]", lab.backends[0].address[4])
            terminal.keys("/")
            terminal.keys("-l", "udp6")
            terminal.wait_for("/udp6_", absent=("web4",))
            terminal.keys("Escape")
            terminal.wait_for("web4", absent=("/udp6",))
            terminal.keys("4")
            terminal.wait_for("[4 drops]", "REASON")
            terminal.keys("h")
            terminal.wait_for("sort the other way round")
            terminal.keys("h", "3", "p")
            terminal.wait_for("[3 workers]", "[paused]")
            terminal.keys("p")
            terminal.resize(30, 5)
            terminal.wait_for("30x5: too small")
            terminal.resize(100, 30)
            terminal.wait_for("[3 workers]", absent=("too small",))
            load.stop()
            daemon.stop()
            terminal.wait_for("trying again")
            daemon.start()
            terminal.wait_for("healthy  lab: xebecd", absent=("trying again",))
            terminal.keys("q")
            terminal.wait_for("exit=0", absent=("q quit",))
            for sig in (signal.SIGINT, signal.SIGTERM):
                terminal.type("clear; " + shlex.join(tool(daemon, "top")) + "; echo left=$?; stty -a | grep -o ' echo '")
                terminal.wait_for("q quit")
                os.kill(terminal.pid_of("xebec"), sig)
                terminal.wait_for("left=0", " echo\n", absent=("q quit",))
            plain = run(*tool(daemon, "top", "backends", "--once")).stdout
            expect("\x1b" not in plain and lab.backends[0].address[4] in plain, f"a plain frame:\n{plain}")
        with env.daemon(lab) as daemon, Terminal(lab, NO_COLOR="1") as terminal:
            terminal.type(shlex.join(tool(daemon, "top")))
            terminal.wait_for("healthy  lab: xebecd")
            expect("\x1b[32m" not in terminal.screen(colours=True), "NO_COLOR is obeyed")


@case()
def debug_shows_top_and_the_log_and_takes_the_daemon_with_it(env):
    with env.lab() as lab:
        peers.serve(lab)
        daemon = env.daemon(lab, config(lab))

        def debug(file=daemon.file):
            return shlex.join(lab.lb.ns.inside(tool(daemon, "debug", "-c", file)))

        with Terminal(lab) as terminal:
            terminal.type(debug() + "; echo exit=$?")
            terminal.wait_for("healthy  lab: xebecd", "5 log", "1-5 view")
            expect_equal(peers.http(lab, 4, 50)["failed"], 0, "failed requests")
            terminal.keys("5")
            terminal.wait_for("[5 log]", "usable", absent=("SERVICE",))
            terminal.keys("/")
            terminal.keys("-l", "io_uring")
            terminal.wait_for("control loop on io_uring", absent=("usable",))
            running = terminal.pid_of("xebecd")
            terminal.keys("Enter", "q")
            screen = terminal.wait_for("exit=0", "its log: ", absent=("q quit",))
            expect(not os.path.exists(f"/proc/{running}"), "the daemon has ended with it")
            path = next(line.partition("its log: ")[2] for line in screen.splitlines() if "its log: " in line).strip()
            with open(path, encoding="utf-8") as log:
                expect("worker" in log.read(), "the log is all there")
            expect_equal(os.stat(path).st_mode & 0o077, 0, "others' access to it")
            os.unlink(path)

            # A daemon that cannot start, and one that ends: its last words, and an exit code.
            with open(lab.path("bad.json"), "w", encoding="utf-8") as f:
                f.write('{"version": 1, "servises": []}')
            terminal.type("clear; " + debug(lab.path("bad.json")) + "; echo exit=$?")
            terminal.wait_for("bad.json:1:16", "did you mean", "all it had to say: ", "exit=3")
            terminal.type("clear; " + debug() + "; echo exit=$?")
            terminal.wait_for("healthy  lab: xebecd")
            os.kill(terminal.pid_of("xebecd"), signal.SIGKILL)
            screen = terminal.wait_for("all it had to say: ", "exit=1", absent=("q quit",))
            # Told to end, the tool takes the daemon with it.
            for sig in (signal.SIGINT, signal.SIGKILL):
                terminal.type("clear; " + debug() + "; echo left=$?; stty sane")
                terminal.wait_for("healthy  lab: xebecd")
                running = terminal.pid_of("xebecd")
                os.kill(terminal.pid_of("xebec"), sig)
                terminal.wait_for("left=")
                wait_until(lambda p=running: not os.path.exists(f"/proc/{p}"), f"the daemon to end after {sig.name}")
            # Stopped by somebody else it has not failed; and its log goes where TMPDIR says, or nowhere.
            terminal.type("clear; " + debug() + "; echo exit=$?")
            terminal.wait_for("healthy  lab: xebecd")
            run(*tool(daemon, "stop"))
            terminal.wait_for("xebecd was stopped; its log: ", "exit=0", absent=("q quit",))
            terminal.type("clear; TMPDIR=/dev/null " + debug() + "; echo exit=$?")
            terminal.wait_for("no directory for its log (TMPDIR)", "exit=1")
        done = lab.lb.ns.run("timeout", "-s", "TERM", "2", *tool(daemon, "debug", "-c", daemon.file), check=False)
        expect("io_uring" in done.stderr and done.returncode in (0, 124), f"without a terminal it is its log: {done}")
        for left in glob.glob(os.path.join(tempfile.gettempdir(), "xebec-debug-*")):
            os.unlink(left)


def events(monitor):
    return [json.loads(line) for line in monitor.said().splitlines() if line.startswith("{")]


@case()
def monitor_tells_of_changes_health_links_and_restarts(env):
    with env.lab(backends=2) as lab:
        servers = peers.serve(lab)
        settings = config(lab, families=(4,))
        settings["defaults"] = {"health": {"type": "tcp", "interval_ms": 200, "timeout_ms": 200, "rise": 1, "fall": 2}}
        settings["services"] = [s for s in settings["services"] if s["name"] == "web4"]
        with env.daemon(lab, settings) as daemon:
            monitor = Process(lab, lab.lb.ns, *tool(daemon, "-j", "monitor", "--since", "all"), name="monitor")

            def told(what, **fields):
                def found():
                    return [e for e in events(monitor) if all(e.get(k) == v for k, v in fields.items())]
                return wait_until(found, lambda: f"the monitor to tell of {what}: {monitor.said()}")[0]

            told("the first table", type="table")
            one = lab.backends[1].address[4]
            servers[lab.backends[1].role].end(signal.SIGKILL)
            down = told("the backend that died", type="health", backend=one, to="down")
            expect("refused" in down["reason"], f"why it is down: {down}")
            told("its leaving the table", type="backend", backend=one, usable=False)
            told("the problem", type="problem", there=True)
            daemon.cli("backend", "delete", "web4", one)
            change = told("the change", type="config")
            expect("uid 0 pid" in change["by"] and change["paths"] == [f"services/web4/backends/{one}"], f"the change: {change}")
            told("the problem's end", type="problem", there=False)
            lab.router.ip("link set p_lb down")
            told("the cable", type="link", interface="eth0", carrier=False)
            lab.router.ip("link set p_lb up")
            told("the cable's return", type="link", interface="eth0", carrier=True)
            numbers = [e["sequence"] for e in events(monitor)]
            expect_equal(numbers, list(range(1, len(numbers) + 1)), "sequence numbers")
            only = run(*tool(daemon, "monitor", "--once", "--type", "health")).stdout.splitlines()
            expect(only and all("  health  " in line for line in only), f"only health: {only}")
            daemon.stop()
            daemon.write(settings)
            daemon.launch()
            told("another daemon", type="monitor", text="another daemon than before")
            expect_equal(monitor.end(signal.SIGINT), 0, "exit code of the monitor")
            daemon.cli("backend", "delete", "web4", one)


@case()
def doctor_names_what_is_wrong_with_backends_and_host(env):
    with env.lab() as lab:
        good, arp, bare, tunnel = lab.backends
        arp.ns.sysctl(net__ipv4__conf__all__arp_ignore=0)
        bare.ns.ip(f"addr del {VIP[4]}/32 dev lo")
        settings = config(lab, families=(4,))
        row = {b.role: {"address": b.address[4]} for b in lab.backends}
        row[tunnel.role]["mode"] = "ipip"
        settings["services"] = [{"name": "web", "vip": VIP[4], "port": 80, "protocol": "tcp", "backends": list(row.values())}]
        with env.daemon(lab, settings) as daemon:
            done = lab.lb.ns.run(*tool(daemon, "-j", "doctor"), check=False)
            findings = json.loads(done.stdout)["findings"]
            expect_equal(done.returncode, 1, "exit code where something is to be mended")

            def of(backend, level):
                return [f for f in findings if f["about"] == "backend" and f["level"] == level
                        and f["text"].startswith(f"backend {backend.address[4]} of web:")]

            def told(backend, level, text, mend=""):
                found = of(backend, level)
                expect(len(found) == 1 and text in found[0]["text"] and mend in found[0]["mend"],
                       lambda: f"{backend.role}: {found}\n{done.stdout}")

            told(good, "ok", "takes packets to")
            expect_equal(of(good, "fail"), [], "what is wrong with the good one")
            told(arp, "fail", "answers ARP requests", "arp_ignore=1")
            told(bare, "fail", "does not hold the VIP", f"ip address add {VIP[4]}/32 dev lo")
            told(tunnel, "fail", "no tunnel device for ipip", "tunl0")
            host = [f["text"] for f in findings if f["about"] == "host"]
            expect(any("the shim is attached" in t for t in host), f"the host: {host}")
            outside = run(*tool(daemon, "doctor"), check=False).stdout
            expect("xebecd runs in another network namespace" in outside, f"from outside its namespace: {outside}")
            # Mended as it says, they are well.
            arp.ns.sysctl(net__ipv4__conf__all__arp_ignore=1)
            bare.ns.ip(f"addr add {VIP[4]}/32 dev lo")
            findings = json.loads(lab.lb.ns.run(*tool(daemon, "-j", "doctor", "web"), check=False).stdout)["findings"]
            expect_equal((of(arp, "fail"), of(bare, "fail")), ([], []), "what is wrong after mending")
        alone = lab.lb.ns.run(os.path.join(env.programs, "xebec"), "doctor", "-i", "eth0", check=False)
        expect("eth0: driver veth" in alone.stdout and "no XDP program" in alone.stdout, f"without a daemon:\n{alone.stdout}{alone.stderr}")
