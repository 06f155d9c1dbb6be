# SPDX-License-Identifier: BSD-2-Clause
"""xebecd under test: its configuration, its life, and what must be true of it afterwards."""
import http.client
import json
import os
import signal
import socket
import time

import netns
from lab import VIP, LabError, run, wait_until
from peers import HTTP_PORT, IPERF_PORT, UDP_PORT, Process

SEED = "000102030405060708090a0b0c0d0e0f"  # fixed, so that a run that failed can be run again
SANITIZER_MARKS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:", "Assertion")


def service(name, family, port, protocol, backends, mode="dsr-l2", backend_family=None):
    """backends: hosts, or (host, weight)."""
    rows = [b if isinstance(b, tuple) else (b, 100) for b in backends]
    return {"name": name, "vip": VIP[family], "port": port, "protocol": protocol, "mode": mode,
            "backends": [{"address": host.address[backend_family or family], "weight": weight} for host, weight in rows]}


def config(lab, mode="dsr-l2", poll="adaptive", xdp="auto", families=(4, 6), backend_family=None, backends=None,
           tunnel=None):
    """HTTP and UDP over the backends, and one backend alone for iperf3, on each family's VIP."""
    over = lab.backends if backends is None else backends
    services = []
    for f in families:
        common = {"mode": mode, "backend_family": backend_family}
        services.append(service(f"web{f}", f, HTTP_PORT, "tcp", over, **common))
        services.append(service(f"udp{f}", f, UDP_PORT, "udp", over, **common))
        for protocol in ("tcp", "udp"):
            services.append(service(f"iperf{f}-{protocol}", f, IPERF_PORT + f, protocol, lab.backends[:1], **common))
    return {"version": 1, "instance": "lab", "hash_seed": SEED,
            "interfaces": [{"name": "eth0", "queues": "auto", "mode": xdp, "poll": poll}], "services": services,
            "tunnel": tunnel or {}}


def sum_of(packets):
    return packets["forwarded"] + packets["passed"] + packets["replied"] + packets["held"] + sum(packets["drops"].values())


class Daemon:
    """xebecd in the balancer's namespace. On exit it is stopped, and what it promises on the way out is checked."""

    def __init__(self, lab, programs, settings, log_level="info"):
        self.lab, self.programs = lab, programs
        self.socket, self.file = lab.path("xebec.sock"), lab.path("xebec.json")
        self.log_level = log_level
        self.write(settings)
        self.process = None

    def write(self, settings):
        """Replaces the configuration file: as an editor does, whole or not at all."""
        text = settings if isinstance(settings, str) else json.dumps(settings, indent=2)
        with open(self.file + ".new", "w", encoding="utf-8") as f:
            f.write(text)
        os.replace(self.file + ".new", self.file)

    def command(self, socket=None, file=None):
        return [os.path.join(self.programs, "xebecd"), "--foreground", "--log", "stderr", "--log-level", self.log_level,
                "-c", file or self.file, "--socket", socket or self.socket]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, failed, *_):
        if failed is None:
            self.expect_conservation()
            self.stop()
        else:
            # The reason is already on its way up; what the daemon said of it goes with it.
            self.process.end()
            print(f"--- xebecd said:\n{self.said()}---")

    def launch(self):
        """Starts it, and waits until it answers, well or not."""
        self.process = Process(self.lab, self.lab.lb.ns, *self.command())
        wait_until(lambda: isinstance(self.problems(), list), lambda: f"xebecd to answer:\n{self.said()}", 20)

    def start(self):
        self.process = Process(self.lab, self.lab.lb.ns, *self.command())
        wait_until(self.ready, lambda: f"xebecd to be healthy: {self.problems()}\n{self.said()}", 20)

    def ready(self):
        if self.process.process.poll() is not None:
            raise LabError(f"xebecd ended with {self.process.process.returncode}:\n{self.said()}")
        return self.cli("status", check=False).returncode == 0

    def problems(self):
        done = self.cli("status", check=False)
        return json.loads(done.stdout).get("problems") if done.stdout.startswith("{") else done.stderr

    @property
    def pid(self):
        return self.process.pid

    def said(self):
        return self.process.said()

    def signal(self, sig):
        os.kill(self.pid, sig)

    def cli(self, *args, check=True):
        """xebec -j ARGS; the finished process."""
        return run(os.path.join(self.programs, "xebec"), "--socket", self.socket, "-j", *args, check=check)

    def http(self, method, path, body=None):
        """A request to the control socket without the tool: (status, answer)."""
        status, text = self.raw(method, path, body)
        return status, json.loads(text)

    def get(self, path):
        """The body of a page of the control socket."""
        return self.raw("GET", path)[1].decode()

    def raw(self, method, path, body=None):
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(10 * netns.PATIENCE)
        connection.sock.connect(self.socket)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def ask(self, *args):
        """xebec -j ARGS; the answer."""
        return json.loads(self.cli(*args).stdout)

    def packets(self):
        return self.ask("stats")["packets"]

    def generation(self):
        return json.loads(self.cli("status", check=False).stdout)["generation"]  # exit code 1: degraded, for a moment

    def reload(self):
        """SIGHUP, and the new generation is in every worker's hands."""
        before = self.generation()
        self.signal(signal.SIGHUP)
        wait_until(lambda: self.generation() > before, lambda: f"the reload to be taken:\n{self.said()}")
        self.wait_published()

    def wait_published(self):
        def taken():
            now = self.generation()
            return all(w["generation"] == now or w["asleep"] for w in self.ask("worker", "list")["workers"])
        wait_until(taken, "every worker to see the new table")

    def expect_conservation(self, end_clients=True):
        """Every packet received has one fate, and every frame one place. Ends the clients (unless they leave the VIPs alone),
        and waits for packets on their way."""
        if end_clients:
            self.lab.end_clients()

        def faults():
            found = []
            packets = self.packets()
            if packets["received"] != sum_of(packets) or packets["dropped"] != sum(packets["drops"].values()):
                found.append(f"packets: {packets}")
            total = 0
            for worker in self.ask("worker", "list")["workers"]:
                frames, own = worker["frames"], worker["packets"]
                total += own["received"]
                places = sum(frames[k] for k in ("free", "receive", "transmit", "in_hand", "lost"))
                if frames["lost"] or frames["total"] != places:
                    found.append(f"frames of worker {worker['worker']}: {frames}")
                if own["received"] != sum_of(own):
                    found.append(f"packets of worker {worker['worker']}: {own}")
            interfaces = self.ask("interface", "list")["interfaces"]
            steered = sum(i["shim"]["steered"] for i in interfaces)
            lost = sum(q["rx_dropped"] + q["rx_ring_full"] for i in interfaces for q in i["queues"])
            if not 0 <= steered - total <= lost:
                found.append(f"steered {steered}, received {total}, ring losses {lost}")
            return found

        wait_until(lambda: not faults(), lambda: f"conservation: {faults()}", 5)
        self.lab.expect_no_kernel_errors()

    def expect_no_drops(self, *allowed):
        drops = {k: v for k, v in self.packets()["drops"].items() if v and k not in allowed}
        if drops:
            raise LabError(f"dropped {drops}")

    def expect_clean_log(self):
        marks = [m for m in SANITIZER_MARKS if m in self.said()]
        if marks:
            raise LabError(f"{marks} in the log:\n{self.said()}")

    def attached(self):
        """What XDP program the interface has, as the kernel tells."""
        return json.loads(self.lab.lb.ns.run("ip", "-j", "link", "show", "dev", "eth0").stdout)[0].get("xdp")

    def stop(self):
        """SIGTERM: exits 0 soon, and nothing is left on the interface."""
        began = time.monotonic()
        status = self.process.end(signal.SIGTERM, 10)
        if status != 0:
            raise LabError(f"SIGTERM: exit {status} after {time.monotonic() - began:.1f} s\n{self.said()}")
        self.expect_clean_log()
        if self.attached():
            raise LabError(f"left on the interface: {self.attached()}")
        if os.path.exists(self.socket):
            raise LabError("left its control socket behind")
