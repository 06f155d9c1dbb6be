# SPDX-License-Identifier: BSD-2-Clause
"""Health checks: backends that die, hang, fail and flap under traffic, and what becomes of the others' connections."""
import functools
import os
import signal
import time

import peers
from cases import add, case, expect, expect_equal, expect_served
from daemon import config
from lab import VIP, wait_until
from nginx import Nginx
from test_change import expect_untouched

INTERVAL_MS, TIMEOUT_MS, FALL = 500, 400, 2
# The promise, and beside it what two busy cores take to schedule the daemon, the tool and this script.
WINDOW_S = (FALL * INTERVAL_MS + TIMEOUT_MS) / 1000
SLACK_S = 1.5
HTTP = {"type": "http", "path": "/alive", "interval_ms": INTERVAL_MS, "timeout_ms": TIMEOUT_MS, "rise": 2, "fall": FALL}


def checked(lab, health=None, **more):
    """The web service of IPv4 alone, checked."""
    settings = config(lab, families=(4,))
    settings["services"] = [{**settings["services"][0], "health": health or HTTP, **more}]
    return settings


def rows(daemon):
    return {r["address"]: r for r in daemon.ask("backend", "list", "web4")["backends"]}


def wait_health(daemon, backend, state, deadline_s=10):
    """Until the backend is in the state and the table says so; returns how long that took."""
    began = time.monotonic()
    usable = state != "down"

    def there():
        row = rows(daemon)[backend.address[4]]
        return row["health"]["state"] == state and row["usable"] == usable

    wait_until(there, lambda: f"{backend.role} to be {state}: {daemon.ask('health', 'list')}\n{daemon.said()}", deadline_s)
    took = time.monotonic() - began
    daemon.wait_published()
    return took


def wait_all_up(daemon, lab):
    for backend in lab.backends:
        wait_health(daemon, backend, "up")


def serve_again(lab, backend):
    udp = [arg for vip in VIP.values() for arg in ("--udp", f"{vip}:{peers.UDP_PORT}")]
    return peers.Peer(lab, backend.ns, "serve", backend.role, "--tcp", peers.HTTP_PORT, *udp)


def kill(lab, servers, backend):
    servers[backend.role].end(signal.SIGKILL)
    return lambda: serve_again(lab, backend)


def hang(_, servers, backend):
    os.kill(servers[backend.role].pid, signal.SIGSTOP)
    return lambda: os.kill(servers[backend.role].pid, signal.SIGCONT)


def fail(_, servers, backend):
    servers[backend.role].tell("dead")
    return lambda: servers[backend.role].tell("alive")


FAULTS = {"dies": (kill, "connection refused"), "hangs": (hang, f"no answer to the request within {TIMEOUT_MS} ms"),
          "answers_500": (fail, "status 500")}


def backend_that(env, how):
    fault, reason = FAULTS[how]
    with env.lab() as lab:
        servers = peers.serve(lab)
        with env.daemon(lab, checked(lab)) as daemon:
            wait_all_up(daemon, lab)
            kept = peers.keep(lab, VIP[4], connections=60)
            before = kept.report()
            victim, others = lab.backends[1], [b for b in lab.backends if b is not lab.backends[1]]
            heal = fault(lab, servers, victim)
            took = wait_health(daemon, victim, "down")
            expect(took <= WINDOW_S + SLACK_S, f"{how}: noticed after {took:.2f} s")
            print(f"{how}: out of the table after {took:.2f} s, promised {WINDOW_S:.2f} s")

            expect_served(peers.http(lab, 4, 200), others, f"while one {how}", slack=0.17)
            if how != "hangs":  # there its clients wait for their answers, and so would the report
                survivors = expect_untouched(before, kept.report(), victim.role, f"a backend {how}")
                expect(survivors >= 30, f"{survivors} survivors are too few to tell")
            row = rows(daemon)[victim.address[4]]
            expect_equal(row["why"], f"down: {reason} after {FALL} of {FALL}", "the reason")
            status = daemon.cli("status", check=False)
            expect(status.returncode == 1 and reason in status.stdout, f"status: {status.stdout}")
            check = daemon.cli("backend", "check", "web4", victim.address[4], check=False)
            expect(check.returncode == 1 and reason in check.stdout, f"a single check: {check.stdout}{check.stderr}")

            heal()
            wait_health(daemon, victim, "up")
            expect_served(peers.http(lab, 4, 200), lab.backends, "with all again", slack=0.15)
            expect_untouched(before, kept.report(), victim.role, "coming back")
            history = daemon.ask("health", "history", "web4", victim.address[4])["transitions"]
            expect_equal([(t["from"], t["to"]) for t in history], [("unknown", "up"), ("up", "down"), ("down", "up")],
                         "its history")
            expect_equal(daemon.cli("backend", "check", "web4", victim.address[4]).returncode, 0, "a single check")


for _how in FAULTS:
    add(f"backend_that_{_how}_is_taken_out", functools.partial(backend_that, how=_how))


NGINX_FAULTS = {
    # What is done to it, what undoes it, and the reason that an operator reads.
    "dies": (Nginx.kill, Nginx.start, "connection refused"),
    "hangs": (lambda n: n.signal_all(signal.SIGSTOP), lambda n: n.signal_all(signal.SIGCONT),
              f"no answer to the request within {TIMEOUT_MS} ms"),
    "answers_500": (lambda n: n.set("failing", True), lambda n: n.set("failing", False), "status 500"),
    "answers_something_else": (lambda n: n.set("mistaken", True), lambda n: n.set("mistaken", False), "body"),
    "answers_slowly": (lambda n: n.set("slow", True), lambda n: n.set("slow", False),
                       f"no answer to the request within {TIMEOUT_MS} ms"),
}


@case(timeout_s=120)
def nginx_that_dies_hangs_fails_or_is_slow_is_taken_out_and_comes_back(env):
    """One after the other, each on another backend; nobody else's connection notices."""
    with env.lab() as lab:
        servers = {b.role: Nginx(lab, b) for b in lab.backends}
        with env.daemon(lab, checked(lab, {**HTTP, "expect_body": "well"})) as daemon:
            wait_all_up(daemon, lab)
            for turn, (how, (fault, heal, reason)) in enumerate(NGINX_FAULTS.items()):
                victim = lab.backends[turn % len(lab.backends)]
                others = [b for b in lab.backends if b is not victim]
                kept = peers.keep(lab, VIP[4], connections=40)
                before = kept.report()
                fault(servers[victim.role])
                took = wait_health(daemon, victim, "down")
                expect(took <= WINDOW_S + SLACK_S, f"nginx {how}: noticed after {took:.2f} s")
                print(f"nginx {how}: out of the table after {took:.2f} s, promised {WINDOW_S:.2f} s")
                row = rows(daemon)[victim.address[4]]
                expect(reason in row["why"], f"why it is down: {row['why']}")
                expect_served(peers.http(lab, 4, 100), others, f"while one {how}", slack=0.2)
                heal(servers[victim.role])
                wait_health(daemon, victim, "up")
                expect_untouched(before, kept.report(), victim.role, f"nginx {how}")
                kept.end()
                expect_served(peers.http(lab, 4, 100), lab.backends, "with all again", slack=0.2)
            daemon.expect_no_drops()


def checked_often(lab, victim):
    """checked(), and one backend so often that every turn of flap() is seen."""
    settings = checked(lab)
    row = next(b for b in settings["services"][0]["backends"] if b["address"] == victim.address[4])
    row["health"] = {"interval_ms": 50, "timeout_ms": 50, "rise": 1, "fall": 1}
    return settings


def flap(daemon, turn, period_s):
    """Fifty turns, bad and good: turn(True), turn(False). The table changes at most twice a second."""
    generation, began = daemon.generation(), time.monotonic()
    for number in range(50):
        turn(number % 2 == 0)
        time.sleep(max(0.0, began + (number + 1) * period_s - time.monotonic()))
    passed, changes = time.monotonic() - began, daemon.generation() - generation
    expect(1 <= changes <= 2 * passed + 1, f"{changes} tables in {passed:.1f} s")


@case()
def nginx_that_flaps_moves_the_table_no_more_than_damping_allows(env):
    """Its page comes and goes ten times a second, and a check sees every turn."""
    with env.lab() as lab:
        servers = {b.role: Nginx(lab, b) for b in lab.backends}
        victim = lab.backends[3]
        with env.daemon(lab, checked_often(lab, victim)) as daemon:
            wait_all_up(daemon, lab)
            kept = peers.keep(lab, VIP[4], connections=40)
            before = kept.report()
            flap(daemon, lambda bad: servers[victim.role].set("failing", bad), 0.1)
            wait_health(daemon, victim, "up", 20)
            expect_untouched(before, kept.report(), victim.role, "flapping")
            expect_served(peers.http(lab, 4, 100), lab.backends, "when it is calm again", slack=0.2)


@case()
def backend_that_flaps_changes_the_table_at_most_twice_a_second(env):
    with env.lab() as lab:
        servers = peers.serve(lab)
        victim = lab.backends[2]
        with env.daemon(lab, checked_often(lab, victim)) as daemon:
            wait_all_up(daemon, lab)
            kept = peers.keep(lab, VIP[4], connections=60)
            before = kept.report()
            flap(daemon, lambda bad: servers[victim.role].tell("dead" if bad else "alive"), 0.05)
            downs = sum(t["to"] == "down" for t in daemon.ask("health", "history", "web4", victim.address[4])["transitions"])
            expect(downs >= 1, "it was never seen to be down: this tells nothing")
            expect_untouched(before, kept.report(), victim.role, "flapping")
            servers[victim.role].tell("alive")
            wait_health(daemon, victim, "up")


@case()
def all_down_drops_fails_open_or_goes_to_the_fallback(env):
    with env.lab() as lab:
        servers = peers.serve(lab)
        backends, sorry = lab.backends[:3], lab.backends[3]
        settings = checked(lab)
        service = settings["services"][0]
        service["backends"] = [b for b in service["backends"] if b["address"] != sorry.address[4]]
        with env.daemon(lab, settings) as daemon:
            for backend in backends:
                wait_health(daemon, backend, "up")
            for backend in backends:
                servers[backend.role].tell("dead")
            for backend in backends:
                wait_health(daemon, backend, "down")
            dropped = daemon.packets()["drops"].get("no_backend", 0)
            done = lab.client.ns.run("curl", "-s", "-m", "0.5", f"http://{VIP[4]}/", check=False)
            expect_equal(done.returncode, 28, "curl's exit code: it runs into its timeout")
            expect(daemon.packets()["drops"].get("no_backend", 0) > dropped, f"drops: {daemon.packets()}")
            expect("no usable backend" in daemon.cli("status", check=False).stdout, "status does not say it")

            service["fail"] = "open"  # /alive says 500, everything else is answered
            daemon.write(settings)
            daemon.reload()
            expect_served(peers.http(lab, 4, 150), backends, "fail open", slack=0.2)
            expect("fail open" in daemon.cli("status", check=False).stdout, "status does not say it")

            service["fallback"] = {"address": sorry.address[4]}
            daemon.write(settings)
            daemon.reload()
            expect_served(peers.http(lab, 4, 50), [sorry], "the fallback")
            kept = peers.keep(lab, VIP[4], connections=10)
            before = kept.report()
            for backend in backends:
                servers[backend.role].tell("alive")
            for backend in backends:
                wait_health(daemon, backend, "up")
            expect_served(peers.http(lab, 4, 150), backends, "backends again", slack=0.2)
            expect_untouched(before, kept.report(), None, "connections of the fallback")
            expect_equal(daemon.cli("status").returncode, 0, "status")


@case()
def udp_leaves_a_dead_backend_and_maintenance_stops_its_check(env):
    with env.lab() as lab:
        servers = peers.serve(lab)
        settings = checked(lab)
        udp = {**config(lab, families=(4,))["services"][1], "health": {**HTTP, "port": peers.HTTP_PORT}}
        expect_equal(udp["name"], "udp4", "the service")
        settings["services"] += [udp, config(lab, families=(4,))["services"][2]]  # the last one is not checked
        with env.daemon(lab, settings) as daemon:
            wait_all_up(daemon, lab)
            victim = lab.backends[0]
            servers[victim.role].tell("dead")
            wait_health(daemon, victim, "down")
            wait_until(lambda: daemon.ask("service", "show", "udp4")["service"]["backends"]["usable"] == 3, "udp4 to notice")
            daemon.wait_published()
            others = [b for b in lab.backends if b is not victim]
            expect_served(peers.udp(lab, 4, 200), others, "UDP", slack=0.17)

            daemon.ask("backend", "set", "web4", victim.address[4], "admin=maint")
            checked_now = [c["address"] for c in daemon.ask("health", "list", "web4")["checks"]]
            expect_equal(sorted(checked_now), sorted(b.address[4] for b in others), "what is checked")
            daemon.ask("backend", "set", "web4", victim.address[4], "admin=ready", "weight=0")
            checked_now = [c["address"] for c in daemon.ask("health", "list", "web4")["checks"]]
            expect_equal(len(checked_now), 4, "checks with one of weight 0")
            done = daemon.cli("backend", "check", "web4", "10.77.0.99", check=False)
            expect_equal(done.returncode, 6, "exit code for a backend that is not there")
            done = daemon.cli("backend", "check", "iperf4-tcp", victim.address[4], check=False)
            expect(done.returncode == 6 and "does not check it" in done.stderr, f"one that is not checked: {done.stderr}")


def vip_is_asked_the_way_of_the_traffic(env, mode):
    """What a check to the backend's own address does not see: its VIP is gone, or nobody takes packets out of the tunnel."""
    vip = {"type": "tcp", "to": "vip", "interval_ms": INTERVAL_MS, "timeout_ms": TIMEOUT_MS, "rise": 2, "fall": FALL}
    with env.lab(tunnel=mode != "dsr-l2") as lab:
        peers.serve(lab)
        settings = checked(lab, vip, mode=mode)
        plain = {**vip, "to": "backend", "port": peers.HTTP_PORT}
        settings["services"].append({**settings["services"][0], "name": "plain", "port": 81, "health": plain})
        with env.daemon(lab, settings) as daemon:
            wait_all_up(daemon, lab)
            reason = rows(daemon)[lab.backends[0].address[4]]["health"]["reason"]
            expect(reason.startswith("accepted at the VIP"), f"what is good: {reason}")
            victim, ns = lab.backends[1], lab.backends[1].ns
            if mode == "dsr-l2":
                ns.ip(f"addr del {VIP[4]}/32 dev lo")
            else:
                ns.ip("link set dev eth0 xdp off")
            took = wait_health(daemon, victim, "down")
            expect(took <= WINDOW_S + SLACK_S, f"it took {took:.1f} s, more than {WINDOW_S} s")
            reason = rows(daemon)[victim.address[4]]["health"]["reason"]
            expect("no answer from the VIP" in reason or "out of the tunnel" in reason, f"why it is down: {reason}")
            beside = {c["address"]: c for c in daemon.ask("health", "list", "plain")["checks"]}[victim.address[4]]
            expect_equal((beside["state"], beside["to"]), ("up", "backend"), "a check to the backend itself")
            expect_served(peers.http(lab, 4, 150), [b for b in lab.backends if b is not victim], "the others", slack=0.17)
            if mode == "dsr-l2":
                ns.ip(f"addr add {VIP[4]}/32 dev lo")
                wait_health(daemon, victim, "up")
                # Who routes sends it on, back to us in the end: that is no answer. A TTL that runs out is an error to its kernel.
                errors = lab.kernel_errors
                lab.kernel_errors = lambda: {k: n for k, n in errors().items() if k != f"{victim.role} Ip.InHdrErrors"}
                ns.sysctl(net__ipv4__ip_forward=1)
                ns.ip(f"addr del {VIP[4]}/32 dev lo", "route replace default via 10.77.0.10")
                wait_health(daemon, victim, "down")
                reason = rows(daemon)[victim.address[4]]["health"]["reason"]
                expect("passes packets for the VIP on" in reason, f"why it is down: {reason}")
            daemon.expect_no_drops()


for _mode in ("dsr-l2", "ipip"):
    add(f"check_to_the_vip_sees_what_clients_see_{_mode.replace('-', '_')}", functools.partial(vip_is_asked_the_way_of_the_traffic, mode=_mode))


@case()
def backend_that_answers_slowly_gets_less(env):
    with env.lab() as lab:
        servers = peers.serve(lab)
        health = {**HTTP, "interval_ms": 200, "timeout_ms": 200}
        settings = checked(lab, health, weights="response-time", weights_move_percent=20)
        with env.daemon(lab, settings) as daemon:
            wait_all_up(daemon, lab)
            slow = lab.backends[0]
            servers[slow.role].tell("slow 0.12")

            def weight():
                return rows(daemon)[slow.address[4]]["effective_weight"]

            def is_slow():
                row = rows(daemon)[slow.address[4]]
                # The others are not equally fast on a machine that is busy.
                return weight() <= 40 and row["response_ms"] > 60 and row["share"] < 0.2 and row["health"]["state"] == "up"

            wait_until(is_slow, lambda: f"a weight below the half: {rows(daemon)[slow.address[4]]}", 20)
            expect(daemon.get("/metrics").count("xebec_backend_response_seconds{") == 4, "not a metric for each")
            servers[slow.role].tell("alive")
            wait_until(lambda: weight() >= 60, lambda: f"its weight to come back: {rows(daemon)[slow.address[4]]}", 20)
