# SPDX-License-Identifier: BSD-2-Clause
"""Real TCP and UDP through the balancer, in every mode, poll mode and number of queues."""
import functools

import peers
from cases import add, case, expect, expect_equal, expect_served
from daemon import config
from lab import VIP


def expect_as_configured(daemon, queues, poll, xdp):
    interface = daemon.ask("interface", "list")["interfaces"][0]
    expect_equal(interface["xdp"], xdp, "how the shim is attached")
    expect_equal(len(interface["queues"]), queues, "queues served")
    # veth gives no NAPI id: busy polling is not to be had there, and the daemon says so and is adaptive instead.
    obtained = "adaptive" if poll == "busy" else poll
    expect_equal({q["poll"] for q in interface["queues"]}, {obtained}, "poll mode obtained")
    if poll == "busy":
        expect("busy polling is not possible" in daemon.said(), "the preflight says why polling is not busy")


def balances(env, mode="dsr-l2", families=(4, 6), backend_family=None, queues=1, poll="adaptive", xdp="native", tunnel=None):
    with env.lab(tunnel=mode != "dsr-l2", queues=queues) as lab:
        peers.serve(lab)
        with env.daemon(lab, mode=mode, poll=poll, xdp=xdp, families=families, backend_family=backend_family,
                        tunnel=tunnel) as daemon:
            expect_as_configured(daemon, queues, poll, xdp)
            for family in families:
                expect_served(peers.http(lab, family, 400), lab.backends, f"HTTP over IPv{family}")
                expect_served(peers.udp(lab, family, 400), lab.backends, f"UDP over IPv{family}")
                if xdp == "native":  # generic XDP on veth gets 64 KiB aggregates, which no AF_XDP frame holds
                    expect_equal(peers.http(lab, family, 16, upload=300_000)["errors"], {}, f"uploads, IPv{family}")
            daemon.expect_no_drops()
            # Generic XDP on veth sees queue 0 for every packet: without NAPI veth does not record the queue (kernel,
            # drivers/net/veth.c), so the other workers rightly have nothing to do.
            for worker in daemon.ask("worker", "list")["workers"] if xdp == "native" else []:
                expect(worker["packets"]["forwarded"] > 0, f"worker {worker['worker']} has forwarded nothing")


for _queues in (1, 2):
    for _poll in ("adaptive", "busy", "interrupt"):
        add(f"balances_dsr_l2_on_{_queues}_queues_{_poll}",
            functools.partial(balances, queues=_queues, poll=_poll))
    add(f"balances_dsr_l2_on_{_queues}_queues_by_generic_xdp", functools.partial(balances, queues=_queues, xdp="generic"))
for _inner in (4, 6):
    for _outer in (4, 6):
        add(f"balances_ipip_ipv{_inner}_in_ipv{_outer}",
            functools.partial(balances, mode="ipip", families=(_inner,), backend_family=_outer))
for _outer in (4, 6):
    for _name, _mode, _tunnel in (("gre", "gre", {}), ("gue", "gue", {}), ("gue_with_header", "gue", {"gue_variant": 0}),
                                  ("vxlan", "vxlan", {"vni": 7, "inner_mac": "02:00:00:00:cc:01"})):
        add(f"balances_{_name}_over_ipv{_outer}",
            functools.partial(balances, mode=_mode, backend_family=_outer, tunnel=_tunnel, queues=_outer // 3))
add("balances_ipip_on_2_queues_busy", functools.partial(balances, mode="ipip", queues=2, poll="busy"))
add("balances_ipip_on_2_queues_interrupt", functools.partial(balances, mode="ipip", queues=2, poll="interrupt"))


def expect_iperf3_without_stalls(env, lab, daemon, what):
    """iperf3 over both families, TCP and UDP, through a daemon that runs."""
    iperf = peers.Iperf(lab, lab.backends[0])
    for family in (4, 6):
        for protocol in ("tcp", "udp"):
            result = iperf.measure(family, protocol, env.seconds(2), rate="100M")
            print(f"iperf3 {what} {protocol} IPv{family}: {result}")
            expect_equal(result["stalls"], 0, f"{protocol} IPv{family}: half seconds without a byte")
    daemon.expect_no_drops("tx_full")


def iperf3_does_not_stall(env, mode, poll="adaptive", queues=1):
    with env.lab(tunnel=mode == "ipip", queues=queues) as lab:
        with env.daemon(lab, mode=mode, poll=poll) as daemon:
            expect_iperf3_without_stalls(env, lab, daemon, mode)


for _mode in ("dsr-l2", "ipip"):
    add(f"iperf3_does_not_stall_{_mode.replace('-', '_')}", functools.partial(iperf3_does_not_stall, mode=_mode), 240, True)
add("iperf3_does_not_stall_dsr_l2_on_2_queues_busy",
    functools.partial(iperf3_does_not_stall, mode="dsr-l2", poll="busy", queues=2), 240, True)


@case()
def carries_fragmented_datagrams(env):
    with env.lab() as lab:
        peers.serve(lab)
        with env.daemon(lab) as daemon:
            for family in (4, 6):
                expect_served(peers.udp(lab, family, 200, size=4000), lab.backends, f"IPv{family}", slack=0.2)
            daemon.expect_no_drops()


def works_behind_a_router(env, mode):
    """GRO on the router's ports builds aggregates, and forwarding them makes partial checksums anew."""
    with env.lab(tunnel=mode == "ipip", routed=True) as lab:
        for port in ("p_client", "p_lb", *(f"p_{b.role}" for b in lab.backends)):
            lab.router.run("ethtool", "-K", port, "gro", "on")
        peers.serve(lab)
        with env.daemon(lab, mode=mode) as daemon:
            for family in (4, 6):
                expect_served(peers.http(lab, family, 400), lab.backends, f"HTTP over IPv{family}")
                expect_equal(peers.http(lab, family, 16, upload=1_000_000)["errors"], {}, f"uploads, IPv{family}")
                expect_served(peers.udp(lab, family, 400), lab.backends, f"UDP over IPv{family}")
            daemon.expect_no_drops()


add("works_behind_a_router_with_gro_dsr_l2", functools.partial(works_behind_a_router, mode="dsr-l2"))
add("works_behind_a_router_with_gro_ipip", functools.partial(works_behind_a_router, mode="ipip"))


@case()
def shares_4000_connections_within_3_percent(env):
    with env.lab() as lab:
        peers.serve(lab)
        with env.daemon(lab):
            for family in (4, 6):
                expect_served(peers.http(lab, family, 4000), lab.backends, f"IPv{family}", slack=0.03)


@case()
def weights_weigh(env):
    with env.lab() as lab:
        peers.serve(lab)
        weights = (100, 200, 300, 0)
        settings = config(lab, backends=list(zip(lab.backends, weights)))
        with env.daemon(lab, settings):
            report = peers.http(lab, 4, 3000)
            expect_equal(report["failed"], 0, "failed requests")
            for backend, weight in zip(lab.backends, weights):
                share, fair = report["share"].get(backend.role, 0) / 3000, weight / sum(weights)
                # 3,000 draws: the standard deviation of a share is at most 0.9 %.
                expect(abs(share - fair) <= (0.04 if fair else 0), f"{backend.role}: {share:.1%}, fair is {fair:.1%}")


@case()
def which_tells_where_a_connection_goes(env):
    with env.lab() as lab:
        peers.serve(lab)
        with env.daemon(lab) as daemon:
            for family in (4, 6):
                source = lab.client.address[family]
                name = {b.address[family]: b.role for b in lab.backends}
                for port in range(40000 + 100 * family, 40020 + 100 * family):
                    shown = f"[{source}]:{port}" if family == 6 else f"{source}:{port}"
                    said = name[daemon.ask("service", "which", f"web{family}", "--src", shown)["backend"]]
                    url = f"http://{f'[{VIP[6]}]' if family == 6 else VIP[4]}/"
                    done = lab.client.ns.run("curl", "-sS", "--max-time", "5", "--local-port", str(port), url)
                    expect_equal(done.stdout, said, f"backend of source port {port}")


@case()
def config_in_the_seeds_form_balances(env):
    with env.lab() as lab:
        peers.serve(lab)
        settings = {"vips": [{"vip": VIP[4], "port": peers.HTTP_PORT, "protocol": "tcp",
                              "reals": [{"ip": b.address[4], "mac": b.mac} for b in lab.backends]}]}
        with env.daemon(lab, {**settings, "interfaces": [{"name": "eth0"}]}):
            expect_served(peers.http(lab, 4, 400), lab.backends, "HTTP")
