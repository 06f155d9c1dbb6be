# SPDX-License-Identifier: BSD-2-Clause
"""The ways over the fabric, by the names that rows give them."""
import ways
from turns import Skip

PORTS = [ways.IPERF, ways.APART, ways.TOGETHER]


def start(lab, options, way):
    """way: direct, ring, inject, in-kernel, nftables, haproxy, nginx; Xebec's also with the poll mode, as ring-busy, or with a
    mode that translates, as inject-nat. Without one it is dsr-l2."""
    if way == "direct":
        return ways.towards(lab, lab.backend_host)
    engine, _, how = way.partition("-")
    if engine in ("ring", "inject"):
        if how in ("nat", "dnat"):
            return ways.translating(lab, options.programs, how, engine, PORTS)
        return ways.xebec(lab, options.programs, engine, PORTS, poll=how or "adaptive")
    if way == "in-kernel":
        return ways.in_kernel(lab, options.programs, PORTS, frags=lab.mtu > 1500)
    by_name = {"nftables": ways.nftables, "haproxy": ways.haproxy, "nginx": ways.nginx}
    if way not in by_name:
        raise Skip(f"no way is called {way}")
    return by_name[way](lab, PORTS)


def starter(lab, options):
    return lambda way: start(lab, options, way)
