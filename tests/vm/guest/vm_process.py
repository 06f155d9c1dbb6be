# SPDX-License-Identifier: BSD-2-Clause
"""Namespaces of a guest: entered without a shell, and peers forked instead of started. An emulated CPU needs seconds to start a
Python and read its modules; ours has them all."""
import os
import signal
import subprocess
import sys
import time
import traceback

import netns
import peer
from netns import Namespace


class GuestNamespace(Namespace):
    """Commands find the guest's own /sys and bpffs: none of those that run here needs the namespace's."""

    def run(self, *command, **options):
        with self.entered():
            return netns.run(*command, **options)

    def start(self, *command, **options):
        if os.path.basename(command[1]) == "peer.py":
            return Forked(self, command[1:], options["stderr"])
        with self.entered():
            return subprocess.Popen([*self._leash, *command], start_new_session=True, **options)


class Forked:
    """peer.py in a child of this process, with the manners of a Popen whose stdin and stdout are pipes."""

    def __init__(self, namespace, arguments, stderr):
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        with namespace.entered():
            self.pid = os.fork()
            if self.pid == 0:
                self._live(arguments, theirs_in, theirs_out, stderr.fileno())
        os.close(theirs_in)
        os.close(theirs_out)
        self.stdin, self.stdout = os.fdopen(ours_in, "wb"), os.fdopen(ours_out, "rb")
        self.returncode = None

    @staticmethod
    def _live(arguments, stdin, stdout, stderr):
        status = 1
        try:
            for target, fd in enumerate((stdin, stdout, stderr)):
                os.dup2(fd, target)
            os.closerange(3, 1024)  # the ends of other peers' pipes: these would never see theirs closed
            for signum in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
                signal.signal(signum, signal.SIG_DFL)
            sys.stdin, sys.stdout, sys.stderr = (os.fdopen(fd, mode) for fd, mode in ((0, "r"), (1, "w"), (2, "w")))
            sys.argv = list(arguments)
            peer.ANSWER_S *= netns.PATIENCE
            peer.main()
            status = 0
        except BaseException:  # pylint: disable=broad-except
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout=None):
        end = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("peer.py", timeout)
            time.sleep(0.005)
        return self.returncode

    def send_signal(self, signum):
        if self.poll() is None:
            os.kill(self.pid, signum)

    def kill(self):
        self.send_signal(signal.SIGKILL)
