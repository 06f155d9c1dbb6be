# SPDX-License-Identifier: BSD-2-Clause
"""The list of end-to-end cases, and what a case is given."""
import os

import daemon
import lab
from lab import LabError

CASES = {}


class Case:
    def __init__(self, name, function, timeout_s, slow):
        self.name, self.function, self.timeout_s, self.slow = name, function, timeout_s, slow


def add(name, function, timeout_s=60, slow=False):
    """slow: left out by `scripts/test --quick`."""
    if name in CASES:
        raise ValueError(f"two cases named {name}")
    CASES[name] = Case(name, function, timeout_s, slow)


def case(timeout_s=60, slow=False):
    def register(function):
        add(function.__name__, function, timeout_s, slow)
        return function
    return register


class Env:
    """Where the programs under test are."""

    def __init__(self, programs):
        self.programs = programs
        self.decap_object = os.path.join(programs, "tests", "e2e", "decap.bpf.o")

    def lab(self, tunnel=False, **options):
        """tunnel: the fabric is wide enough for an outer header and the backends take it off."""
        if tunnel:
            options = {"mtu": 1600, "decap": self.decap_object, **options}
        return lab.Lab(**options)

    def daemon(self, the_lab, settings=None, **options):
        return daemon.Daemon(the_lab, self.programs, settings or daemon.config(the_lab, **options))

    def seconds(self, default):
        """How long a throughput case runs: XEBEC_E2E_SECONDS, or its default."""
        return int(os.environ.get("XEBEC_E2E_SECONDS", default))


def expect(condition, what):
    if not condition:
        raise LabError(what() if callable(what) else str(what))


def expect_equal(is_, should, what):
    expect(is_ == should, lambda: f"{what}: is {is_!r}, should be {should!r}")


def expect_served(report, backends, what, slack=0.12):
    """No request failed, and each backend answered its equal share of them, plus or minus `slack` of the whole."""
    expect_equal(report["failed"], 0, f"{what}: failed requests ({report['errors']})")
    expect_equal(sorted(report["share"]), sorted(b.role for b in backends), f"{what}: backends that answered")
    for name, count in report["share"].items():
        share = count / report["requests"]
        expect(abs(share - 1 / len(backends)) <= slack, f"{what}: {name} has {share:.1%} of {report['requests']}")
