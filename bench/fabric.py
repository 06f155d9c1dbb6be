# SPDX-License-Identifier: BSD-2-Clause
"""What the benchmarks run in: the laboratory of tests/e2e, and a smaller one of two namespaces for packets a second.

Names are PREFIX-PID-ROLE with a prefix of their own (XEBEC_BENCH_PREFIX, xebec-bench): the tests may run beside us and
remove what dead tests left. What a killed benchmark left is removed by the next one.
"""
import os
import re
import shutil
import signal
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(1, os.path.join(os.path.dirname(HERE), "tests", "e2e"))

import netns  # noqa: E402
from lab import VIP, Host, Lab, LabError, Namespace, listens, quiet, run, wait_until  # noqa: E402

PREFIX = os.environ.get("XEBEC_BENCH_PREFIX", "xebec-bench")


def interruptible():
    """A signal that ends us unwinds, so that every `with` cleans up."""
    def interrupted(signum, _):
        raise KeyboardInterrupt(signal.Signals(signum).name)
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, interrupted)


def alive(pid):
    return os.path.exists(f"/proc/{pid}")


def remove_leftovers():
    mark = re.compile(re.escape(PREFIX) + r"-(\d+)-\w+")
    for name in netns.listed():
        if (found := mark.fullmatch(name)) and not alive(found[1]):
            netns.remove(name)
    for name in os.listdir(tempfile.gettempdir()):
        if (found := mark.fullmatch(name)) and not alive(found[1]):
            shutil.rmtree(os.path.join(tempfile.gettempdir(), name), ignore_errors=True)


def last_cpu():
    """The balancers' CPU; the load's is 0."""
    return os.cpu_count() - 1


class Fabric(Lab):
    """Client, balancer and one backend on a bridge. Transmit offloads are off at client and backend: XDP cannot forward
    the aggregates that a veth hands over otherwise, and nobody else shall have them instead. The bridge's port to the balancer
    has GRO, without which a veth drops redirected frames. Who sends over TCP, the client or a proxy, controls congestion as Debian's
    kernel does unasked, whatever this machine's own choice is: another one is another measurement."""

    def __init__(self, mtu=1500):
        super().__init__(backends=1, mtu=mtu, name=f"{PREFIX}-{os.getpid()}")
        self.survive = False

    def __enter__(self):
        interruptible()
        remove_leftovers()
        return super().__enter__()

    def _build(self):
        super()._build()
        self.backend_host = self.backends[0]
        for host in (self.client, self.backend_host):
            host.ns.run("ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off")
        # By the route: a network namespace may not choose by sysctl what the machine does not allow to everybody.
        self.lb.ns.ip(f"route change 10.77.0.0/24 dev eth0 proto kernel scope link src {self.lb.address[4]} congctl cubic")
        self.router.run("ethtool", "-K", "p_lb", "gro", "on")
        if self.mtu != 1500:
            self.router.ip(f"link set p_client mtu {self.mtu}")
            self.client.ns.ip(f"link set eth0 mtu {self.mtu}")

    def send_vips_to(self, host):
        super().send_vips_to(host)
        self.client.ns.ip(f"route change {VIP[4]}/32 via {host.address[4]} congctl cubic")


class _End:
    """One end of the pair."""

    def __init__(self, prefix, role, number):
        self.role, self.ns = role, Namespace(f"{prefix}-{role}")
        self.mac, self.address = mac(number), {4: f"10.77.0.{number}"}


def mac(number):
    return f"02:00:00:00:77:{number:02d}"


class Pair:
    """Client and balancer on one veth pair, and nothing between: the generator's end counts what comes back. Backends
    are only names there, 10.77.0.11 to .14."""

    def __init__(self):
        self.prefix, self.survive = f"{PREFIX}-{os.getpid()}", False
        self.processes, self.ends = [], []
        self.backends = [(f"10.77.0.{n}", mac(n)) for n in (11, 12, 13, 14)]

    def __enter__(self):
        interruptible()
        remove_leftovers()
        self.directory = tempfile.mkdtemp(prefix=f"{self.prefix}-")
        try:
            self._build()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_):
        self.remove()

    def _build(self):
        for role, number in (("client", 2), ("lb", 10)):
            self.ends.append(_End(self.prefix, role, number))
            quiet(self.ends[-1].ns)
        self.client, self.lb = self.ends
        self.client.ns.ip(f"link add eth0 address {self.client.mac} type veth "
                          f"peer name eth0 address {self.lb.mac} netns {self.lb.ns.name}")
        self.client.ns.run("ethtool", "-K", "eth0", "gro", "on")  # a veth takes redirected frames only with XDP or GRO
        for end in self.ends:
            end.ns.ip(f"addr add {end.address[4]}/24 dev eth0", "link set eth0 up")

    def path(self, name):
        return os.path.join(self.directory, name)

    def end_clients(self):
        """The generator has ended by itself."""

    def expect_no_kernel_errors(self):
        """The client's kernel sees none of the packets."""

    def remove(self):
        for process in reversed(self.processes):
            process.end()
        self.processes.clear()
        for end in reversed(self.ends):
            end.ns.remove()
        self.ends.clear()
        shutil.rmtree(self.directory, ignore_errors=True)


__all__ = ["HERE", "VIP", "Fabric", "Host", "LabError", "Pair", "last_cpu", "listens", "run", "wait_until"]
