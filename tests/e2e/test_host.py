# SPDX-License-Identifier: BSD-2-Clause
"""The daemon as a guest of its host: starting, refusing, stopping, and never in the way of other traffic."""
import os
import re
import signal

import peers
from cases import case, expect, expect_equal, expect_served
from daemon import config
from lab import VIP, run, wait_until

SSH_PORT = 22
START_S = 15  # a start that is refused is refused long before


@case()
def host_traffic_is_never_touched(env):
    """A connection to the balancer's own address lives through start, run, SIGSTOP, SIGCONT and stop of the daemon."""
    with env.lab() as lab:
        peers.serve(lab)
        host = lab.lb
        udp = [a for f in (4, 6) for a in ("--udp", f"{host.address[f]}:{peers.UDP_PORT}")]
        peers.Peer(lab, host.ns, "serve", "host", "--tcp", SSH_PORT, *udp)
        kept = [peers.keep(lab, host.address[f], SSH_PORT, connections=10) for f in (4, 6)]

        def expect_fine(when):
            for connections in kept:
                broken = [c for c in connections.report() if c["error"] or c["backend"] != "host"]
                expect_equal(broken, [], f"connections to the host, {when}")
            for family in (4, 6):
                expect_equal(lab.pings(host.address[family], 5), 5, f"pings of the host over IPv{family}, {when}")
                once = peers.Peer(lab, lab.client.ns, "udp", host.address[family], peers.UDP_PORT, "--requests", 20)
                expect_equal(once.hear()["share"], {"host": 20}, f"datagrams over IPv{family}, {when}")

        expect_fine("before the start")
        daemon = env.daemon(lab)
        daemon.start()
        expect_fine("while it runs")
        expect_equal(daemon.packets()["received"], 0, "packets of the host that the workers saw")
        expect_served(peers.http(lab, 4, 400), lab.backends, "the VIP beside it")
        daemon.signal(signal.SIGSTOP)
        expect_fine("while it is stopped by SIGSTOP")
        daemon.signal(signal.SIGCONT)
        wait_until(lambda: peers.http(lab, 4, 10)["failed"] == 0, "the VIP to answer after SIGCONT", 20)
        expect_fine("after SIGCONT")
        daemon.expect_conservation(end_clients=False)
        daemon.stop()
        expect_fine("after the stop")


@case()
def second_daemon_is_refused_and_the_first_unharmed(env):
    with env.lab() as lab:
        peers.serve(lab)
        with env.daemon(lab) as daemon:
            load = peers.http_load(lab, 4)
            kept = peers.keep(lab, VIP[6], connections=20)
            same = lab.lb.ns.run(*daemon.command(), check=False, timeout=START_S)
            expect_equal(same.returncode, 7, f"exit code on the same socket ({same.stderr})")
            beside = lab.lb.ns.run(*daemon.command(socket=lab.path("other.sock")), check=False, timeout=START_S)
            expect_equal(beside.returncode, 7, f"exit code on the same interface ({beside.stderr})")
            expect("eth0" in beside.stderr, f"does not name the interface: {beside.stderr}")
            expect_equal([c["error"] for c in kept.report() if c["error"]], [], "connections through the first")
            expect_equal(load.stop()["errors"], {}, "requests through the first")
            expect(daemon.ready(), "the first is not healthy any more")


@case()
def foreign_xdp_program_is_left_alone_and_named(env):
    with env.lab() as lab:
        lab.lb.ns.run("ip", "link", "set", "dev", "eth0", "xdpdrv", "obj", env.decap_object, "sec", "xdp.frags")
        daemon = env.daemon(lab)
        before = daemon.attached()
        done = lab.lb.ns.run(*daemon.command(), check=False, timeout=START_S)
        expect_equal(done.returncode, 1, f"exit code ({done.stderr})")
        expect("eth0" in done.stderr and "XDP" in done.stderr, f"does not name what is in the way: {done.stderr}")
        expect_equal(daemon.attached(), before, "the foreign program")


@case()
def missing_capability_is_named(env):
    with env.lab() as lab:
        daemon = env.daemon(lab)
        for capability in ("net_admin", "net_raw"):
            lacking = ["setpriv", f"--bounding-set=-{capability}", f"--inh-caps=-{capability}"]
            done = lab.lb.ns.run(*lacking, *daemon.command(), check=False, timeout=START_S)
            expect_equal(done.returncode, 4, f"exit code without {capability} ({done.stderr})")
            expect(f"CAP_{capability.upper()}" in done.stderr, f"does not name {capability}: {done.stderr}")
            expect_equal(daemon.attached(), None, "XDP on the interface")


def broken_configs(lab):
    """(what is wrong, text, what each of the errors has to contain)"""
    good = config(lab, families=(4,))

    def changed(**keys):
        return {**good, "services": [{**good["services"][0], **keys}]}

    return [
        ("not JSON", '{ "version": 1,\n  "services": [ }', [r":2:\d+: error:"]),
        ("empty", "", [r": error:"]),
        ("unknown key", {**good, "servises": []}, [r"servises", r"did you mean.*services"]),
        ("port out of range", changed(port=70000), [r":\d+:\d+: error: /services/0/port: .*70000.*out of range"]),
        ("no address", changed(vip="203.0.113"), [r"/services/0/vip"]),
        ("unknown mode", changed(mode="dsr-l3"), [r"/services/0/mode.*dsr-l2"]),
        ("two wrong things", changed(port=-1, protocol="icmp"), [r"/services/0/port", r"/services/0/protocol"]),
        ("twice the same service", {**good, "services": [good["services"][0], dict(good["services"][0], name="b")]},
         [r"/services/1"]),
        ("twice the same name", {**good, "services": [good["services"][0], dict(good["services"][0], port=81)]},
         [r"/services/1"]),
        ("weight too large", changed(backends=[{"address": "10.77.0.11", "weight": 5000}]),
         [r"/services/0/backends/0/weight.*1000"]),
    ]


@case()
def bad_configuration_is_refused_with_its_place(env):
    with env.lab() as lab:
        daemon = env.daemon(lab)
        for what, text, errors in broken_configs(lab):
            daemon.write(text)
            for arguments in ([], ["--check"]):
                done = lab.lb.ns.run(*daemon.command(), *arguments, check=False, timeout=START_S)
                expect_equal(done.returncode, 6, f"{what}: exit code of xebecd {arguments} ({done.stderr})")
                said = done.stdout + done.stderr
                for error in errors:
                    expect(re.search(error, said), f"{what}: nothing like {error!r} in\n{said}")
                expect(daemon.file in said or what == "empty", f"{what}: the file is not named: {said}")
                expect_equal(daemon.attached(), None, f"{what}: XDP on the interface")
            offline = run(f"{env.programs}/xebec", "config", "check", daemon.file, check=False)
            expect_equal(offline.returncode, 3, f"{what}: exit code of `xebec config check` ({offline.stderr})")
        missing = lab.lb.ns.run(*daemon.command(file=lab.path("absent.json")), check=False, timeout=START_S)
        expect_equal(missing.returncode, 6, f"absent file: exit code ({missing.stderr})")
        expect("absent.json" in missing.stderr, f"absent file is not named: {missing.stderr}")


@case()
def good_configuration_passes_the_check_without_root_or_interface(env):
    with env.lab() as lab:
        daemon = env.daemon(lab)
        done = run(*daemon.command(), "--check", check=False)
        expect_equal(done.returncode, 0, f"xebecd --check ({done.stderr})")
        run(f"{env.programs}/xebec", "config", "check", daemon.file)


@case()
def usage_error_exits_2(env):
    for program in ("xebecd", "xebec"):
        done = run(f"{env.programs}/{program}", "--no-such-option", check=False)
        expect_equal(done.returncode, 2, f"{program}: exit code ({done.stdout}{done.stderr})")
        expect("no-such-option" in done.stdout + done.stderr, f"{program} does not name the option")


@case()
def tool_says_when_no_daemon_answers(env):
    with env.lab() as lab:
        done = env.daemon(lab).cli("status", check=False)
        expect_equal(done.returncode, 4, f"exit code ({done.stdout}{done.stderr})")
        expect("xebec.sock" in done.stdout + done.stderr, f"does not name the socket: {done.stdout}{done.stderr}")


@case()
def unknown_interface_is_named(env):
    with env.lab() as lab:
        settings = config(lab)
        settings["interfaces"][0]["name"] = "eth7"
        done = lab.lb.ns.run(*env.daemon(lab, settings).command(), check=False, timeout=START_S)
        expect(done.returncode not in (0, 2), f"exit code {done.returncode}")
        expect("eth7" in done.stderr, f"does not name it: {done.stderr}")


NAPI = ("napi_defer_hard_irqs", "gro_flush_timeout")


@case()
def busy_polling_settings_are_restored(env):
    with env.lab() as lab:
        def settings():
            return [lab.lb.ns.run("cat", f"/sys/class/net/eth0/{name}").stdout.strip() for name in NAPI]

        with_values = [("echo 3", NAPI[0]), ("echo 1000", NAPI[1])]
        for command, name in with_values:
            lab.lb.ns.run("sh", "-c", f"{command} > /sys/class/net/eth0/{name}")
        peers.serve(lab)
        with env.daemon(lab, poll="busy"):
            expect_served(peers.http(lab, 4, 400), lab.backends, "HTTP")
        expect_equal(settings(), ["3", "1000"], f"{NAPI} after the stop")


@case()
def says_that_queues_came_that_it_does_not_serve(env):
    with env.lab(queues=2) as lab:
        lab.lb.ns.run("ethtool", "-L", "eth0", "rx", "1")
        with env.daemon(lab, xdp="generic") as daemon:  # natively, veth wants as many queues as its peer sends on
            lab.lb.ns.run("ethtool", "-L", "eth0", "rx", "2")
            problem = "interface eth0: it has 2 receive queues now, 1 are served"
            wait_until(lambda: any(problem in p for p in daemon.problems()), lambda: f"the problem: {daemon.problems()}", 5)
            lab.lb.ns.run("ethtool", "-L", "eth0", "rx", "1")
            wait_until(lambda: not daemon.problems(), lambda: f"the problem to be over: {daemon.problems()}", 5)


@case()
def stops_cleanly_under_load(env):
    """SIGTERM amid traffic: exit 0, nothing attached, and the next start serves at once."""
    with env.lab(queues=2) as lab:
        peers.serve(lab)
        load = peers.http_load(lab, 4)
        for _ in range(3):
            daemon = env.daemon(lab)
            daemon.start()
            wait_until(lambda d=daemon: d.packets()["forwarded"] > 200, "traffic to flow again")
            daemon.stop()
        load.end()


@case()
def interrupt_ends_it_as_well(env):
    with env.lab() as lab:
        daemon = env.daemon(lab)
        daemon.start()
        expect_equal(daemon.process.end(signal.SIGINT, 10), 0, "exit code")
        daemon.expect_clean_log()
        expect_equal(daemon.attached(), None, "XDP on the interface")


@case()
def killed_daemon_can_be_started_again_at_once(env):
    """Its lock goes a moment before its socket; whoever starts in between waits."""
    with env.lab(backends=1) as lab:
        peers.serve(lab)
        with env.daemon(lab, config(lab, families=(4,))) as daemon:
            for _ in range(env.count(10)):
                killed = daemon.process
                daemon.signal(signal.SIGKILL)
                daemon.start()  # the killed one may still be going
                killed.end()
            expect_equal(peers.http(lab, 4, 20)["failed"], 0, "failed requests")


@case()
def goes_into_the_background_and_still_finds_its_files(env):
    with env.lab() as lab:
        daemon = env.daemon(lab)
        log, pidfile = lab.path("xebecd.log"), lab.path("xebecd.pid")
        # Relative paths, from a shell in their directory: the daemon leaves it.
        script = 'cd "$1" && shift && exec "$@"'
        command = [os.path.abspath(os.path.join(daemon.programs, "xebecd")), "--daemon", "-c", "xebec.json",
                   "--socket", "xebec.sock", "--pidfile", "xebecd.pid", "--log", "file:xebecd.log"]
        lab.lb.ns.run("sh", "-c", script, "sh", lab.directory, *command)
        with open(pidfile, encoding="ascii") as f:
            pid = int(f.read())
        try:
            wait_until(lambda: daemon.cli("status", check=False).returncode == 0, "the daemon to be healthy")
            settings = config(lab)
            del settings["services"][0]
            daemon.write(settings)
            os.kill(pid, signal.SIGHUP)
            wait_until(lambda: len(daemon.ask("service", "list")["services"]) == len(settings["services"]), "the reload")
            with open(log, encoding="utf-8") as f:
                expect("reload:" in f.read(), "the log tells of the reload")
        finally:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the daemon to end")
        expect(not os.path.exists(pidfile), "the pid file is gone")
        expect_equal(daemon.attached(), None, "XDP on the interface")
        failed = lab.lb.ns.run(*command[:2], "-c", daemon.file, "--socket", lab.path("no/such/dir/s"), check=False)
        expect_equal(failed.returncode, 1, f"exit code of a start that fails in the background ({failed.stderr})")


@case()
def what_the_driver_refuses_is_no_reason_to_start_again(env):
    """Exit code 6, which the unit does not restart after, and the setting that lets it start."""
    with env.lab(backends=1) as lab:
        settings = config(lab, families=(4,))
        settings["interfaces"][0]["bind"] = "zerocopy"
        daemon = env.daemon(lab, settings)
        done = lab.lb.ns.run(*daemon.command(), check=False, timeout=START_S)
        expect_equal(done.returncode, 6, f"exit code ({done.stderr})")
        expect("zero-copy" in done.stderr and '"bind": "auto"' in done.stderr, done.stderr)
        expect_equal(daemon.attached(), None, "XDP on the interface")


@case()
def preflight_is_shown(env):
    with env.lab() as lab:
        with env.daemon(lab) as daemon:
            said = daemon.said()
            for word in ("kernel", "eth0", "queues", "MTU"):
                expect(re.search(word, said, re.IGNORECASE), f"the preflight says nothing of {word}:\n{said}")
