# SPDX-License-Identifier: BSD-2-Clause
"""Datagrams in fragments: over two queues, in any order, they arrive whole."""
import functools
import hashlib
import itertools
import os
import random
import socket

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Ether
from scapy.packet import Raw

import frames
import peers
from cases import add, case, expect, expect_equal, expect_served
from daemon import config
from lab import VIP, LabError, wait_until
from peers import UDP_PORT


def cut(ether, family, source, destination, ports, payload, ident):
    """A datagram from source to destination as a kernel would cut it for MTU 1500: frames of its fragments."""
    ip = IP if family == 4 else IPv6
    data = bytes(ip(src=source, dst=destination) / UDP(sport=ports[0], dport=ports[1]) / Raw(payload))[20 if family == 4 else 40:]
    most, out = 1480 if family == 4 else 1448, []
    for at in range(0, len(data), most):
        more = at + most < len(data)
        if family == 4:
            head = IP(src=source, dst=destination, id=ident, flags="MF" if more else 0, frag=at // 8, proto=17)
        else:
            head = IPv6(src=source, dst=destination) / IPv6ExtHdrFragment(m=int(more), offset=at // 8, id=ident, nh=17)
        out.append(bytes(ether / head / Raw(data[at:at + most])))
    return out


def fragments(lab, family, sport, size, ident):
    """(payload, frames of its fragments): a datagram of the client's."""
    payload = random.Random(ident).randbytes(size)
    ether = Ether(src=lab.client.mac, dst=lab.lb.mac)
    return payload, cut(ether, family, lab.client.address[family], VIP[family], (sport, UDP_PORT), payload, ident)


def queue_by_cpu(lab):
    """Frames that the bridge sends from CPU n go to the balancer's queue n: XPS. Returns the two CPUs."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    if len(cpus) < 2:
        raise LabError("two CPUs are needed to reach two queues")
    lines = [f"echo {1 << cpu:x} > /sys/class/net/p_lb/queues/tx-{queue}/xps_cpus" for queue, cpu in enumerate(cpus)]
    lab.router.run("sh", "-c", " && ".join(lines))
    return cpus


def inject_from(cpus, host, packets):
    """All that the kernel does until a frame is in the balancer's queue happens on its CPU, in the call. packets:
    [(index into cpus, frame)]; all within what a fragment waits for its first."""
    home = os.sched_getaffinity(0)
    with host.ns.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as s:
        s.bind(("eth0", 0))
        try:
            for where, frame in packets:
                os.sched_setaffinity(0, {cpus[where]})
                s.send(frame)
        finally:
            os.sched_setaffinity(0, home)


# What is sent from which CPU, of n fragments: [(CPU, number of the fragment)].
ORDERS = {
    "the first ahead": lambda n: [(0, 0)] + [(1, i) for i in range(1, n)],
    "the first behind": lambda n: [(1, i) for i in range(1, n)] + [(0, 0)],
    "backwards": lambda n: [(0, i) for i in reversed(range(n))],
    "backwards, half from each": lambda n: [(int(i > n // 2), i) for i in reversed(range(n))],
}


def meet(env, mode):
    """The backend's kernel puts the datagram together, and answers with its SHA-256."""
    with env.lab(tunnel=mode == "ipip", queues=2) as lab:
        peers.serve(lab)
        with env.daemon(lab, mode=mode) as daemon:
            cpus, ident, again = queue_by_cpu(lab), 100, 0
            for family in (4, 6):
                with lab.client.ns.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as client:
                    client.bind((lab.client.address[family], 0))
                    client.settimeout(2)
                    for size, order, _ in itertools.product((8_000, 60_000), ORDERS, range(4)):
                        what = f"IPv{family}, {size} bytes, {order}"
                        # A machine so busy that the last fragment follows the first of them by more than fragments wait is
                        # no fault of what is tested: as a client would, sent again, but all of them must arrive by that.
                        for _ in range(3):
                            ident += 1
                            if exchange(lab, client, family, size, cpus, order, ident, what):
                                break
                            again += 1
                        else:
                            raise LabError(f"{what}: no answer; {daemon.packets()}")
            print(f"{mode}: {ident - 100} datagrams, {again} of them again")
            expect(again <= 6, f"{again} of {ident - 100} datagrams were lost: {daemon.packets()}")
            daemon.expect_no_drops(*(["fragment_unknown"] if again else []))
            expect_equal(daemon.packets()["held"], 0, "still held")
            for worker in daemon.ask("worker", "list")["workers"]:
                expect(worker["packets"]["received"] > 500, f"one queue had it all: {worker['packets']}")


def exchange(lab, client, family, size, cpus, order, ident, what):
    """Sends a datagram; whether it was answered."""
    payload, pieces = fragments(lab, family, client.getsockname()[1], size, ident)
    inject_from(cpus, lab.client, [(where, pieces[i]) for where, i in ORDERS[order](len(pieces))])
    try:
        answer = client.recv(200).split()
    except TimeoutError:
        return False
    expect_equal(answer[1:], [str(size).encode(), hashlib.sha256(payload).hexdigest().encode()], f"{what}: what arrived")
    return True


for _mode in ("dsr-l2", "ipip"):
    add(f"fragments_meet_over_two_queues_{_mode.replace('-', '_')}", functools.partial(meet, mode=_mode), 120)


@case()
def fragments_of_replies_meet_whatever_their_order(env):
    """A backend's answer, cut, in every order and over both queues: the client gets it whole, and the host its own in order."""
    with env.lab(queues=2, backends=1) as lab:
        backend = lab.backends[0]
        backend.ns.ip(*(f"route replace {lab.client.address[f]}/{'32' if f == 4 else '128'} via {lab.lb.address[f]}" for f in (4, 6)))
        cpus, ident = queue_by_cpu(lab), 300
        for mode in ("nat", "dnat"):
            with env.daemon(lab, mode=mode) as daemon:
                for family in (4, 6):
                    kind = (socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
                    with lab.client.ns.socket(*kind) as client, backend.ns.socket(*kind) as server, lab.lb.ns.socket(*kind) as host:
                        for s, where in ((client, lab.client), (server, backend), (host, lab.lb)):
                            s.bind((where.address[family], UDP_PORT if s is server else 0))
                            s.settimeout(2)
                        client.sendto(b"question", (VIP[family], UDP_PORT))
                        peer = server.recvfrom(100)[1]
                        ether = Ether(src=backend.mac, dst=lab.lb.mac)
                        for size, (what, order) in itertools.product((4_000, 20_000), ORDERS.items()):
                            ident += 1
                            payload = random.Random(ident).randbytes(size)
                            pieces = cut(ether, family, backend.address[family], peer[0], (UDP_PORT, peer[1]), payload, ident)
                            inject_from(cpus, backend, [(where, pieces[i]) for where, i in order(len(pieces))])
                            expect(client.recv(65535) == payload, f"{mode}, IPv{family}, {size} bytes, {what}: the client got something else")
                        # The host's own conversation with a backend, from a port that is no service's.
                        ident += 1
                        own = cut(ether, family, backend.address[family], lab.lb.address[family], (2049, host.getsockname()[1]), payload, ident)
                        inject_from(cpus, backend, [(int(i > 0), piece) for i, piece in enumerate(own)])
                        expect(host.recv(65535) == payload, f"{mode}, IPv{family}: the host got something else")
                daemon.expect_no_drops()


def carries_from_sockets(env, mode):
    with env.lab(tunnel=mode == "ipip", queues=2) as lab:
        peers.serve(lab)
        with env.daemon(lab, mode=mode) as daemon:
            for family in (4, 6):
                for size in (8_000, 60_000):
                    # One at a time: behind XDP every fragment counts as a page, and a UDP socket's default buffer holds but
                    # one such datagram.
                    report = peers.udp(lab, family, 100, size=size, concurrency=1)
                    full = {b.role: n for b in lab.backends if (n := sum(b.ns.snmp()[k] for k in ("Udp.RcvbufErrors", "Udp6RcvbufErrors")))}
                    expect_equal(full, {}, f"UDP of {size}, IPv{family}: buffers of backends that were full")
                    expect_served(report, lab.backends, f"UDP of {size}, IPv{family}", 0.2)
            daemon.expect_no_drops()


for _mode in ("dsr-l2", "ipip"):
    add(f"carries_fragmented_datagrams_of_60_kb_{_mode.replace('-', '_')}", functools.partial(carries_from_sockets, mode=_mode), 120)


@case()
def held_fragments_are_bounded_and_given_up(env):
    """More later fragments than may wait: those beyond are dropped at once, the others after their time."""
    with env.lab() as lab, env.daemon(lab) as daemon:
        count = 400
        later = [fragments(lab, 4, 4000, 2000, 1000 + n)[1][1] for n in range(count)]
        frames.inject(lab.client, *later)

        def all_dropped():
            packets = daemon.packets()
            return packets["held"] == 0 and packets["drops"] == {"fragment_unknown": count}

        wait_until(all_dropped, lambda: f"all to be dropped by name: {daemon.packets()}")


@case()
def datagrams_too_big_for_the_tunnel_arrive_in_pieces(env):
    """Without DF nobody can tell the sender of the tunnel's 20 bytes: whole datagrams of the client's MTU, and its own fragments, are cut."""
    with env.lab(tunnel=True, mtu=1500) as lab:
        lab.client.ns.sysctl(net__ipv4__ip_no_pmtu_disc=1)
        peers.serve(lab)
        settings = config(lab, mode="ipip", families=(4,), backend_family=4)
        for service in settings["services"]:
            service["fragment"] = True
        with env.daemon(lab, settings) as daemon:
            expect_served(peers.udp(lab, 4, 200, size=1472), lab.backends, "datagrams of 1500 bytes")
            expect(daemon.packets()["cut"] >= 200, f"{daemon.packets()['cut']} packets cut")
            # Six fragments a datagram, five of them too big.
            expect_served(peers.udp(lab, 4, 100, size=8000, concurrency=2), lab.backends, "datagrams of 8000 bytes", slack=0.3)
            expect(daemon.packets()["cut"] >= 200 + 500, f"{daemon.packets()['cut']} packets cut")
            daemon.expect_no_drops()
            settings["services"][1]["fragment"] = False
            daemon.write(settings)
            daemon.reload()
            with lab.client.ns.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x" * 1472, (VIP[4], UDP_PORT))
            wait_until(lambda: daemon.packets()["drops"]["too_big"] == 1, lambda: f"it to be dropped: {daemon.packets()}")
            daemon.expect_no_drops("too_big")
