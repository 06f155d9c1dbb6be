# SPDX-License-Identifier: BSD-2-Clause
"""What Xebec asks of a driver and a kernel: busy polling, sleeping, options of sockets; and what it says where they have it not."""
import ctypes
import errno
import mmap
import os
import socket
import struct
import time

import peers
from cases import expect, expect_equal
from lab import VIP, run, wait_until
from test_traffic import serve
from vm_cases import Skip, case, fact, queues_of

SETTINGS = ("napi_defer_hard_irqs", "gro_flush_timeout")
SOL_XDP, AF_XDP = 283, 44


def settings_of(interface):
    values = {}
    for name in SETTINGS:
        with open(f"/sys/class/net/{interface}/{name}", encoding="ascii") as f:
            values[name] = f.read().strip()
    return values


@case(quick=True)
def busy_polls_with_a_napi_id_and_puts_the_settings_back(guest):
    before = settings_of("eth0")
    with guest.daemon(poll="busy", cpus=[1]) as running:  # the other CPU is for clients and backends
        queues = queues_of(running)
        at_once = guest.since(6, 14)  # the kernel knows the NAPI of a socket when it is bound; before, a packet tells it
        expect_equal({q["poll"] for q in queues}, {"busy" if at_once else "adaptive"}, "polling before the first packet")
        if at_once:
            expect_equal({q["bind"] for q in queues}, {"zerocopy"}, "bind")
            expect_equal({q["poll_why"] for q in queues}, {""}, "why polling is not busy")
        else:
            expect(all("busy polling begins with a packet" in q["poll_why"] for q in queues), queues)
            expect_equal(running.said().count("busy polling begins with a packet"), 4, "warnings")
            expect_equal(settings_of("eth0"), before, "NAPI settings before the first packet")
        serve(guest)
        wait_until(lambda: {q["poll"] for q in queues_of(running)} == {"busy"}, lambda: f"busy polling: {queues_of(running)}", 5)
        ids = {q["napi_id"] for q in queues_of(running)}
        expect(0 not in ids and len(ids) == 4, f"NAPI ids: {ids}")
        expect_equal(settings_of("eth0"), {"napi_defer_hard_irqs": "2", "gro_flush_timeout": "200000"}, "NAPI settings")

        def sleeps():
            return [w["loop"]["sleeps"] for w in running.ask("worker", "list")["workers"]]
        slept = [0] * 4 if at_once else sleeps()
        for family in (4, 6):
            expect_equal(peers.http(guest.lab, family, 16, concurrency=16)["errors"], {}, f"HTTP over IPv{family}, polled")
        again = [now - then for now, then in zip(sleeps(), slept)]
        # One may have been about to sleep when it was told to poll.
        expect(max(again) <= (0 if at_once else 1), f"sleeps of workers that poll: {again}")
        fact("busy poll", "yes" if at_once else "yes: late", f"NAPI ids {sorted(ids)}{'' if at_once else ', from the first packets'}")
    expect_equal(settings_of("eth0"), before, "NAPI settings after the daemon")


@case()
def sleeps_when_idle_and_is_woken_by_packets(guest):
    with guest.daemon(poll="interrupt") as running:
        def rounds():
            return sum(w["loop"]["rounds"] for w in running.ask("worker", "list")["workers"])
        serve(guest)
        running.lab.end_clients()
        wait_until(lambda: all(w["asleep"] for w in running.ask("worker", "list")["workers"]), "all workers to sleep")
        first, began = rounds(), time.monotonic()
        time.sleep(2)  # the span that is measured, not a wait for something
        idle = (rounds() - first) / (time.monotonic() - began)
        # 5 a second and worker by the heartbeat, and what neighbours ask.
        expect(idle < 200, f"{idle:.0f} rounds a second without a packet")
        serve(guest)
        fact("need_wakeup", "yes", f"{idle:.0f} rounds a second when idle")


@case(quick=True)
def sockets_take_what_this_kernel_has(guest):
    with socket.socket(AF_XDP, socket.SOCK_RAW) as plain:
        try:
            plain.setsockopt(SOL_XDP, 9, struct.pack("I", 256))  # XDP_MAX_TX_SKB_BUDGET
        except OSError as error:
            # A socket without a transmit ring may not have it yet (EACCES); an old kernel does not know the name.
            expect(error.errno in (errno.ENOPROTOOPT, errno.EACCES), f"XDP_MAX_TX_SKB_BUDGET: {error}")
            budget = error.errno == errno.EACCES
    expect_equal(budget, guest.since(6, 17), "XDP_MAX_TX_SKB_BUDGET is there")
    fact("XDP_MAX_TX_SKB_BUDGET", "yes" if budget else "no", "set on every socket" if budget else "the kernel's 32 a call stay")
    metadata = umem_takes_metadata()
    expect_equal(metadata, guest.since(6, 8), "XDP_UMEM_TX_METADATA_LEN is there")
    fact("TX metadata", "kernel only" if metadata else "no", "Xebec does not use it")


def umem_takes_metadata():
    """Whether a UMEM with room for transmit metadata can be registered. Kernels before 6.8 know neither flag nor length, and
    before 6.11 the length needs no flag (linux/if_xdp.h)."""
    with socket.socket(AF_XDP, socket.SOCK_RAW) as plain, mmap.mmap(-1, 16 * 4096) as memory:
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        # struct xdp_umem_reg: addr, len, chunk_size, headroom, flags, tx_metadata_len
        try:
            plain.setsockopt(SOL_XDP, 4, struct.pack("QQIIII", address, 16 * 4096, 4096, 0, 1 << 2, 16))
            return True
        except OSError as error:
            expect_equal(error.errno, errno.EINVAL, "XDP_UMEM_REG with metadata")
            return False
        except BufferError:
            return False


@case()
def goes_generic_where_the_driver_refuses_native_and_says_why(guest):
    """eth2 has its offloads as the device comes; old drivers do not switch them off for XDP."""
    lab = guest.lab
    run("ethtool", "-L", "eth2", "combined", "4", check=False)  # so that native XDP adds none
    lab.lb.ns.ip("link set eth2 up")
    settings = {"version": 1, "interfaces": [{"name": "eth2"}], "services": []}
    with guest.daemon(settings=settings) as running:
        row = running.ask("interface", "list")["interfaces"][0]
        if row["xdp"] == "native":
            fact("native XDP with default offloads", "yes")
            raise Skip("the driver of this kernel takes native XDP with its default offloads")
        expect_equal(row["xdp"], "generic", "how the shim is attached")
        expect(row["native_refusal"], "no reason for the refusal")
        expect("generic XDP (slow)" in running.said(), running.said())
        expect_equal({q["bind"] for q in row["queues"]}, {"copy"}, "bind")
        fact("native XDP with default offloads", "no", row["native_refusal"])


@case(kernels="too-old")
def refuses_a_kernel_that_is_too_old_at_once_and_names_what_is_missing(guest):
    run("ip", "link", "set", "eth0", "up")
    with open("/tmp/xebec.json", "w", encoding="ascii") as f:
        f.write('{"version": 1, "interfaces": [{"name": "eth0"}], "services": [{"name": "a", "vip": "%s", "port": 80, '
                '"protocol": "tcp", "backends": []}]}' % VIP[4])
    began = time.monotonic()
    done = run(os.path.join(guest.programs, "xebecd"), "--foreground", "-c", "/tmp/xebec.json", "--socket", "/tmp/x.sock", check=False)
    took = time.monotonic() - began
    print(done.stdout + done.stderr)
    expect_equal(done.returncode, 6, "exit code")
    expect("is too old: it lacks bpf_ktime_get_coarse_ns, which Linux has from 5.11 on" in done.stderr, "named no feature")
    expect("xdp" not in run("ip", "-j", "link", "show", "eth0").stdout, "the interface was touched")
    expect(took < 1.0, f"took {took:.2f} s")
    fact("refusal", "clean", f"{took:.2f} s under emulation")
