# SPDX-License-Identifier: BSD-2-Clause
"""The daemon as an operator and systemd run it: start, stop, restart; the notify socket; a user instead of root; rights."""
import contextlib
import ctypes
import json
import os
import pwd
import re
import signal
import socket

import peers
from cases import case, expect, expect_equal, expect_served
from daemon import config
from lab import run, wait_until

# capabilities(7): the numbers of what the control thread may keep (control/confinement.cc).
KEPT = {1: "DAC_OVERRIDE", 12: "NET_ADMIN", 13: "NET_RAW", 14: "IPC_LOCK", 38: "PERFMON", 39: "BPF"}


def thread_status(pid):
    """Of each thread by its name: the fields of /proc/PID/task/TID/status."""
    threads = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/status", encoding="ascii") as f:
            fields = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        threads.setdefault(fields["Name"], []).append({**fields, "tid": int(tid)})
    return threads


def expect_confined(pid, sanitized):
    threads = thread_status(pid)
    workers = [t for name, ts in threads.items() if name.startswith("xebec-w") for t in ts]
    expect(workers, f"no worker among {list(threads)}")
    for t in workers:
        for field in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            expect_equal(int(t[field], 16), 0, f"{field} of {t['Name']}")
        if not sanitized:
            expect_equal(t["Seccomp"], "2", f"Seccomp of {t['Name']}")
        expect_equal(t["NoNewPrivs"] if not sanitized else "1", "1", f"NoNewPrivs of {t['Name']}")
    allowed = sum(1 << bit for bit in KEPT)
    control = next(t for ts in threads.values() for t in ts if t["tid"] == pid)
    for field in ("CapPrm", "CapEff", "CapAmb"):
        expect_equal(int(control[field], 16) & ~allowed, 0, f"{field} of the control thread beyond {sorted(KEPT.values())}")
    expect(int(control["CapEff"], 16) & (1 << 12), "the control thread has no CAP_NET_ADMIN left")


@case()
def threads_keep_no_right_that_they_do_not_need(env):
    """And what they keep is enough: traffic by both transmit engines, a reload, a change by the API."""
    with env.lab(queues=2) as lab:
        peers.serve(lab)
        with env.daemon(lab) as daemon:
            expect_confined(daemon.pid, "sanitizers" in daemon.said())
            expect_served(peers.http(lab, 4, 400), lab.backends, "HTTP")
            settings = config(lab)
            del settings["services"][0]
            daemon.write(settings)
            daemon.reload()
            daemon.ask("service", "add", "more", "203.0.113.77:80/tcp")
            expect_served(peers.http(lab, 6, 200), lab.backends, "HTTP after the changes")
            expect_confined(daemon.pid, "sanitizers" in daemon.said())


@case(timeout_s=90)
def starts_stops_and_restarts_by_the_tool(env):
    with env.lab() as lab:
        peers.serve(lab)
        daemon = env.daemon(lab)
        tool = os.path.abspath(os.path.join(env.programs, "xebec"))
        where = ["--socket", daemon.socket]

        def say(*arguments, code=0):
            done = lab.lb.ns.run(tool, "-j", *where, *arguments, check=False)
            expect_equal(done.returncode, code, f"exit code of xebec {arguments} ({done.stdout}{done.stderr})")
            return json.loads(done.stdout) if done.stdout else done.stderr

        def served(when):
            # The neighbours of a daemon that has just started are still being asked.
            wait_until(lambda: run(tool, *where, "status", check=False).returncode == 0, f"health {when}", 20)
            expect_served(peers.http(lab, 4, 200), lab.backends, when)

        expect_equal(say("stop")["state"], "not running", "stop without a daemon")
        log = "file:" + lab.path("xebecd.log")
        started = say("start", "-c", daemon.file, "--log", log)
        pid = started["pid"]
        try:
            expect_equal(started["state"], "started", "start")
            expect_equal(os.readlink(f"/proc/{pid}/exe"), os.path.abspath(os.path.join(env.programs, "xebecd")), "what runs")
            served("after the start")
            again = say("start", "-c", daemon.file)
            expect_equal((again["state"], again["pid"]), ("running already", pid), "a second start")

            settings = config(lab)
            daemon.write("{ broken")
            refused = say("restart", code=3)
            expect("nothing was stopped" in refused, f"does not say that it goes on: {refused}")
            served("after a restart that was refused")
            daemon.write({**settings, "interfaces": [{"name": "eth0"}, {"name": "eth9"}]})  # a good file, for another machine
            refused = say("restart", code=3)
            expect("no such interface: eth9; nothing was stopped" in refused, f"what is missing: {refused}")
            served("after a restart for an interface that is not there")
            elsewhere = run(tool, *where, "restart", check=False)
            expect_equal(elsewhere.returncode, 6, f"restart from another network namespace ({elsewhere.stderr})")
            daemon.write(settings)
            say("reload")

            restarted = say("restart")
            expect(restarted["pid"] != pid, "it is the old process")
            wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the old process to be gone", 20)
            pid = restarted["pid"]
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                line = f.read().decode().split("\0")
            expect(daemon.file in line and log in line, f"started with other arguments: {line}")
            served("after the restart")

            os.kill(pid, signal.SIGSTOP)
            late = say("stop", "--wait", "0.2", code=7)
            expect(str(pid) in late, f"does not name the process: {late}")
            os.kill(pid, signal.SIGCONT)
            wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the stop that was asked for", 20)
            pid = say("start", "-c", daemon.file, "--log", log)["pid"]
            expect_equal(say("stop")["pid"], pid, "who was stopped")
            # Ended it has; whose child it was takes note of that when it gets to it.
            wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the process to be gone", 20)
            expect_equal(daemon.attached(), None, "XDP on the interface")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        daemon.write("{ broken")
        expect("nothing" not in say("start", "-c", daemon.file, code=3), "a start that fails")
        say("start", "-c", lab.path("absent.json"), code=3)


class NotifySocket:
    """What systemd hears of the daemon."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)
        self.heard = []

    def listen(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard += self.socket.recv(4096).decode().split("\n")
        return self.heard

    def wait_for(self, line, what):
        wait_until(lambda: any(h.startswith(line) for h in self.listen()), lambda: f"{what}: {line} in {self.heard}", 20)

    def pings(self):
        heard = self.listen().count("WATCHDOG=1")
        self.heard = [h for h in self.heard if h != "WATCHDOG=1"]
        return heard


@contextlib.contextmanager
def held(tid):
    """One thread, and no other, stands still: ptrace(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    seize, interrupt, detach = 0x4206, 0x4207, 17
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    expect_equal(libc.ptrace(seize, tid, None, None), 0, "PTRACE_SEIZE")
    expect_equal(libc.ptrace(interrupt, tid, None, None), 0, "PTRACE_INTERRUPT")
    os.waitpid(tid, 0x40000000)  # __WALL
    try:
        yield
    finally:
        libc.ptrace(detach, tid, None, None)


@case()
def tells_systemd_how_it_is_and_lives_only_while_every_worker_moves(env):
    with env.lab(queues=2) as lab:
        systemd = NotifySocket(lab.path("notify"))
        daemon = env.daemon(lab)
        command = ["env", f"NOTIFY_SOCKET={lab.path('notify')}", "WATCHDOG_USEC=900000", *daemon.command()]
        daemon.process = peers.Process(lab, lab.lb.ns, *command)
        systemd.wait_for("READY=1", "the start")
        systemd.wait_for("STATUS=healthy", "its state")
        wait_until(systemd.pings, "the watchdog's ping")
        with open(f"/proc/{daemon.pid}/environ", "rb") as f:
            expect(b"NOTIFY_SOCKET" in f.read(), "what is looked at is not the daemon")

        settings = config(lab)
        del settings["services"][0]
        daemon.write(settings)
        daemon.reload()
        systemd.wait_for("RELOADING=1", "the reload")
        expect(systemd.listen().index("RELOADING=1") < len(systemd.heard) - 1 - systemd.heard[::-1].index("READY=1"),
               f"no READY behind the reload: {systemd.heard}")

        worker = thread_status(daemon.pid)["xebec-w1"][0]["tid"]
        with held(worker):
            # One ping may be on its way for a round that went before.
            def silent():
                systemd.pings()
                with contextlib.suppress(TimeoutError):
                    systemd.socket.settimeout(1.5)
                    systemd.heard += systemd.socket.recv(4096).decode().split("\n")
                systemd.socket.setblocking(False)
                return systemd.pings() == 0
            wait_until(silent, "the pings to cease while a worker stands still", 20)
        wait_until(systemd.pings, "pings after the worker goes on")
        daemon.stop()
        systemd.wait_for("STOPPING=1", "the stop")


@case()
def runs_as_a_user_and_lets_only_some_change_things(env):
    """With the capabilities of the unit and nothing of root. Who may not write is told so, and changes nothing."""
    with env.lab() as lab:
        peers.serve(lab)
        nobody = pwd.getpwnam("nobody")
        daemon = env.daemon(lab)
        place = lab.path("run")
        os.mkdir(place)
        os.chmod(lab.directory, 0o755)
        os.chown(place, nobody.pw_uid, nobody.pw_gid)
        daemon.socket = os.path.join(place, "xebec.sock")
        capabilities = "+bpf,+net_admin,+net_raw,+perfmon,+ipc_lock"
        numbers = capabilities.replace("perfmon", "cap_38").replace("bpf", "cap_39")  # setpriv may be older than they are
        as_user = ["setpriv", "--reuid=nobody", f"--regid={nobody.pw_gid}", "--clear-groups", f"--inh-caps=-all,{numbers}",
                   f"--ambient-caps=-all,{numbers}", f"--bounding-set=-all,{numbers}", "--no-new-privs"]
        copy = os.path.join(place, "xebecd")  # the build may be where only root gets
        run("cp", os.path.join(env.programs, "xebecd"), copy)
        os.chmod(copy, 0o755)
        daemon.process = peers.Process(lab, lab.lb.ns, *as_user, copy, *daemon.command()[1:], "--state-dir", place)
        wait_until(daemon.ready, lambda: f"xebecd to be healthy: {daemon.problems()}\n{daemon.said()}", 20)
        status = thread_status(daemon.pid)["xebecd"][0]
        expect_equal(status["Uid"].split()[1], str(nobody.pw_uid), "its user")
        expect_confined(daemon.pid, "sanitizers" in daemon.said())
        expect_served(peers.http(lab, 4, 400), lab.backends, "HTTP")

        expect_equal(oct(os.stat(daemon.socket).st_mode & 0o777), "0o660", "mode of the socket")
        # A member of the socket's group: looks, and may not change. The socket's file lets it in, the daemon knows its user.
        os.chmod(daemon.socket, 0o666)
        curl = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "curl", "-sS", "--max-time", "10", "--unix-socket",
                daemon.socket, "-w", "\n%{http_code}"]
        body, code = run(*curl, "http://x/v1/services").stdout.rsplit("\n", 1)
        expect_equal((code, json.loads(body)["schema"]), ("200", "xebec.service-list/1"), "looking")
        before = daemon.generation()
        for method, path in [("POST", "/v1/reload"), ("DELETE", "/v1/services/web4"), ("PUT", "/v1/config"), ("POST", "/v1/services")]:
            body, code = run(*curl, "-X", method, "-d", "{}", f"http://x{path}").stdout.rsplit("\n", 1)
            expect_equal((code, json.loads(body)["error"]["code"]), ("403", "permission"), f"{method} {path}")
        expect_equal(daemon.generation(), before, "generation")
        expect(re.search(r"DELETE /v1/services/web4 by uid 12345 pid \d+: 403", daemon.said()), f"the log tells nothing:\n{daemon.said()}")
        daemon.ask("service", "delete", "web6")  # root may
        daemon.expect_conservation()
        daemon.stop()


@case()
def second_signal_to_stop_ends_it_at_once(env):
    """While the first waits for a worker that does not move."""
    with env.lab() as lab:
        daemon = env.daemon(lab)
        daemon.start()
        worker = next(t["tid"] for name, ts in thread_status(daemon.pid).items() if name.startswith("xebec-w") for t in ts)
        with held(worker):
            daemon.signal(signal.SIGTERM)
            wait_until(lambda: "stopping" in daemon.said(), "the first signal to be heard")
            daemon.signal(signal.SIGTERM)
            os.waitpid(worker, 0x40000000)  # __WALL: a thread that is traced is its tracer's to bury
            wait_until(lambda: daemon.process.process.poll() is not None, "the end", 5)
        expect_equal(daemon.process.process.returncode, 1, "exit code")
        expect("for the second time: ending at once" in daemon.said(), f"the log does not tell:\n{daemon.said()}")
        expect_equal(daemon.attached(), None, "XDP on the interface")
