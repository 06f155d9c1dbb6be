# SPDX-License-Identifier: BSD-2-Clause
"""The inject transmit engine: the same promises as the ring's, and nothing left behind."""
import functools
import json
import signal
import sys

import peers
from cases import add, case, expect, expect_equal, expect_served
from daemon import config
from lab import VIP, wait_until
from test_forwarding import expect_iperf3_without_stalls


def takes_redirected_frames(lab, state="on"):
    """A veth hands redirected frames over only where the other end has NAPI: an XDP program, or GRO."""
    lab.router.run("ethtool", "-K", f"p_{lab.lb.role}", "gro", state)


def queues_of(daemon):
    return daemon.ask("interface", "list")["interfaces"][0]["queues"]


def placeholders(lab):
    links = json.loads(lab.lb.ns.run("ip", "-j", "link", "show").stdout)
    return sorted(link["ifname"] for link in links if link["ifname"].startswith("xebec-inj"))


def inject_config(lab, transmit="inject", **options):
    settings = config(lab, **options)
    settings["interfaces"][0]["transmit"] = transmit
    return settings


def balances(env, mode, queues=1, families=(4, 6), backend_family=None, transmit="inject"):
    with env.lab(tunnel=mode == "ipip", queues=queues) as lab:
        takes_redirected_frames(lab)
        peers.serve(lab)
        settings = inject_config(lab, transmit, mode=mode, families=families, backend_family=backend_family)
        with env.daemon(lab, settings) as daemon:
            expect_equal([q["transmit"] for q in queues_of(daemon)], ["inject"] * queues, "the engine obtained")
            expect_equal(placeholders(lab), [f"xebec-inj{q}" for q in range(queues)], "a placeholder a worker")
            for family in families:
                expect_served(peers.http(lab, family, 400), lab.backends, f"HTTP over IPv{family}")
                expect_served(peers.udp(lab, family, 400), lab.backends, f"UDP over IPv{family}")
                expect_equal(peers.http(lab, family, 16, upload=1_000_000)["errors"], {}, f"uploads, IPv{family}")
            daemon.expect_no_drops()
            queues_now = queues_of(daemon)
            # Uploads come in bursts, requests one by one: both ways are used.
            expect(sum(q["injected"] for q in queues_now) > 0, f"nothing was injected: {queues_now}")
            expect(sum(q["transmitted"] - q["injected"] for q in queues_now) > 0, f"all was injected: {queues_now}")
            expect_equal(daemon.packets()["transmit_errors"], 0, "transmit errors")
        expect_equal(placeholders(lab), [], "placeholders after the stop")


for _mode, _queues in (("dsr-l2", 1), ("dsr-l2", 2), ("ipip", 2)):
    add(f"injects_{_mode.replace('-', '_')}_on_{_queues}_queues", functools.partial(balances, mode=_mode, queues=_queues))
for _inner, _outer in ((4, 6), (6, 4)):
    add(f"injects_ipip_ipv{_inner}_in_ipv{_outer}",
        functools.partial(balances, mode="ipip", families=(_inner,), backend_family=_outer))
add("injects_by_itself_where_there_is_no_zero_copy", functools.partial(balances, mode="dsr-l2", transmit="auto"))


def iperf3_does_not_stall(env, mode, queues=1):
    with env.lab(tunnel=mode == "ipip", queues=queues) as lab:
        takes_redirected_frames(lab)
        with env.daemon(lab, inject_config(lab, mode=mode)) as daemon:
            expect_iperf3_without_stalls(env, lab, daemon, f"{mode} injected")
            expect(sum(q["injected"] for q in queues_of(daemon)) > 0, "nothing was injected")


for _mode in ("dsr-l2", "ipip"):
    add(f"iperf3_does_not_stall_injected_{_mode.replace('-', '_')}",
        functools.partial(iperf3_does_not_stall, mode=_mode), 240, True)


# A flow in bursts of every size with gaps of every length: both ways are taken, with every change between them.
SENDER = """
import random, socket, sys, time
flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
vip = (sys.argv[1], int(sys.argv[2]))
random.seed(7)
number = 0
while number < int(sys.argv[3]):
    for _ in range(random.choice((1, 1, 2, 5, 9, 10, 11, 30, 64))):
        flow.sendto(b"%d" % number, vip)
        number += 1
    time.sleep(random.choice((0, 0.0001, 0.0005, 0.001, 0.004, 0.009, 0.011, 0.02)))
for _ in range(3):
    time.sleep(0.1)
    flow.sendto(b"end", vip)
"""
RECEIVER = """
import json, socket, sys
socket_ = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
socket_.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
socket_.bind((sys.argv[1], int(sys.argv[2])))
socket_.settimeout(30)
print("ready", flush=True)
last, received, late = -1, 0, 0
while (said := socket_.recv(100)) != b"end":
    number = int(said)
    received += 1
    late += number < last
    last = max(last, number)
print(json.dumps({"received": received, "late": late}), flush=True)
"""


@case()
def keeps_the_order_of_a_flow_whatever_way_its_packets_take(env):
    """On veth a redirected packet goes to the receive ring of the worker's CPU, one of the tx ring to that of its queue:
    with the CPUs the other way round, those are two."""
    with env.lab(backends=1, queues=2) as lab:
        takes_redirected_frames(lab)
        settings = inject_config(lab, families=(4,))
        settings["interfaces"][0]["cpus"] = [1, 0]
        receiver = peers.Process(lab, lab.backends[0].ns, sys.executable, "-c", RECEIVER, VIP[4], str(peers.UDP_PORT))
        wait_until(lambda: "ready" in receiver.said(), "the receiver to be ready")
        with env.daemon(lab, settings) as daemon:
            lab.client.ns.run(sys.executable, "-c", SENDER, VIP[4], str(peers.UDP_PORT), "15000", timeout=50)
            wait_until(lambda: "late" in receiver.said(), lambda: f"the end: {receiver.said()}", 10)
            result = json.loads(receiver.said().splitlines()[-1])
            rows = queues_of(daemon)
            sent, injected = (sum(row[key] for row in rows) for key in ("transmitted", "injected"))
            print(f"{result}, {injected} of {sent} injected")
            expect_equal(result["late"], 0, "packets that arrived behind a later one of their flow")
            expect(result["received"] > 14_000, f"too few arrived: {result}")
            expect(0 < injected < sent, f"one way only: {rows}")
            expect_equal(daemon.packets()["dropped"], 0, "drops")


@case()
def injection_that_is_not_possible_is_the_ring_with_a_warning(env):
    """The peer has neither XDP nor GRO: what is redirected there is dropped. Once it has, injecting begins, and ends with it."""
    with env.lab() as lab:
        peers.serve(lab)
        with env.daemon(lab, inject_config(lab)) as daemon:
            interface = daemon.ask("interface", "list")["interfaces"][0]
            expect_equal([q["transmit"] for q in interface["queues"]], ["ring"], "the engine obtained")
            expect("no redirected packets" in interface["transmit_why"], interface["transmit_why"])
            expect("warn  eth0 queue 0: transmit by ring" in daemon.said(), f"no warning:\n{daemon.said()}")
            expect_served(peers.http(lab, 4, 200), lab.backends, "HTTP", slack=0.2)
            expect_equal(queues_of(daemon)[0]["injected"], 0, "injected packets")
            for state, engine in (("on", "inject"), ("off", "ring")):
                takes_redirected_frames(lab, state)
                wait_until(lambda: queues_of(daemon)[0]["transmit"] == engine, f"{engine} with GRO {state}", 5)
                expect_served(peers.http(lab, 4, 200), lab.backends, f"HTTP with GRO {state}", slack=0.2)
                expect_equal(peers.http(lab, 4, 16, upload=1_000_000)["errors"], {}, f"uploads with GRO {state}")
            expect(queues_of(daemon)[0]["injected"] > 0, "nothing was injected while it was possible")


@case()
def interface_made_anew_tells_how_it_sends_now(env):
    """Packets that do not fit live frames are sent by the ring. With a smaller MTU its new sockets have injectors, which follow
    the driver as those of a start do."""
    def interface(daemon):
        return daemon.ask("interface", "list")["interfaces"][0]

    with env.lab(mtu=9000) as lab:
        takes_redirected_frames(lab)
        peers.serve(lab)
        with env.daemon(lab, inject_config(lab, "auto")) as daemon:
            expect("do not fit live frames" in interface(daemon)["transmit_why"], interface(daemon)["transmit_why"])
            lab.router.ip("link del p_lb")
            wait_until(lambda: "interface eth0: gone" in daemon.problems(), lambda: f"the alarm: {daemon.problems()}", 2)
            lab.lb.plug(lab.router, 1, 1500)
            takes_redirected_frames(lab)
            lab.router.ip("link set p_lb master br0")
            lab.send_vips_to(lab.lb)
            wait_until(lambda: daemon.problems() == [], lambda: f"no problem: {daemon.problems()}\n{daemon.said()}", 10)
            for state, engine, why in (("on", "inject", "no zero-copy"), ("off", "ring", "no redirected packets now"),
                                       ("on", "inject", "no zero-copy")):
                takes_redirected_frames(lab, state)
                wait_until(lambda: interface(daemon)["queues"][0]["transmit"] == engine, f"{engine} with GRO {state}", 5)
                expect(why in interface(daemon)["transmit_why"], interface(daemon)["transmit_why"])
                wait_until(lambda: peers.http(lab, 4, 10)["failed"] == 0, "the VIP to answer", 20)
                expect_equal(peers.http(lab, 4, 16, upload=1_000_000)["errors"], {}, f"uploads with GRO {state}")


@case()
def killed_daemon_leaves_no_placeholder(env):
    with env.lab() as lab:
        takes_redirected_frames(lab)
        daemon = env.daemon(lab, inject_config(lab))
        daemon.start()
        expect_equal(placeholders(lab), ["xebec-inj0"], "placeholders")
        daemon.process.end(signal.SIGKILL, 10)
        wait_until(lambda: not placeholders(lab), "the kernel to remove the placeholder", 5)
