# SPDX-License-Identifier: BSD-2-Clause
"""docs/real-servers.md, run: the blocks that it marks as tested set backends up, and real clients are served by them."""
import os
import re

import peers
from cases import add, expect, expect_served
from lab import VIP, LabError

PAGE = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "real-servers.md")
TUNNELS = {"vxlan": {"vni": 42, "inner_mac": "02:00:00:00:00:42"}}


def block(mode):
    with open(PAGE, encoding="utf-8") as f:
        found = re.search(rf"<!-- test: {mode} -->\n```sh\n(.*?)```", f.read(), re.S)
    expect(found, f"docs/real-servers.md has no block for {mode}")
    return found.group(1).replace("203.0.113.10", VIP[4]).replace("2001:db8::10", VIP[6])


def set_up(backend, mode):
    """A backend as a distribution ships it, then the page's lines."""
    backend.ns.sysctl(net__ipv4__conf__all__arp_ignore=0, net__ipv4__conf__all__arp_announce=0)
    backend.ns.ip(f"addr del {VIP[4]}/32 dev lo", f"addr del {VIP[6]}/128 dev lo")
    done = backend.ns.run("sh", "-ec", block(mode), check=False)
    if done.returncode != 0:
        raise LabError(f"{mode}: {done.stderr}")


def serves_real_servers_set_up_as_documented(mode):
    def function(env):
        translated = mode == "dnat"
        with env.lab(routed=translated, mtu=1500 if translated else 1600) as lab:
            for backend in lab.backends:
                set_up(backend, mode)
            peers.serve(lab, own=translated)
            # The gateway and the tunnel of the page are IPv4 ones.
            families = (4, 6) if mode == "dsr-l2" else (4,)
            with env.daemon(lab, mode=mode, tunnel=TUNNELS.get(mode), families=families) as daemon:
                for family in families:
                    expect_served(peers.http(lab, family, 200), lab.backends, f"HTTP over IPv{family}")
                daemon.expect_no_drops()
    return function


for name in ("dsr-l2", "vxlan", "dnat"):
    add(f"serves_real_servers_set_up_as_documented_{name.replace('-', '_')}", serves_real_servers_set_up_as_documented(name))
