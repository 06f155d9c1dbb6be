# SPDX-License-Identifier: BSD-2-Clause
"""The virtual machine: QEMU with three multi-queue virtio-net devices, in a network namespace of its own.

     guest                                            namespace xebec-vm-PID
     eth0   the balancer's NIC  ----- tap0 (queues) ----+
     eth1   clients and backends ---- tap1 (queues) ----+-- br0
     eth2   offloads as they come --- tap2 (queues)         (goes nowhere)

Two devices and not one, so that every packet of a test leaves and enters a real virtio-net queue on both sides of Xebec.
"""
import os
import select
import signal
import subprocess
import time

QUEUES = 4  # of a device
# Without cmpxchg16b: QEMU 7.2 now and then leaves garbage in the flags after it, the trap flag among them, and 6.12 died of #DB
# in __kmalloc_noprof, mostly while booting.
CPU = "max,cx16=off"
# iommu_platform: AF_XDP maps its memory by the DMA API, and virtio-net offers that only then (kernel, virtnet_xsk_pool_enable).
DEVICE = f"virtio-net-pci,mq=on,vectors={2 * QUEUES + 2},iommu_platform=on,disable-legacy=on"
# A driver may refuse native XDP while the device has these; eth2 keeps them, so that a case sees which it is.
NO_OFFLOADS = ",guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off"
# The balancer's NIC spreads by Toeplitz hash, with the driver's key and table (virtio 1.2, 5.1.6.5.7), instead of as QEMU likes. Only
# for who asks: QEMU 7.2 stops reading a queue of the tap for good when its frame is another queue's by hash and that one has no buffer
# yet, as while the driver fills them one by one.
RSS = ",rss=on"


# cryptomgr.notests: what 7.3 asks of its own ciphers at boot is a second of the emulator's CPU of 13. The stall detector says only
# that the host had other work: an emulated CPU that gets none for 21 s is none of ours.
COMMAND_LINE = ("console=ttyS0 loglevel=5 panic=-1 mitigations=off net.ifnames=0 no_timer_check cryptomgr.notests "
                "rcupdate.rcu_cpu_stall_suppress=1 rdinit=/init xebec=")


class Machine:
    """Boots on entry, is gone on exit. lines() are what the guest's suite says."""

    def __init__(self, kernel, initramfs, console, arguments=(), rss=False):
        self.kernel, self.initramfs, self.console = kernel, initramfs, console
        self.arguments, self.rss = arguments, rss
        self.namespace = f"xebec-vm-{os.getpid()}"
        self.process = None

    def __enter__(self):
        remove_leftovers()
        _ip("netns", "add", self.namespace)
        try:
            self._wire()
            self.process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=subprocess.STDOUT, start_new_session=True)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        _ip("netns", "delete", self.namespace, check=False)

    def _wire(self):
        lines = ["link add br0 mtu 9200 type bridge mcast_snooping 0", "link set br0 up"]
        for i in range(3):
            lines += [f"tuntap add tap{i} mode tap multi_queue vnet_hdr", f"link set tap{i} mtu 9200 up"]
        lines += ["link set tap0 master br0", "link set tap1 master br0"]
        # No addresses: a router solicitation of the host's would be a packet that no test sent.
        quiet = "for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 > $f; done"
        subprocess.run(["ip", "netns", "exec", self.namespace, "sh", "-c", quiet], check=True)
        subprocess.run(["ip", "-n", self.namespace, "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True)

    def _command(self):
        command = ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", self.namespace, "qemu-system-x86_64",
                   "-M", "q35", "-cpu", CPU, "-accel", "tcg", "-smp", "2",
                   "-m", "1536", "-nodefaults", "-display", "none", "-monitor", "none", "-no-reboot",
                   "-kernel", self.kernel.vmlinuz, "-initrd", self.initramfs,
                   "-append", COMMAND_LINE + ",".join(self.arguments),
                   "-serial", f"file:{self.console}", "-serial", "stdio", "-device", "virtio-rng-pci"]
        for i in range(3):
            command += ["-netdev", f"tap,id=n{i},ifname=tap{i},script=no,downscript=no,queues={QUEUES},vhost=off",
                        "-device", f"{DEVICE},netdev=n{i},mac=02:00:00:00:76:{i:02d}" +
                        (NO_OFFLOADS if i != 2 else "") + (RSS if self.rss and i == 0 else "")]
        return command

    def cpu_s(self):
        """Seconds of CPU that the emulator has used: what a case costs, however busy the machine is."""
        try:
            with open(f"/proc/{self.process.pid}/stat", encoding="ascii", errors="replace") as f:
                fields = f.read().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            return 0.0

    def lines(self, deadline_s):
        """Whole lines, as they come, until the machine ends. TimeoutError if that takes too long."""
        end, buffer = time.monotonic() + deadline_s, b""
        while True:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise TimeoutError(f"the guest had not finished after {deadline_s:.0f} s")
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            if not data:
                return
            buffer += data
            *whole, buffer = buffer.split(b"\n")
            for line in whole:
                yield line.decode("utf-8", "replace").rstrip("\r")


def _ip(*arguments, check=True):
    subprocess.run(["ip", *arguments], check=check, stderr=None if check else subprocess.DEVNULL)


def remove_leftovers():
    """Namespaces of runs whose process is dead."""
    for name in sorted(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else []:
        pid = name.removeprefix("xebec-vm-")
        if pid != name and pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            _ip("netns", "delete", name, check=False)
