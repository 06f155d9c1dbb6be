# SPDX-License-Identifier: BSD-2-Clause
"""iperf3: bulk TCP and UDP from a client through each way to one backend."""
import contextlib
import json
import sys

import fabric_ways
import ways
from fabric import VIP, Fabric, LabError, wait_until
from machine_time import busy_seconds
from turns import Figure, Skip, Spec, run

PEERS = ("direct", "in-kernel", "nftables", "haproxy", "nginx")
STREAMS = {"tcp-1": 1, "tcp-4": 4}
# (MTU, case, our engine, peer): the ratio to reach. All TCP cases have one beside HAProxy.
TARGETS = {(1500, "tcp-1", "inject", "in-kernel"): 1.2, (1500, "tcp-4", "inject", "in-kernel"): 1.0,
           (9000, "tcp-1", "ring", "in-kernel"): 1.0, (9000, "tcp-4", "ring", "in-kernel"): 1.0,
           (1500, "tcp-1", "inject", "haproxy"): 1.15, (1500, "tcp-4", "inject", "haproxy"): 1.15,
           (9000, "tcp-1", "ring", "haproxy"): 1.15, (9000, "tcp-4", "ring", "haproxy"): 1.15}
# Translation beside what needs none, and beside a kernel that translates both ends, too.
TRANSLATING = {"nat": ("dsr-l2", "nftables"), "dnat": ("dsr-l2",)}
WITHIN_OF_DSR = 0.85
OURS = ("inject", "ring")  # a way of ours that fails is an error, another's is not to be had here


def rows_of(mtu):
    rows = []
    for case in (*STREAMS, "udp"):
        rows += translating_rows_of(mtu, case)
        engines = ("inject", "ring") if mtu == 1500 else ("ring",)  # a live frame holds no packet of MTU 9000
        pairs = [("inject", "ring")][:len(engines) - 1] + [(ours, peer) for peer in PEERS for ours in engines]
        for ours, peer in pairs:
            if case == "udp" and peer == "haproxy":
                continue  # it has no UDP
            name = f"iperf3-{mtu}/{case}/{ours}-vs-{peer}"
            rows.append(Spec(name, "Gbit/s", Figure(ours, case, "gbps"), Figure(peer, case, "gbps"),
                             TARGETS.get((mtu, case, ours, peer))))
            rows.append(Spec(name + "-cpu", "CPU s/GB", Figure(ours, case, "cpu"), Figure(peer, case, "cpu"),
                             more_is_better=False))
    return rows


def translating_rows_of(mtu, case):
    engine = "inject" if mtu == 1500 else "ring"
    rows = []
    for mode, peers in TRANSLATING.items():
        for peer in peers:
            ours, other = f"{engine}-{mode}", engine if peer == "dsr-l2" else peer
            name = f"iperf3-{mtu}/{case}/{mode}-vs-{peer}"
            rows.append(Spec(name, "Gbit/s", Figure(ours, case, "gbps"), Figure(other, case, "gbps"),
                             WITHIN_OF_DSR if peer == "dsr-l2" else None))
            rows.append(Spec(name + "-cpu", "CPU s/GB", Figure(ours, case, "cpu"), Figure(other, case, "cpu"),
                             more_is_better=False))
    return rows


class IperfFabric(Fabric):
    """The client keeps to CPU 0, with what it receives and with the sending that acknowledgements set off (RPS). Else its
    packets leave by two CPUs, whose queues behind the veth overtake each other, and each way retransmits what was never
    lost: 395 to 521 segments of three seconds, where one CPU has none. Which CPU an acknowledgement comes by is another one
    where the server answers past the balancer than where it answers through it.

    And what the server sends goes through the bridge on CPU 0, so that one CPU fills the balancer's queue, as an interrupt
    of a NIC has one: NAPI runs where it was called first, and while that CPU is busy the ring of 256 overflows."""

    def _build(self):
        super()._build()
        for namespace, interface in ((self.client.ns, "eth0"), (self.router, "p_b1")):
            namespace.run("sh", "-c", f"echo 1 > /sys/class/net/{interface}/queues/rx-0/rps_cpus")


@contextlib.contextmanager
def servers(lab):
    """New ones for each figure, for between two tests a server does not listen: at the VIP, for ways that leave the address
    alone, and at the backend's own."""
    with contextlib.ExitStack() as stack:
        for address in (VIP[4], lab.backend_host.address[4]):
            command = ["iperf3", "-s", "--forceflush", "-B", address, "-p", str(ways.IPERF)]
            server = stack.enter_context(ways.program(lab, lab.backend_host.ns, *command))
            wait_until(lambda s=server: "listening" in s.said(), lambda s=server: f"iperf3 to listen: {s.said()}")
        yield


def measure(lab, options, running, way, case):
    """Goodput at the receiver, and CPU seconds of the machine for 10^9 bytes of it."""
    command = ["taskset", "-c", "0", "iperf3", "-J", "-c", VIP[4], "-p", str(ways.IPERF), "-t", "1" if options.quick else "4",
               "--connect-timeout", "3000"]
    command += ["-u", "-b", "0", "-l", str(lab.mtu - 28)] if case == "udp" else ["-P", str(STREAMS[case])]
    with servers(lab):
        before = busy_seconds()
        done = lab.client.ns.run(*command, timeout=30, check=False)
        spent = busy_seconds() - before
    answer = json.loads(done.stdout) if done.stdout.startswith("{") else {"error": done.stderr}
    if "error" in answer or done.returncode != 0:
        why = f"{way}: iperf3: {answer.get('error') or done.stderr}"
        raise LabError(why) if way.startswith(OURS) else Skip(why)
    if case == "udp":
        total = answer["end"]["sum"]
        received = total["bytes"] * (1 - total["lost_percent"] / 100)
    else:
        total = answer["end"]["sum_received"]
        received = total["bytes"]
    if not received:
        raise LabError(f"{way}: no byte arrived")
    return {"gbps": received * 8 / total["seconds"] / 1e9, "cpu": spent / (received / 1e9)}


def main():
    status = []
    for mtu in (1500, 9000):
        status.append(run(__doc__, lambda _, m=mtu: rows_of(m), lambda _, m=mtu: IperfFabric(m), fabric_ways.starter, measure))
        if status[-1] == 130:
            break
    return max(status)


if __name__ == "__main__":
    sys.exit(main())
