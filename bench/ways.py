# SPDX-License-Identifier: BSD-2-Clause
"""Ways: what stands between client and backend. Each is a context manager that is ready when it is entered, and gone
without a trace when it is left; one that cannot be had raises Skip with the reason."""
import contextlib
import json
import os
import shutil

from fabric import VIP, LabError, last_cpu, listens, run, wait_until
from daemon import SEED, Daemon
from peers import Process
from turns import Skip

IPERF, APART, TOGETHER = 5205, 7, 8  # ports: iperf3, and ping-pong with its server pinned to one CPU or the other
PPS = 7000
TCP_UDP = ("tcp", "udp")


def says_ready(process):
    wait_until(lambda: "ready" in process.said() or process.process.poll() is not None,
               lambda: f"{process.name} to be ready: {process.said()}", 20)
    if process.process.poll() is not None:
        raise LabError(f"{process.name} ended: {process.said()}")


@contextlib.contextmanager
def program(lab, namespace, *command, name=None):
    """A program in a namespace for as long as the block."""
    process = Process(lab, namespace, *map(str, command), name=name)
    try:
        yield process
    finally:
        process.end()
        lab.processes.remove(process)


def settings_of(lab, transmit, ports, poll="adaptive", flows=1 << 18, mode="dsr-l2"):
    """A configuration. On the fabric the one backend is found by ARP, on the pair all are only MAC addresses."""
    backends = getattr(lab, "backends")
    rows = [{"address": b[0], "mac": b[1]} if isinstance(b, tuple) else {"address": b.address[4]} for b in backends]
    services = [{"name": f"bench-{port}-{protocol}", "vip": VIP[4], "port": port, "protocol": protocol,
                 "mode": mode, "backends": rows} for port in ports for protocol in TCP_UDP]
    return {"version": 1, "instance": "bench", "hash_seed": SEED,
            "flow_table": {"capacity": flows, "max_inserts_per_s": 100_000_000},
            "interfaces": [{"name": "eth0", "cpus": str(last_cpu()), "poll": poll, "transmit": transmit}],
            "services": services}


@contextlib.contextmanager
def started(daemon):
    try:
        daemon.__enter__()
    except LabError as error:
        if "MTU" in str(error):
            raise Skip("this Xebec takes no packets of that MTU") from None
        raise
    with contextlib.ExitStack() as stack:
        stack.push(daemon.__exit__)
        yield daemon


@contextlib.contextmanager
def xebec(lab, programs, transmit, ports, **options):
    daemon = Daemon(lab, programs, settings_of(lab, transmit, ports, **options))
    check = run(os.path.join(programs, "xebecd"), "--check", "-c", daemon.file, check=False)
    if check.returncode != 0 and "transmit" in check.stderr + check.stdout:
        raise Skip(f"this Xebec has no transmit engine \"{transmit}\"")
    with started(daemon):
        lab.processes.remove(daemon.process)  # the daemon ends it, and every turn has a new one
        try:
            interface = daemon.ask("interface", "list")["interfaces"][0]
            got = {queue["transmit"] for queue in interface["queues"]}
            if got != {transmit}:
                raise Skip(f"asked for {transmit}, got {got}: {interface.get('transmit_why', 'no reason given')}")
            if interface["xdp"] != "native":
                raise Skip(f"no native XDP here: {interface['native_refusal']}")
        except BaseException:
            lab.processes.append(daemon.process)
            raise
        yield daemon


@contextlib.contextmanager
def translating(lab, programs, mode, transmit, ports):
    """Xebec, both directions through it: with dnat the backend knows no other way to the client."""
    route = f"{lab.client.address[4]}/32 via {lab.lb.address[4]}"
    if mode == "dnat":
        lab.backend_host.ns.ip(f"route add {route}")
    try:
        with xebec(lab, programs, transmit, ports, mode=mode) as daemon:
            yield daemon
    finally:
        if mode == "dnat":
            lab.backend_host.ns.ip(f"route del {route}")


def service_arguments(ports):
    return [a for port in ports for protocol in TCP_UDP for a in ("--service", f"{VIP[4]}:{port}:{protocol}")]


@contextlib.contextmanager
def in_kernel(lab, programs, ports, flows=1 << 18, frags=False):
    macs = [b[1] if isinstance(b, tuple) else b.mac for b in lab.backends]
    command = [os.path.join(programs, "bench/compare/baseline_lb"), "--own-mac", lab.lb.mac, "--flows", flows,
               *service_arguments(ports), *[a for m in macs for a in ("--backend", m)], *(["--frags", "yes"] if frags else [])]
    with passing_port(lab, programs), program(lab, lab.lb.ns, *command) as process:
        says_ready(process)
        yield process


@contextlib.contextmanager
def passing_port(lab, programs):
    """XDP_TX into a veth needs an XDP program at the far end; on the pair that is the generator's."""
    router = getattr(lab, "router", None)
    if router is None:
        yield
        return
    router.run("ip", "link", "set", "dev", "p_lb", "xdpdrv", "obj",
               os.path.abspath(os.path.join(programs, "bench/pass.bpf.o")), "sec", "xdp.frags")
    try:
        yield
    finally:
        router.run("ip", "link", "set", "dev", "p_lb", "xdpdrv", "off")


@contextlib.contextmanager
def reflector(lab, programs):
    with program(lab, lab.lb.ns, os.path.join(programs, "bench/reflector"), "--own-mac", lab.lb.mac,
                 "--to-mac", lab.backends[0][1], "--cpu", last_cpu()) as process:
        says_ready(process)
        yield process


@contextlib.contextmanager
def testpmd(lab):
    """DPDK's forwarder on its AF_XDP driver; it answers to the sender."""
    found = shutil.which("dpdk-testpmd")
    if not found:
        raise Skip("no dpdk-testpmd here (Debian package dpdk, with librte-net-af-xdp)")
    # LIBXDP_SKIP_DISPATCHER: libxdp's dispatcher wants BPF_PROG_TYPE_EXT, which not every machine grants.
    command = ["env", "LIBXDP_SKIP_DISPATCHER=1", "stdbuf", "-oL", found, "-l", f"0,{last_cpu()}", "--no-huge", "-m", "512", "--no-pci",
               f"--file-prefix={lab.prefix}", "--no-telemetry", "--vdev", "net_af_xdp0,iface=eth0", "--", "--forward-mode=macswap", "--auto-start",
               "--total-num-mbufs=16384", "--burst=64", "--rxd=2048", "--txd=2048", "--stats-period=1"]
    with contextlib.ExitStack() as stack:
        # A DPDK program that is ended by a signal leaves its directory behind.
        stack.callback(shutil.rmtree, f"/var/run/dpdk/{lab.prefix}", ignore_errors=True)
        process = stack.enter_context(program(lab, lab.lb.ns, *command, name="testpmd"))
        try:
            wait_until(lambda: process.process.poll() is not None or "Port statistics" in process.said(), "testpmd", 15)
        except LabError as error:
            raise Skip(f"testpmd does not start: {process.said()[-300:]}") from error
        if process.process.poll() is not None:
            raise Skip(f"testpmd ended: {process.said()[-300:]}")
        yield process


@contextlib.contextmanager
def towards(lab, host):
    """The client's packets to the VIP go to this host."""
    lab.send_vips_to(host)
    yield lab
    lab.send_vips_to(lab.lb)


@contextlib.contextmanager
def nftables(lab, ports):
    """Destination and source translated by conntrack, as it has to be where backends answer through the balancer."""
    if not shutil.which("nft"):
        raise Skip("no nft here")
    lab.lb.ns.sysctl(net__ipv4__ip_forward=1)
    numbers = ", ".join(map(str, ports))
    rules = "table ip bench {\n"
    rules += " chain to { type nat hook prerouting priority dstnat;\n"
    for protocol in TCP_UDP:
        rules += f"  ip daddr {VIP[4]} {protocol} dport {{ {numbers} }} dnat to {lab.backend_host.address[4]}\n"
    rules += " }\n chain from { type nat hook postrouting priority srcnat;\n"
    rules += f"  ip daddr {lab.backend_host.address[4]} masquerade\n }}\n}}\n"
    loaded = lab.lb.ns.run("nft", "-f", "-", stdin=rules, check=False)
    if loaded.returncode != 0:
        raise Skip(f"nft: {loaded.stderr.strip()[-200:]}")
    try:
        yield
    finally:
        lab.lb.ns.run("nft", "delete", "table", "ip", "bench")


@contextlib.contextmanager
def own_vip(lab):
    """A proxy has to hold the VIP."""
    lab.lb.ns.ip(f"addr add {VIP[4]}/32 dev lo")
    try:
        yield
    finally:
        lab.lb.ns.ip(f"addr del {VIP[4]}/32 dev lo")


@contextlib.contextmanager
def proxy(lab, name, text, command, ports):
    if not shutil.which(command[0]):
        raise Skip(f"no {command[0]} here")
    with open(lab.path(f"{name}.conf"), "w", encoding="ascii") as file:
        file.write(text)
    with own_vip(lab), program(lab, lab.lb.ns, "taskset", "-c", last_cpu(), *command, name=name) as process:
        wait_until(lambda: process.process.poll() is not None or all(listens(process.pid, p) for p in ports),
                   lambda: f"{name} to listen: {process.said()}")
        if process.process.poll() is not None:
            raise Skip(f"{name} ended: {process.said()[-300:]}")
        yield process


def haproxy(lab, ports):
    """One thread, TCP only; splicing where it thinks it worth it."""
    text = "global\n nbthread 1\n maxconn 4000\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n"
    text += " option splice-auto\n"
    for port in ports:
        text += f"listen p{port}\n bind {VIP[4]}:{port}\n server b {lab.backend_host.address[4]}:{port}\n"
    return proxy(lab, "haproxy", text, ["haproxy", "-db", "-f", lab.path("haproxy.conf")], ports)


def nginx(lab, ports):
    """One worker; stream module."""
    module = "/usr/lib/nginx/modules/ngx_stream_module.so"
    if not os.path.exists(module):
        raise Skip("no nginx stream module here (Debian package libnginx-mod-stream)")
    text = f"load_module {module};\nworker_processes 1;\ndaemon off;\nmaster_process off;\nuser root;\n"
    text += f"pid {lab.path('nginx.pid')};\nerror_log stderr warn;\nevents {{ worker_connections 8000; }}\nstream {{\n"
    for port in ports:
        for listen in (f"{VIP[4]}:{port}", f"{VIP[4]}:{port} udp"):
            text += f" server {{ listen {listen}; proxy_pass {lab.backend_host.address[4]}:{port}; }}\n"
    return proxy(lab, "nginx", text + "}\n", ["nginx", "-c", lab.path("nginx.conf"), "-p", lab.directory], ports)


def last_line(done, what):
    """The JSON a program of ours printed, or the error."""
    if done.returncode != 0:
        raise LabError(f"{what}: exit {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)
