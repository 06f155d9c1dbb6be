# SPDX-License-Identifier: BSD-2-Clause
"""SCTP by every mode and family. Scapy is both ends: not every kernel has the protocol."""
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP, SCTPChunkData, SCTPChunkInit

import frames
from cases import case, expect, expect_equal
from daemon import config

MODES = ("dsr-l2", "ipip", "gre", "gue", "gue0", "vxlan", "dnat", "nat")
NET = {4: "198.51.100.", 6: "2001:db8:51::"}
PORT, BACKEND_PORT = 3868, 3870


def settings(lab):
    """A service of each mode, inner and outer family, with one backend."""
    whole, rows = config(lab), []
    for inner in (4, 6):
        for mode in MODES:
            tunnel = mode not in ("dsr-l2", "dnat", "nat")
            for outer in (4, 6) if tunnel else (inner,):
                host = 10 + len(rows)
                backend = {"address": lab.backends[len(rows) % 4].address[outer]}
                if mode in ("dnat", "nat"):
                    backend["port"] = BACKEND_PORT
                service = {"name": f"sctp{inner}-{mode}-{outer}", "vip": f"{NET[inner]}{host}", "port": PORT, "protocol": "sctp",
                           "mode": "gue" if mode == "gue0" else mode, "backends": [backend]}
                if mode == "gue0":
                    service["tunnel"] = {"gue_variant": 0}
                if mode == "vxlan":
                    service["tunnel"] = {"vni": 7, "inner_mac": "02:00:00:00:cc:01"}
                whole["services"].append(service)
                rows.append((inner, mode, service["vip"], lab.backends[len(rows) % 4]))
    return whole, rows


def network(family, source, destination):
    return IP(src=source, dst=destination) if family == 4 else IPv6(src=source, dst=destination)


def sctp_of(frame):
    """The packet's SCTP header, if its checksum is right."""
    layer = Ether(frame)[SCTP]
    again = SCTP(bytes(layer))
    del again.chksum
    expect_equal(SCTP(bytes(again)).chksum, layer.chksum, "CRC32c")
    return layer


@case()
def sctp_goes_by_every_mode(env):
    with env.lab(tunnel=True) as lab:
        wanted, rows = settings(lab)
        with env.daemon(lab, wanted) as daemon:
            client = frames.Sniffer(lab.client)
            sniffers = [frames.Sniffer(b) for b in lab.backends]
            for number, (family, mode, vip, backend) in enumerate(rows):
                source, mark = lab.client.address[family], b"sctp%04d" % number
                for chunk in (SCTPChunkInit(init_tag=7 + number), SCTPChunkData(data=mark, len=16 + len(mark))):
                    packet = network(family, source, vip) / SCTP(sport=40000, dport=PORT, tag=number) / chunk
                    whole = bytes(packet)
                    sent = bytes(SCTP(whole[20 if family == 4 else 40:]))
                    frames.inject(lab.client, bytes(Ether(src=lab.client.mac, dst=lab.lb.mac) / packet))
                    # By its chunk the packet is known behind a translation, too.
                    role, came = frames.first(sniffers, lambda f, s=sent: s[12:] in f)
                    expect_equal(role, backend.role, f"{mode} IPv{family}: backend")
                    if mode not in ("dnat", "nat"):
                        expect(whole in came, f"{mode} IPv{family}: the packet inside is as it was")
                        continue
                    there, ip = sctp_of(came), Ether(came)[IP if family == 4 else IPv6]
                    expect_equal((ip.dst, there.dport), (backend.address[family], BACKEND_PORT), f"{mode} IPv{family}: destination")
                    expect_equal(ip.src == source, mode == "dnat", f"{mode} IPv{family}: the source is the client's")
                    answer = network(family, ip.dst, ip.src) / SCTP(sport=BACKEND_PORT, dport=there.sport, tag=number) / \
                        SCTPChunkData(data=b"answer" + mark, len=22 + len(mark))
                    frames.inject(backend, bytes(Ether(src=backend.mac, dst=lab.lb.mac) / answer))
                    _, back = frames.first([client], lambda f, m=mark: b"answer" + m in f)
                    here, ip = sctp_of(back), Ether(back)[IP if family == 4 else IPv6]
                    expect_equal((ip.src, ip.dst, here.sport, here.dport), (vip, source, PORT, 40000), f"{mode} IPv{family}: back")
            daemon.expect_no_drops()
