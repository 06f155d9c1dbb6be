# SPDX-License-Identifier: BSD-2-Clause
"""Backends that a name tells, by a DNS server of the lab's own."""
import json
import os
import subprocess
import sys

import peers
from cases import case, expect, expect_equal, expect_served
from daemon import config
from lab import HERE, VIP, wait_until

NAME = "web.lab.example"


class DnsServer(peers.Peer):
    """dns_server.py on the router, spoken to over its stdin and stdout."""

    def __init__(self, lab):
        # Not Peer's own: it runs another program.
        peers.Process.__init__(self, lab, lab.router, sys.executable, os.path.join(HERE, "dns_server.py"), "10.77.0.1",
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, name="dns")
        self.buffer = b""
        self.hear(30)

    def say(self, zone):
        """The whole zone from now on; returns how many questions there were."""
        self.tell(json.dumps(zone))
        return self.hear()["asked"]


def zone_of(backends, ttl=1):
    return {f"{NAME}/A": [[ttl, b.address[4]] for b in backends]}


def settings_of(lab, **source):
    settings = config(lab, families=(4,))
    web = {**settings["services"][0], "backends": [],
           "backends_from": {"dns": NAME, "min_ttl_s": 1, "max_ttl_s": 2, "servers": ["10.77.0.1"], **source}}
    settings["services"] = [web]
    return settings


def named(daemon):
    return sorted(b["address"] for b in daemon.ask("backend", "list", "web4")["backends"] if not b["removed"])


def wait_named(daemon, backends):
    wanted = sorted(b.address[4] for b in backends)
    wait_until(lambda: named(daemon) == wanted and daemon.cli("status", check=False).returncode == 0,
               lambda: f"backends {wanted}: {named(daemon)}\n{daemon.said()}")
    daemon.wait_published()


@case(timeout_s=90)
def backends_follow_a_name_and_stay_while_it_is_not_answered(env):
    with env.lab() as lab:
        peers.serve(lab)
        dns = DnsServer(lab)
        dns.say(zone_of(lab.backends[:2]))
        with env.daemon(lab, settings_of(lab)) as daemon:
            wait_named(daemon, lab.backends[:2])
            expect_served(peers.http(lab, 4, 100), lab.backends[:2], "the first two", slack=0.15)

            dns.say(zone_of(lab.backends[1:]))
            wait_named(daemon, lab.backends[1:])
            expect_served(peers.http(lab, 4, 100), lab.backends[1:], "another three", slack=0.2)
            history = daemon.http("GET", "/v1/config/history")[1]["history"]
            expect(f"dns {NAME}" in [entry["by"] for entry in history], history)
            expect(f"audit: configuration 3 by dns {NAME}" in daemon.said(), f"the audit:\n{daemon.said()}")

            for failure in ("SERVFAIL", "NXDOMAIN", {}):
                dns.say(failure)
                wait_until(lambda: NAME in json.dumps(daemon.problems()), "status to tell")
                expect_equal(named(daemon), sorted(b.address[4] for b in lab.backends[1:]), f"backends with {failure}")
                dns.say(zone_of(lab.backends[1:]))
                wait_until(lambda: not daemon.problems(), "status to be content again")

            # One that the configuration cannot take changes nothing, and is told once, however often it is given.
            asked = dns.say({f"{NAME}/A": [[1, VIP[4]]]})
            wait_until(lambda: "is refused" in json.dumps(daemon.problems()), "status to tell of the refused answer")
            wait_until(lambda: dns.say({f"{NAME}/A": [[1, VIP[4]]]}) > asked + 3, "it to be asked again")
            expect_equal(daemon.said().count("keeps the backends it has"), 1, "lines in the log")
            expect_equal(named(daemon), sorted(b.address[4] for b in lab.backends[1:]), "backends with a refused answer")
            dns.say(zone_of(lab.backends[1:]))
            wait_until(lambda: not daemon.problems(), "status to be content again")

            # A reload of the file, which says nothing of them, leaves them; what an operator says of one stands.
            daemon.ask("backend", "set", "web4", lab.backends[1].address[4], "weight=0")
            daemon.write({**settings_of(lab), "icmp": {"echo_replies_per_s": 77}})
            daemon.reload()
            expect_equal(named(daemon), sorted(b.address[4] for b in lab.backends[1:]), "backends after a reload")
            dns.say(zone_of(lab.backends))
            wait_named(daemon, lab.backends)
            row = next(b for b in daemon.ask("backend", "list", "web4")["backends"] if b["address"] == lab.backends[1].address[4])
            expect_equal(row["weight"], 0, "the operator's weight")

            # A change of one that was discovered is undone as any other is.
            daemon.ask("backend", "maint", "web4", lab.backends[2].address[4])
            expect_equal(daemon.ask("config", "rollback")["changed"], True, "the rollback")
            rows = {b["address"]: b for b in daemon.ask("backend", "list", "web4")["backends"]}
            expect_equal((rows[lab.backends[2].address[4]]["admin"], rows[lab.backends[1].address[4]]["weight"]), ("ready", 0),
                         "admin and weights as before")

            # Without the source they go.
            settings = settings_of(lab)
            del settings["services"][0]["backends_from"]
            settings["services"][0]["backends"] = [{"address": lab.backends[0].address[4]}]
            daemon.write(settings)
            daemon.reload()
            expect_equal(named(daemon), [lab.backends[0].address[4]], "backends without a source")


@case(timeout_s=60)
def backends_of_srv_records_have_their_ports_and_weights(env):
    with env.lab() as lab:
        peers.serve(lab, own=True)
        one, two, spare = lab.backends[:3]
        service = "_web._tcp.lab.example"
        zone = {f"{service}/SRV": [[1, [1, 300, peers.HTTP_PORT, "b1.lab.example"]], [1, [1, 100, peers.HTTP_PORT, "b2.lab.example"]],
                                   [1, [2, 100, peers.HTTP_PORT, "b3.lab.example"]]],
                "b1.lab.example/A": [[60, one.address[4]]], "b2.lab.example/A": [[60, two.address[4]]],
                "b3.lab.example/A": [[60, spare.address[4]]]}
        dns = DnsServer(lab)
        dns.say(zone)
        settings = settings_of(lab, dns=service, type="SRV")
        settings["services"][0].update(mode="nat", port=8000)
        with env.daemon(lab, settings) as daemon:
            wait_named(daemon, [one, two])
            rows = {b["address"]: b for b in daemon.ask("backend", "list", "web4")["backends"]}
            expect_equal({a: r["weight"] for a, r in rows.items()}, {one.address[4]: 300, two.address[4]: 100}, "weights")
            done = lab.client.ns.run("curl", "-s", "-m", "3", f"http://{VIP[4]}:8000/")
            expect(done.stdout in (one.role, two.role), f"who answers on the records' port: {done.stdout}")
            asked = dns.say(zone)
            wait_until(lambda: dns.say(zone) > asked, "the name to be asked again after its TTL")
