# SPDX-License-Identifier: BSD-2-Clause
"""Modes dnat and nat: both directions pass the balancer."""
import functools
import json

import peers
from cases import add, case, expect, expect_equal, expect_served
from daemon import config as daemon_config, service
from lab import VIP, wait_until


def send_replies_through_the_balancer(lab):
    """What makes the balancer the backends' gateway to the client: for dnat, whose replies go to his address."""
    for backend in lab.backends:
        backend.ns.ip(*(f"route replace {lab.client.address[f]}/{'32' if f == 4 else '128'} via {lab.lb.address[f]}"
                        for f in (4, 6)))


def translates(env, mode, queues):
    with env.lab(queues=queues) as lab:
        peers.serve(lab, own=True)
        if mode == "dnat":
            send_replies_through_the_balancer(lab)
        with env.daemon(lab, mode=mode) as daemon:
            for family in (4, 6):
                expect_served(peers.http(lab, family, 400), lab.backends, f"HTTP over IPv{family}")
                expect_served(peers.udp(lab, family, 400), lab.backends, f"UDP over IPv{family}")
                expect_equal(peers.http(lab, family, 16, upload=300_000)["errors"], {}, f"uploads, IPv{family}")
                expect_served(peers.udp(lab, family, 100, size=4000), lab.backends, f"fragments, IPv{family}", slack=0.3)
            daemon.expect_no_drops()
            workers = daemon.ask("worker", "list")["workers"]
            expect(sum(w["nat"]["created"] for w in workers) >= 2 * 900, "every connection has a mapping")
            expect(all(w["nat"]["refused"] == 0 for w in workers), "no connection was refused")
            expect_equal({c["chosen"]["tcp4"] for c in (i["nat_ports"] for i in daemon.ask("interface", "list")["interfaces"])},
                         {"unknown"}, "a veth tells nothing of its hashing, so any port is as good")
            if mode == "nat":
                warns_of_ports_that_the_host_takes(lab, daemon)


def warns_of_ports_that_the_host_takes(lab, daemon):
    """While the kernel may take ports of mode nat for connections of its own, on the address that it takes for them."""
    def warnings():
        return [w for w in daemon.ask("status")["warnings"] if "ports of mode nat" in w]

    expect_equal(warnings(), [], "warnings before")
    lab.lb.ns.sysctl(net__ipv4__ip_local_port_range="20000 60999")
    told = warnings()
    expect(len(told) == 1 and "the host takes 20000-32767" in told[0] and "ip_local_reserved_ports=20000-32767" in told[0], told)
    lab.lb.ns.sysctl(net__ipv4__ip_local_reserved_ports="20000-32767")
    expect_equal(warnings(), [], "warnings once they are reserved")


def translates_between_two_interfaces(env, mode):
    """Clients on one side, backends on the other, which know no other way than the balancer."""
    with env.lab(queues=2, two_sided=True) as lab:
        peers.serve(lab, own=True)
        settings = daemon_config(lab, mode=mode)
        settings["interfaces"] = [{"name": "eth0"}, {"name": "eth1"}]
        with env.daemon(lab, settings) as daemon:
            for family in (4, 6):
                expect_served(peers.http(lab, family, 400), lab.backends, f"HTTP over IPv{family}")
                expect_served(peers.udp(lab, family, 200), lab.backends, f"UDP over IPv{family}", slack=0.2)
                expect_equal(peers.http(lab, family, 16, upload=300_000)["errors"], {}, f"uploads, IPv{family}")
            daemon.expect_no_drops()


for _mode in ("dnat", "nat"):
    add(f"translates_{_mode}_between_two_interfaces", functools.partial(translates_between_two_interfaces, mode=_mode))
    for _queues in (1, 2):
        add(f"translates_{_mode}_on_{_queues}_queues", functools.partial(translates, mode=_mode, queues=_queues))


class Mappings:
    """The translated connections of all workers."""

    def __init__(self, daemon):
        self.daemon = daemon

    def sum(self, *names):
        workers = self.daemon.ask("worker", "list")["workers"]
        return sum(worker["nat"][name] for worker in workers for name in names)

    def expect_no_port_twice(self, at_least):
        """Of the connections that are remembered, no two have one source towards one backend."""
        flows = self.daemon.ask("flow", "list", "--limit", "10000")["flows"]
        seen = [(f["backend"], f["translated_source"]) for f in flows if f["translated_source"]]
        expect(len(seen) >= at_least, f"{len(seen)} of {len(flows)} flows are translated")
        expect_equal(len(seen), len(set(seen)), "sources that are one connection's alone")


@case(timeout_s=240)
def crowd_through_nat_leaks_and_doubles_no_port(env):
    """A hundred thousand connections over fewer sources than that, some of them held all the while: each port is taken many times, and
    by one connection at a time. In the end none is left."""
    many, held = env.count(100_000), 3000
    with env.lab(queues=2) as lab:
        callers = [f"10.77.0.{n}" for n in range(100, 108)]
        sources = [f"10.77.0.{n}" for n in range(200, 204)]
        lab.client.ns.ip(*(f"addr add {a}/24 dev eth0" for a in callers))
        # A socket that sends again takes another hash, and with it another queue of the veth: a NIC would see one connection.
        lab.client.ns.sysctl(net__ipv4__ip_local_port_range="1024 65000", net__core__txrehash=0)
        lab.lb.ns.ip(*(f"addr add {a}/24 dev eth0" for a in sources))
        servers = [peers.Crowd(lab, b.ns, "serve", b.address[4], peers.HTTP_PORT) for b in lab.backends]
        settings = {**daemon_config(lab), "services": [service("crowd", 4, peers.HTTP_PORT, "tcp", lab.backends, mode="nat")],
                    "nat": {"addresses": sources, "ports": "10000-12999", "timeouts": {"tcp_transitory_s": 4}}}
        with env.daemon(lab, settings) as daemon:
            mappings = Mappings(daemon)
            expect_equal(mappings.sum("used"), 0, "mappings at first")
            caller = peers.Crowd(lab, lab.client.ns, "call", VIP[4], peers.HTTP_PORT, "--held", held,
                                 *(word for a in callers for word in ("--from", a)))
            expect_equal(caller.first_word, {"answered": held, "errors": {}}, "connections to be held")
            expect_equal(mappings.sum("used"), held, "mappings of those that are held")
            caller.tell(f"short {many} 256")
            done, used = caller.look_until_done(lambda: mappings.sum("used"))
            expect_equal(done, {"answered": many, "errors": {}}, "short connections")
            expect(max(used) > held, "there were more mappings while there were more connections")
            mappings.expect_no_port_twice(held)
            caller.tell("ask")
            expect_equal(caller.hear(), {"answered": held, "errors": {}}, "held connections still their own")
            reports = [server.report() for server in servers]
            expect_equal(sum(r["twice"] for r in reports), 0, "sources that a backend saw twice at once")
            expect_equal(sum(r["accepted"] for r in reports), many + held, "connections that backends saw")
            wait_until(lambda: mappings.sum("used") == held, lambda: f"{mappings.sum('used')} mappings, but {held} connections", 20)
            caller.tell("close")
            caller.hear()
            wait_until(lambda: mappings.sum("used") == 0, lambda: f"{mappings.sum('used')} mappings without a connection", 20)
            expect_equal(mappings.sum("created"), mappings.sum("expired", "reused"), "mappings made and forgotten")
            print(json.dumps({"most_mappings": max(used), "ports": sum(r["ports"] for r in reports),
                              "reused": mappings.sum("reused"), "refused": mappings.sum("refused")}))
