# SPDX-License-Identifier: BSD-2-Clause
"""What becomes of packets while no backend takes them, and of the connections of a backend that goes down."""
import functools
import signal
import time

import peers
from cases import add, case, expect, expect_equal, expect_served
from daemon import config
from lab import VIP, wait_until
from test_change import expect_untouched
from test_health import HTTP, checked, rows, serve_again, wait_all_up, wait_health

# Prints what a datagram to the VIP is answered by.
ASK_UDP = f"""
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(2)
s.connect(("{VIP[4]}", {peers.UDP_PORT}))
s.send(b"anybody")
try:
    print(s.recv(100))
except ConnectionRefusedError:
    print("refused")
except TimeoutError:
    print("silence")
"""


def with_udp(lab, **more):
    """The web service and the UDP service of IPv4, checked together."""
    settings = checked(lab, **more)
    udp = config(lab, families=(4,))["services"][1]
    settings["services"].append({**udp, "health": {**HTTP, "port": peers.HTTP_PORT}, **more})
    return settings


def all_down(daemon, lab, servers):
    for backend in lab.backends:
        servers[backend.role].tell("dead")
    for backend in lab.backends:
        wait_health(daemon, backend, "down")
    wait_until(lambda: daemon.ask("service", "show", "udp4")["service"]["backends"]["usable"] == 0, "udp4 to notice")
    daemon.wait_published()


def curl(lab, seconds=3):
    return lab.client.ns.run("curl", "-s", "-m", str(seconds), f"http://{VIP[4]}/", check=False)


def shim(daemon):
    return daemon.ask("interface", "list")["interfaces"][0]["shim"]


@case()
def all_down_is_refused_where_the_service_says_so(env):
    with env.lab() as lab:
        servers = peers.serve(lab)
        with env.daemon(lab, with_udp(lab, fail="reset")) as daemon:
            wait_all_up(daemon, lab)
            all_down(daemon, lab, servers)
            began = time.monotonic()
            expect_equal(curl(lab).returncode, 7, "curl's exit code: connection refused")
            expect(time.monotonic() - began < 0.9, "the reset came with the first SYN, not with the second")
            expect_equal(lab.client.ns.run("python3", "-c", ASK_UDP).stdout.strip(), "refused", "a datagram")
            packets = daemon.packets()
            expect(packets["resets"] >= 1 and packets["icmp_errors"]["port_unreachable"] >= 1, packets)
            expect_equal(packets["drops"].get("no_backend", 0), 0, "drops")
            told = daemon.cli("explain", f"{lab.client.address[4]}:4000", f"{VIP[4]}:80/tcp").stdout
            expect('"verdict": "reply"' in told.replace('":"', '": "') and "no_backend" in told, told)
            expect("fail reset" in daemon.cli("status", check=False).stdout, "status does not say it")
            for backend in lab.backends:
                servers[backend.role].tell("alive")
            wait_all_up(daemon, lab)
            expect_served(peers.http(lab, 4, 100), lab.backends, "with all again", slack=0.2)


@case()
def all_down_is_left_to_the_host_where_the_service_says_so(env):
    with env.lab() as lab:
        servers = peers.serve(lab)
        lab.lb.ns.ip(f"addr add {VIP[4]}/32 dev lo")
        peers.Peer(lab, lab.lb.ns, "serve", "sorry", "--tcp", peers.HTTP_PORT, "--udp", f"{VIP[4]}:{peers.UDP_PORT}")
        settings = with_udp(lab, fail="pass")
        settings["services"][1]["deny"] = [lab.client.address[4] + "/32"]
        with env.daemon(lab, settings) as daemon:
            wait_all_up(daemon, lab)
            expect_equal(shim(daemon)["passed"], 0, "passed while backends are up")
            all_down(daemon, lab, servers)
            report = peers.http(lab, 4, 50)
            expect_equal((report["failed"], report["share"]), (0, {"sorry": 50}), "who answers")
            expect(shim(daemon)["passed"] >= 150, shim(daemon))
            expect_equal(lab.pings(VIP[4]), 1, "pings that the host answers")
            denied = shim(daemon)["denied"]
            expect_equal(lab.client.ns.run("python3", "-c", ASK_UDP).stdout.strip(), "silence", "a denied source")
            expect(shim(daemon)["denied"] > denied, "not even a service that is passed lets it in")
            told = daemon.ask("explain", f"{lab.client.address[4]}:4000", f"{VIP[4]}:80/tcp")
            expect_equal((told["verdict"], told["service"]["name"]), ("pass", "web4"), "explain")
            expect("fail pass" in daemon.cli("status", check=False).stdout, "status does not say it")
            for backend in lab.backends:
                servers[backend.role].tell("alive")
            wait_all_up(daemon, lab)
            expect_served(peers.http(lab, 4, 100), lab.backends, "with all again", slack=0.2)


def connections_of_a_backend_that_goes_down(env, on_down, mode):
    with env.lab() as lab:
        servers = peers.serve(lab, own=mode == "nat")
        settings = checked(lab, on_down=on_down, mode=mode)
        with env.daemon(lab, settings) as daemon:
            wait_all_up(daemon, lab)
            kept = peers.keep(lab, VIP[4], connections=60)
            before = kept.report()
            # The busiest: by chance another one may have too few to tell.
            victim = max(lab.backends, key=lambda b: sum(c["backend"] == b.role for c in before))
            theirs = [i for i, c in enumerate(before) if c["backend"] == victim.role]
            servers[victim.role].tell("dead")  # for its check alone: what it has it serves on
            wait_health(daemon, victim, "down")
            after = kept.report()
            expect_untouched(before, after, victim.role, "a backend that is down")
            others = [b for b in lab.backends if b is not victim]
            expect_served(peers.http(lab, 4, 150), others, "new connections", slack=0.17)
            if on_down == "keep":
                for i in theirs:
                    expect(after[i]["error"] is None and after[i]["answers"] > before[i]["answers"], f"{before[i]} -> {after[i]}")
                    expect_equal(after[i]["backend"], victim.role, "where it is")
            else:
                for i in theirs:
                    expect(after[i]["error"] or after[i]["moved"], f"{before[i]} -> {after[i]}: it was not ended")
            resets = daemon.packets()["resets"]
            expect(resets >= len(theirs) if on_down == "reset" else resets == 0, f"{resets} resets")
            if on_down == "reset":
                daemon.ask("backend", "set", "web4", others[0].address[4], "admin=maint")
                wait_until(lambda: daemon.packets()["resets"] > resets, "maintenance to reset connections, too")
            servers[victim.role].tell("alive")
            wait_health(daemon, victim, "up")


for _mode in ("dsr-l2", "nat"):
    for _on_down in ("rehash", "keep", "reset"):
        add(f"connections_of_a_backend_that_goes_down_{_on_down}_{_mode}".replace("-", "_"),
            functools.partial(connections_of_a_backend_that_goes_down, on_down=_on_down, mode=_mode))


@case(timeout_s=90)
def clients_connections_tell_that_a_backend_is_down(env):
    """Without a single check: refused connections, then unanswered ones."""
    with env.lab() as lab:
        servers = peers.serve(lab, own=True)
        settings = config(lab, mode="nat", families=(4,))
        passive = {"type": "none", "passive": {"fall": 3, "retry_after_ms": 4000}}
        settings["services"] = [{**settings["services"][0], "health": passive}]
        with env.daemon(lab, settings) as daemon:
            expect_served(peers.http(lab, 4, 200), lab.backends, "with all", slack=0.15)
            victim, others = lab.backends[1], [b for b in lab.backends if b is not lab.backends[1]]
            servers[victim.role].end(signal.SIGKILL)
            # They go on coming: of half a second with answers and refusals nobody knows which came last.
            load = peers.http_load(lab, 4, concurrency=4)
            wait_health(daemon, victim, "down", 3)
            expect(load.stop()["failed"] >= 3, "connections that were refused")
            expect_served(peers.http(lab, 4, 100), others, "without it", slack=0.2)
            why = rows(daemon)[victim.address[4]]["why"]
            expect(why.startswith("down: connections of clients: ") and "refused" in why, why)
            check = next(c for c in daemon.ask("health", "list", "web4")["checks"] if c["address"] == victim.address[4])
            expect(check["type"] == "passive" and check["passive"]["refused"] >= 3, check)
            servers[victim.role] = serve_own(lab, victim)
            wait_health(daemon, victim, "unknown", 8)
            expect_served(peers.http(lab, 4, 200), lab.backends, "tried again", slack=0.15)

            victim.ns.run("nft", "add table ip t; add chain ip t c { type filter hook input priority 0; }; "
                                 f"add rule ip t c tcp dport {peers.HTTP_PORT} drop")
            report = peers.http(lab, 4, 40)
            wait_health(daemon, victim, "down", 5)
            expect_equal(report["failed"], 0, "failed: those that were not answered found another backend by a later SYN")
            why = rows(daemon)[victim.address[4]]["why"]
            expect("unanswered" in why and "and 0 unanswered" not in why, why)
            history = daemon.ask("health", "history", "web4", victim.address[4])["transitions"]
            expect_equal([(t["from"], t["to"]) for t in history][:3],
                         [("unknown", "down"), ("down", "unknown"), ("unknown", "down")], "its history")


def serve_own(lab, backend):
    return serve_again(lab, backend)
