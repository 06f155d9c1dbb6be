# SPDX-License-Identifier: BSD-2-Clause
"""The list of cases of the guest's suite, and what a case is given."""
import contextlib
import json

import daemon
import vm_lab
from vm_daemon import VmDaemon
from lab import LabError

CASES = {}


class Skip(Exception):
    """The case does not apply to this kernel, and why."""


class Case:
    def __init__(self, function, quick, kernels, rss):
        self.name, self.function, self.quick, self.kernels, self.rss = function.__name__, function, quick, kernels, rss


def case(quick=False, kernels="served", rss=False):
    """quick: also in `scripts/test-vm --quick`. kernels: "served" or "too-old". rss: in a machine whose eth0 has it."""
    def register(function):
        CASES[function.__name__] = Case(function, quick, kernels, rss)
        return function
    return register


def fact(feature, value, how=""):
    """For the report: what this kernel was seen to do. `value`: "yes", "no", or a word."""
    print("fact " + json.dumps({"feature": feature, "value": value, "how": how}), flush=True)


class Guest:
    """The laboratory, and which kernel it runs on."""

    def __init__(self, programs):
        self.programs = programs
        self.release = vm_lab.kernel_release()
        self.lab = None
        self.veth = None  # the laboratory of test_veth.py, once it is there
        self.stack = contextlib.ExitStack()  # what ends with the suite

    def since(self, *version):
        return self.release >= version

    # virtio-net has zero-copy receive from 6.11 and transmit from 6.14; a bind wants both.
    @property
    def has_zerocopy(self):
        return self.since(6, 14)

    @property
    def has_multi_frame(self):
        return self.since(6, 6)  # XDP_USE_SG

    def daemon(self, mode="dsr-l2", poll="adaptive", xdp="auto", settings=None, **interface):
        settings = settings or daemon.config(self.lab, mode=mode, poll=poll, xdp=xdp)
        settings["interfaces"][0].update(interface)
        settings.setdefault("defaults", {"table_size": 1021})  # made in a hundredth of the time
        return VmDaemon(self.lab, self.programs, settings)


def queues_of(running, index=0):
    return running.ask("interface", "list")["interfaces"][index]["queues"]


__all__ = ["CASES", "Guest", "LabError", "Skip", "case", "fact", "queues_of"]
