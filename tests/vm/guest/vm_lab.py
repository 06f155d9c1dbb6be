# SPDX-License-Identifier: BSD-2-Clause
"""The laboratory inside the guest: that of tests/e2e, but the balancer is the guest itself and its eth0 a real driver's.

     namespace client     namespaces b1 .. b4 (VIPs on lo, the kernel's own tunnels)
          |                    |
     p_client ------ br0 --- p_b1 ..  --- eth1      namespace router
                                           |
                        the host's bridge  |  (tests/vm/machine.py)
                                           |
                       xebecd on        eth0        the guest's own namespace

The fabric carries 9,100 bytes, so that a case chooses the MTU by that of eth0 and of the client.
"""
import contextlib
import subprocess

import lab
import netns
from lab import Lab, wait_until
from netns import run
from vm_process import GuestNamespace

QUEUES = 4  # all there are: of fewer, virtio-net makes more when XDP is attached (kernel, virtnet_xdp_set)
FABRIC_MTU = 9100
VNI = {4: 7, 6: 8}  # of the VXLAN over IPv4 and over IPv6
INNER_MAC = "02:00:00:00:cc:01"
VIA_BALANCER = 100  # routing table
# Emulation is ten times slower, and other work on the machine may take nine tenths of that. What is waited for comes, or never.
netns.PATIENCE = 10.0


class OwnNamespace(GuestNamespace):
    """The guest's own network, with the manners of a namespace."""

    def __init__(self):  # pylint: disable=super-init-not-called
        self.name, self._leash = "own", ["setpriv", "--pdeathsig", "KILL"]

    def ip(self, *lines):
        run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")

    @contextlib.contextmanager
    def entered(self):
        yield

    def pids(self):
        return []

    def remove(self):
        pass


class Balancer:
    """As lab.Host, but plugged already."""

    def __init__(self):
        self.role, self.ns = "lb", OwnNamespace()
        self.address = {4: "10.77.0.10", 6: "fd77::10"}


class VmLab(Lab):
    namespace = GuestNamespace

    def _build(self):
        self.router = self.namespace(f"{self.prefix}-router")
        self.namespaces.append(self.router)
        lab.quiet(self.router)
        self.router.ip(f"link add br0 address 02:00:00:00:77:01 mtu {FABRIC_MTU} type bridge mcast_snooping 0", "link set br0 up",
                       "addr add 10.77.0.1/24 dev br0", "addr add fd77::1/64 dev br0 nodad")
        self.lb = Balancer()
        lab.quiet(self.lb.ns)
        self.lb.ns.ip(f"link set eth1 netns {self.router.name}")
        self.router.ip(f"link set eth1 mtu {FABRIC_MTU} master br0")
        self.client = self._host("client", 2)
        self.backends = [self._host(f"b{i}", 10 + i) for i in range(1, self.backend_count + 1)]
        for host in (self.client, *self.backends):
            host.plug(self.router, 1, FABRIC_MTU)
            self.router.ip(f"link set p_{host.role} master br0")
        for backend in self.backends:
            self._hold_vips(backend)
            self._end_tunnels(backend)
            self._answer_through_the_balancer(backend)
        self.settle(1500)

    @staticmethod
    def _end_tunnels(backend):
        """The kernel's own ends of every tunnel. tunl0, sit0, gre0 and ip6gre0 are what the modules make of themselves; tnl6 takes
        both families out of IPv6."""
        at = backend.address
        backend.ns.ip(*(f"link set {name} up" for name in ("tunl0", "sit0", "gre0", "ip6gre0")),
                      f"link add tnl6 type ip6tnl mode any local {at[6]} remote any", "link set tnl6 up",
                      *(line for f in (4, 6) for line in
                        (f"link add vx{f} address {INNER_MAC} type vxlan id {VNI[f]} dstport 4789 local {at[f]} nolearning",
                         f"link set vx{f} up")))
        for family in ("-4", "-6"):  # not in the batch: its lines take no option
            backend.ns.run("ip", family, "fou", "add", "port", "6080", "gue")
        for name in ("tunl0", "gre0", "tnl6", "ip6gre0", "vx4", "vx6"):
            backend.ns.sysctl(**{f"net__ipv4__conf__{name}__rp_filter": 0})

    def _answer_through_the_balancer(self, backend):
        """What a backend says in its own name, and not in that of a VIP: mode dnat wants its replies back."""
        for family, length in ((4, 32), (6, 128)):
            backend.ns.run("ip", f"-{family}", "rule", "add", "from", f"{backend.address[family]}/{length}",
                           "to", f"{self.client.address[family]}/{length}", "lookup", str(VIA_BALANCER))
            backend.ns.ip(f"route add {'0.0.0.0' if family == 4 else '::'}/0 via {self.lb.address[family]} dev eth0 "
                          f"table {VIA_BALANCER}")

    def settle(self, mtu, client_mtu=1500, queues=QUEUES):
        """eth0 as a case finds it: up, addressed, with so many queues and this MTU. Nothing is sent to it meanwhile (machine.RSS)."""
        self.router.ip("link set eth1 down")
        self.lb.ns.ip("link set eth0 down", f"link set eth0 mtu {mtu}")
        run("ethtool", "-L", "eth0", "combined", str(queues), check=False)  # says 80 where it is so already
        self.lb.ns.ip("link set eth0 up", *(f"addr replace {a} dev eth0{d}" for a, d in
                                            (("10.77.0.10/24", ""), ("fd77::10/64", " nodad"))))
        self.router.ip("link set eth1 up")
        self.client.ns.ip(f"link set eth0 mtu {client_mtu}")
        self.send_vips_to(self.lb)
        for family in (4, 6):
            wait_until(lambda f=family: self.pings(self.lb.address[f]), "eth0 to answer the client's ping", 20)


def received_by(namespace):
    """{device: packets it received}."""
    with namespace.entered(), open("/proc/thread-self/net/dev", encoding="ascii") as f:
        rows = [line.partition(":") for line in f.readlines()[2:]]
    return {name.strip(): int(numbers.split()[1]) for name, _, numbers in rows}


def kernel_release():
    return tuple(int(n) for n in subprocess.run(["uname", "-r"], capture_output=True, text=True, check=True).stdout
                 .split("-")[0].split("+")[0].split(".")[:2])
