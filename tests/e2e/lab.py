# SPDX-License-Identifier: BSD-2-Clause
"""The lab: a client, a balancer and backends on one bridge, each in a network namespace.

        client                      lb (xebecd)          b1 .. b4 (VIPs on lo)
        eth0 .2                     eth0 .10             eth0 .11 .. .14
          |                           |                    |
     p_client ---------- br0 ------ p_lb ---------- p_b1 .. p_b4          all of this in `router`
                       (.1)

10.77.0.0/24 and fd77::/64. The client sends the VIPs to the balancer; backends answer the client directly. With
routed=True the client sits behind the router, on 10.78.0.0/24 and fd78::/64, and the router sends the VIPs to the
balancer. With two_sided=True the backends are on a bridge of their own, 10.79.0.0/24 and fd79::/64, where the balancer has
eth1: they have no way to the client but by the balancer. No offload is touched: packets carry partial checksums wherever the kernel likes them.
"""
import os
import shutil
import sys
import tempfile

import netns
from netns import LabError, Namespace, run, wait_until

VIP = {4: "203.0.113.10", 6: "2001:db8:77::10"}
HERE = os.path.dirname(os.path.abspath(__file__))


class Host:
    """A namespace with eth0 on the fabric."""

    def __init__(self, lab, role, number, subnet=77):
        self.role, self.subnet = role, subnet
        self.ns = lab.namespace(f"{lab.prefix}-{role}", survive=lab.survive)
        self.mac = f"02:00:00:00:{subnet}:{number:02d}"
        self.address = {4: f"10.{subnet}.0.{number}", 6: f"fd{subnet}::{number}"}

    def plug_back(self, router, queues, mtu):
        """Gives the balancer its eth1 on the backends' side, the other end of the router's p_back."""
        rings = f"numtxqueues {queues} numrxqueues {queues}"
        router.ip(f"link add p_back mtu {mtu} {rings} type veth "
                  f"peer name eth1 address 02:00:00:00:79:10 mtu {mtu} {rings} netns {self.ns.name}",
                  "link set p_back up", "link set p_back master br1")
        self.ns.ip("addr add 10.79.0.10/24 dev eth1", "addr add fd79::10/64 dev eth1 nodad", "link set eth1 up")

    def plug(self, router, queues, mtu):
        """Gives the host its eth0, the other end of the router's p_ROLE."""
        rings = f"numtxqueues {queues} numrxqueues {queues}"
        router.ip(f"link add p_{self.role} mtu {mtu} {rings} type veth "
                  f"peer name eth0 address {self.mac} mtu {mtu} {rings} netns {self.ns.name}",
                  f"link set p_{self.role} up")
        quiet(self.ns)
        self.ns.ip(f"addr add {self.address[4]}/24 dev eth0", f"addr add {self.address[6]}/64 dev eth0 nodad",
                   "link set eth0 up")


def quiet(namespace):
    """Addresses usable at once, replies allowed to leave another way than requests came."""
    namespace.sysctl(net__ipv4__conf__all__rp_filter=0, net__ipv4__conf__default__rp_filter=0,
                     net__ipv6__conf__all__accept_dad=0, net__ipv6__conf__default__accept_dad=0,
                     net__ipv6__conf__default__router_solicitations=0)


class Lab:
    """Builds the topology on entry and leaves nothing on exit."""

    namespace = Namespace  # what hosts are made of

    def __init__(self, queues=1, backends=4, mtu=1500, client_mtu=1500, decap=None, routed=False, name=None,
                 two_sided=False):
        """mtu: of the fabric. decap: path of decap.bpf.o to run on the backends' eth0.
        name: fixed prefix of namespaces, which then survive this process (the demo's --keep)."""
        self.queues, self.mtu, self.client_mtu, self.decap, self.routed = queues, mtu, client_mtu, decap, routed
        self.two_sided = two_sided
        self.survive = name is not None
        self.prefix = name or f"xebec-{os.getpid()}"
        self.backend_count = backends
        self.namespaces, self.processes = [], []
        self.directory = None

    def __enter__(self):
        for name in netns.remove_leftovers():
            print(f"lab: removed {name}, left behind by a run that is dead", file=sys.stderr)
        self.directory = tempfile.mkdtemp(prefix=f"{self.prefix}-")
        try:
            self._build()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_):
        self.remove()

    def _host(self, *args):
        host = Host(self, *args)
        self.namespaces.append(host.ns)
        return host

    def _build(self):
        self.router = self.namespace(f"{self.prefix}-router", survive=self.survive)
        self.namespaces.append(self.router)
        quiet(self.router)
        # Bridge netfilter, where the host has it on, trims and checks IP packets that the bridge has no business with.
        if os.path.exists("/proc/sys/net/bridge"):
            self.router.sysctl(net__bridge__bridge_nf_call_iptables=0, net__bridge__bridge_nf_call_ip6tables=0,
                               net__bridge__bridge_nf_call_arptables=0)
        # Snooping would hold back neighbour discovery until it has learned who listens.
        self.router.ip(f"link add br0 address 02:00:00:00:77:01 mtu {self.mtu} type bridge mcast_snooping 0",
                       "link set br0 up", "addr add 10.77.0.1/24 dev br0", "addr add fd77::1/64 dev br0 nodad")
        self.client = self._host("client", 2, 78 if self.routed else 77)
        self.lb = self._host("lb", 10)
        self.backends = [self._host(f"b{i}", 10 + i, 79 if self.two_sided else 77) for i in range(1, self.backend_count + 1)]
        self.client.plug(self.router, 1, self.client_mtu)
        self.lb.plug(self.router, self.queues, self.mtu)
        for backend in self.backends:
            backend.plug(self.router, 1, self.mtu)
            self._hold_vips(backend)
        if self.two_sided:
            self._build_back()
        bridged = [self.lb] + ([] if self.two_sided else self.backends) + ([] if self.routed else [self.client])
        self.router.ip(*(f"link set p_{h.role} master br0" for h in bridged))
        if self.routed:
            self._route_client()
        self.send_vips_to(self.lb)
        for host in (self.lb, *([] if self.two_sided else self.backends)):
            for family in (4, 6):
                wait_until(lambda h=host, f=family: self.pings(h.address[f]), f"{host.role} to answer the client's ping")

    def _build_back(self):
        self.router.ip(f"link add br1 address 02:00:00:00:79:01 mtu {self.mtu} type bridge mcast_snooping 0", "link set br1 up",
                       *(f"link set p_{b.role} master br1" for b in self.backends))
        self.lb.plug_back(self.router, self.queues, self.mtu)
        for backend in self.backends:
            backend.ns.ip("route add default via 10.79.0.10", "route add ::/0 via fd79::10")

    def _hold_vips(self, backend):
        backend.ns.sysctl(net__ipv4__conf__all__arp_ignore=1, net__ipv4__conf__all__arp_announce=2)
        backend.ns.ip(f"addr add {VIP[4]}/32 dev lo", f"addr add {VIP[6]}/128 dev lo nodad")
        if self.decap:
            backend.ns.run("ip", "link", "set", "dev", "eth0", "xdpdrv", "obj", self.decap, "sec", "xdp.frags")

    def _route_client(self):
        self.router.sysctl(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
        self.router.ip("addr add 10.78.0.1/24 dev p_client", "addr add fd78::1/64 dev p_client nodad")
        self.client.ns.ip("route add default via 10.78.0.1", "route add ::/0 via fd78::1")
        for host in (self.lb, *self.backends):
            host.ns.ip("route add default via 10.77.0.1", "route add ::/0 via fd77::1")

    def send_vips_to(self, host):
        """Where the client (or the router, if routed) sends the VIPs: the balancer, or one backend to do without it."""
        where = self.router if self.routed else self.client.ns
        where.ip(f"route replace {VIP[4]}/32 via {host.address[4]}",
                 f"route replace {VIP[6]}/128 via {host.address[6]}")

    def backend(self, name):
        return next(b for b in self.backends if b.role == name)

    def pings(self, address, count=1):
        """How many of `count` echo requests of the client were answered."""
        done = self.client.ns.run("ping", "-n", "-q", "-c", str(count), "-i", "0.05", "-W", "1", address, check=False)
        words = done.stdout.replace(",", "").split()
        return int(words[words.index("received") - 1]) if "received" in words else 0

    def path(self, name):
        return os.path.join(self.directory, name)

    def kernel_errors(self):
        """Packets the backends' and the client's kernels found broken. Empty is the only good answer."""
        bad = {}
        for host in (self.client, *self.backends):
            snmp = host.ns.snmp()
            for key in ("Ip.InHdrErrors", "Tcp.InCsumErrors", "Udp.InCsumErrors", "Icmp.InCsumErrors", "Ip6InHdrErrors",
                        "Udp6InCsumErrors", "Icmp6InCsumErrors"):
                # Not Tcp.InErrs: that one also counts a SYN sent again although it had arrived (RFC 5961 challenge).
                if snmp[key]:
                    bad[f"{host.role} {key}"] = snmp[key]
        return bad

    def expect_no_kernel_errors(self):
        bad = self.kernel_errors()
        if bad:
            raise LabError(f"kernels received broken packets: {bad}")

    def end_clients(self):
        """Ends whatever still sends, so that counters come to rest."""
        for process in self.processes:
            if process.namespace is self.client.ns:
                process.end()

    def remove(self):
        for process in reversed(self.processes):
            process.end()
        self.processes.clear()
        for namespace in reversed(self.namespaces):
            namespace.remove()
        self.namespaces.clear()
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)


def listens(pid, port, protocol="tcp"):
    """Whether some socket of the process's namespace listens (or, for udp, is bound) on the port."""
    state = {"tcp": "0A", "udp": "07"}[protocol]
    for table in (protocol, protocol + "6"):
        with open(f"/proc/{pid}/net/{table}", encoding="ascii") as f:
            for line in f.readlines()[1:]:
                fields = line.split()
                if fields[3] == state and int(fields[1].rpartition(":")[2], 16) == port:
                    return True
    return False


__all__ = ["HERE", "VIP", "Host", "Lab", "LabError", "Namespace", "listens", "run", "wait_until"]
