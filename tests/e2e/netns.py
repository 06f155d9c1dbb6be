# SPDX-License-Identifier: BSD-2-Clause
"""A network namespace of the lab: made, entered, watched and removed.

Names are xebec-PID-ROLE, so that what a killed run left behind is known by its dead PID and removed by the next one.
A demo that was asked to stay is named xebec-demo-ROLE and is left alone.
"""
import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_RUN = "/run/netns"

# Deadlines are for a machine of one's own; emulation (tests/vm) multiplies them.
PATIENCE = 1.0


class LabError(AssertionError):
    """The lab itself, or what it observes, is not as it must be."""


def wait_until(condition, what, deadline_s=10.0, every_s=0.02):
    """Polls until condition() is true-ish and returns that; what it waited for is in the error."""
    deadline_s *= PATIENCE
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise LabError(f"waited {deadline_s:g} s in vain: {what() if callable(what) else what}")
        time.sleep(every_s)


def run(*command, check=True, timeout=60, stdin=None):
    """Runs a command to its end; its output is in the error if it fails."""
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout * PATIENCE, check=False)
    except subprocess.TimeoutExpired as late:
        raise LabError(f"{' '.join(command)}: did not end within {timeout * PATIENCE:g} s\n{late.stdout}\n{late.stderr}") from None
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


class Namespace:
    """One `ip netns`. Commands run inside it see their own /sys and a bpffs."""

    def __init__(self, name, survive=False):
        self.name = name
        # Children die with the process that made them, kill -9 included, unless they are to survive it.
        self._leash = [] if survive else ["setpriv", "--pdeathsig", "KILL"]
        run("ip", "netns", "add", name)
        self.ip("link set lo up")

    def ip(self, *lines):
        """Runs `ip` commands, one a line."""
        run("ip", "-n", self.name, "-batch", "-", stdin="\n".join(lines) + "\n")

    def inside(self, command):
        """The words that run a command in here."""
        # `ip netns exec` mounts a new /sys and with it loses the bpffs; the mount namespace is the command's own.
        script = 'mount -t bpf bpf /sys/fs/bpf && exec "$@"'
        return ["ip", "netns", "exec", self.name, "sh", "-c", script, "sh", *command]

    def run(self, *command, **options):
        return run(*self.inside(command), **options)

    def start(self, *command, **options):
        """Starts a command in the background. The Popen's pid is the command's own: everything before it execs."""
        return subprocess.Popen([*self._leash, *self.inside(command)], start_new_session=True, **options)

    @contextlib.contextmanager
    def entered(self):
        """This thread's network is the namespace's inside the block: for sockets, /proc/sys/net, /proc/thread-self/net."""
        with open("/proc/thread-self/ns/net", "rb") as home, open(f"{_RUN}/{self.name}", "rb") as there:
            _setns(there)
            try:
                yield
            finally:
                _setns(home)

    def socket(self, *args):
        with self.entered():
            return socket.socket(*args)

    def sysctl(self, **settings):
        """sysctl(net__ipv4__ip_forward=1): a double underscore stands for the slash."""
        with self.entered():
            for key, value in settings.items():
                path = "/proc/sys/" + key.replace("__", "/").replace("bridge_nf_call_", "bridge-nf-call-")
                with open(path, "w", encoding="ascii") as f:
                    f.write(str(value))

    def snmp(self):
        """The kernel's own counters: {"Ip.InHdrErrors": 0, "Udp6InErrors": 0, ...}."""
        out = {}
        with self.entered():
            with open("/proc/thread-self/net/snmp", encoding="ascii") as f:
                lines = f.read().splitlines()
            with open("/proc/thread-self/net/snmp6", encoding="ascii") as f:
                out.update({k: int(v) for k, v in (line.split() for line in f)})
        for names, values in zip(lines[::2], lines[1::2]):
            group, *keys = names.split()
            out.update({group.rstrip(":") + "." + k: int(v) for k, v in zip(keys, values.split()[1:])})
        return out

    def pids(self):
        done = run("ip", "netns", "pids", self.name, check=False)
        return [int(p) for p in done.stdout.split()]

    def remove(self):
        remove(self.name)


def _setns(file):
    if _libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def listed():
    return sorted(os.listdir(_RUN)) if os.path.isdir(_RUN) else []


def remove(name, grace_s=3.0):
    """Ends what still runs in a namespace of the lab, by pid, and deletes it."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        end = time.monotonic() + grace_s
        pids = [int(p) for p in run("ip", "netns", "pids", name, check=False).stdout.split()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, sig)
        while pids and time.monotonic() < end:
            pids = [p for p in pids if _running(p)]
            time.sleep(0.01)
    run("ip", "netns", "delete", name, check=False)


def _running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _is_lab(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return b"tests/e2e/" in f.read()
    except (FileNotFoundError, ProcessLookupError):
        return False


def remove_leftovers():
    """Removes the namespaces and directories of runs that are dead. Returns their names."""
    dead = [n for n in listed() if (m := re.fullmatch(r"xebec-(\d+)-\w+", n)) and not _is_lab(int(m[1]))]
    for name in dead:
        remove(name)
    directories = [d for d in os.listdir(tempfile.gettempdir())
                   if (m := re.fullmatch(r"xebec-(\d+)-\w+", d)) and not _is_lab(int(m[1]))]
    for name in directories:
        shutil.rmtree(os.path.join(tempfile.gettempdir(), name), ignore_errors=True)
    return dead + directories
