# SPDX-License-Identifier: BSD-2-Clause
"""What an operator watches: the metrics, against the packets really sent."""
import json
import os
import re
import subprocess

import peers
from cases import case, expect, expect_equal
from daemon import config
from lab import HERE, VIP, wait_until

PORT = 9190
DOCS = os.path.join(HERE, "..", "..", "docs")
SAMPLE = re.compile(r'^([a-z_]+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)",?')


class Metrics:
    """One scrape, parsed."""

    def __init__(self, text):
        self.text, self.samples = text, {}
        for line in text.splitlines():
            if line.startswith("# "):
                continue
            found = SAMPLE.match(line)
            expect(found, f"no sample: {line!r}")
            name, labels, value = found.groups()
            self.samples.setdefault(name, []).append((dict(LABEL.findall(labels or "")), float(value)))

    def sum(self, metric, **labels):
        """Of the samples that have these labels."""
        return sum(value for own, value in self.samples.get(metric, []) if labels.items() <= own.items())


def names_in_docs():
    with open(os.path.join(DOCS, "metrics.md"), encoding="utf-8") as page:
        return [(m[1], m[2]) for line in page if (m := re.match(r"\| `(xebec_\w+)` \| (\w+) \|", line))]


def ask(namespace, address, path, *more):
    """(status, body) of the port of the pages, from a namespace."""
    done = namespace.run("curl", "-s", "-m", "10", "-w", "\n%{http_code}", *more, f"http://{address}:{PORT}{path}")
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def send_datagrams(lab, address, port, count):
    """So many, and nobody answers."""
    lab.client.ns.run("/usr/bin/python3", "-c", "import socket, sys\n"
                      "s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)\n"
                      "for _ in range(int(sys.argv[3])): s.sendto(b'x' * 64, (sys.argv[1], int(sys.argv[2])))\n",
                      address, str(port), str(count))


@case()
def metrics_count_the_packets_really_sent(env):
    requests, lost = 300, 7
    with env.lab(queues=2) as lab:
        peers.serve(lab)
        at = lab.lb.address[4]
        settings = config(lab)
        settings["control"] = {"http": f"{at}:{PORT}"}
        settings["services"][0]["health"] = {"type": "tcp", "interval_ms": 200, "timeout_ms": 200}
        settings["services"][0]["weights"] = "response-time"
        with env.daemon(lab, settings) as daemon:
            expect("for all who reach it" in daemon.said(), "no warning of an address that others reach")

            def scrape():
                return Metrics(ask(lab.client.ns, at, "/metrics")[1])

            before = scrape()
            expect_equal(before.sum("xebec_healthy"), 1, "xebec_healthy")
            expect_equal(before.sum("xebec_worker_received_packets_total"), 0, "packets before any was sent")
            served = peers.udp(lab, 4, requests)
            expect_equal(served["failed"], 0, f"failed requests: {served['errors']}")
            for backend in lab.backends:
                daemon.ask("backend", "set", "udp6", backend.address[6], "admin=maint")
            daemon.wait_published()
            send_datagrams(lab, VIP[6], peers.UDP_PORT, lost)
            wait_until(lambda: daemon.packets()["received"] == requests + lost, lambda: f"all to arrive: {daemon.packets()}")
            # A sample of the latency needs 64 batches, which a burst may not have made.
            for _ in range(40):
                if scrape().sum("xebec_worker_latency_seconds_count"):
                    break
                requests += 100
                more = peers.udp(lab, 4, 100, concurrency=1)
                served["share"] = {k: served["share"].get(k, 0) + more["share"].get(k, 0)
                                   for k in {*served["share"], *more["share"]}}
            wait_until(lambda: daemon.packets()["received"] == requests + lost, lambda: f"all to arrive: {daemon.packets()}")
            wait_until(lambda: scrape().sum("xebec_health_checks_total") >= 4, "the backends to be checked")
            after = scrape()

            expect_equal(after.sum("xebec_worker_received_packets_total"), requests + lost, "received")
            expect_equal(after.sum("xebec_worker_received_bytes_total"), requests * (14 + 20 + 8 + 64) + lost * (14 + 40 + 8 + 64),
                         "bytes received")
            expect_equal(after.sum("xebec_worker_forwarded_packets_total"), requests, "forwarded")
            expect_equal(after.sum("xebec_worker_dropped_packets_total"), lost, "dropped")
            expect_equal(after.sum("xebec_worker_dropped_packets_total", reason="no_backend"), lost, "dropped: no_backend")
            expect_equal(after.sum("xebec_shim_packets_total", outcome="steered"), requests + lost, "steered")
            for backend in lab.backends:
                expect_equal(after.sum("xebec_backend_packets_total", service="udp4", backend=backend.address[4]),
                             served["share"].get(backend.role, 0), f"packets to {backend.role}")
            expect_equal(after.sum("xebec_backend_admin", service="udp6", state="maint"), 4, "backends in maintenance")
            expect_equal(after.sum("xebec_backend_usable", service="udp6"), 0, "usable backends of udp6")
            expect_equal((after.sum("xebec_healthy"), after.sum("xebec_problems")), (0, 1), "healthy, problems")
            seconds = after.sum("xebec_worker_latency_seconds_sum") / after.sum("xebec_worker_latency_seconds_count")
            expect(1e-7 < seconds < 10, f"a mean latency of {seconds} s")
            print(f"mean latency in the worker: {seconds * 1e6:.1f} us "
                  f"({after.sum('xebec_worker_latency_seconds_count'):.0f} samples)")

            for name, kind in names_in_docs():
                expect(f"# TYPE {name} {kind}\n" in after.text, f"docs/metrics.md has {name}, a {kind}; /metrics has not")
                expect(after.samples.get(name + "_bucket" * (kind == "histogram")), f"{name} has no sample")
            checked = subprocess.run(["promtool", "check", "metrics"], input=after.text, capture_output=True, text=True, check=False)
            expect((checked.returncode, checked.stdout + checked.stderr) == (0, ""),
                   lambda: f"promtool check metrics: {checked.stdout}{checked.stderr}")
            by_socket = daemon.get("/metrics")
            expect_equal([line.split("{")[0] for line in by_socket.splitlines() if line.startswith("# TYPE")],
                         [line for line in after.text.splitlines() if line.startswith("# TYPE")], "/metrics on the unix socket")

            refused = {"POST /v1/reload": ask(lab.client.ns, at, "/v1/reload", "-X", "POST")[0],
                       "DELETE /v1/services/web4": ask(lab.client.ns, at, "/v1/services/web4", "-X", "DELETE")[0],
                       "GET /v1/config": ask(lab.client.ns, at, "/v1/config")[0]}
            expect_equal(refused, {"POST /v1/reload": 405, "DELETE /v1/services/web4": 405, "GET /v1/config": 404},
                         "what the port refuses")
            status, body = ask(lab.client.ns, at, "/v1/status")
            expect_equal((status, json.loads(body)["schema"]), (200, "xebec.status/1"), "/v1/status")
