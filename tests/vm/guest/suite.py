# SPDX-License-Identifier: BSD-2-Clause
"""suite.py all|quick|too-old|CASE...: runs the cases inside the guest. What it prints is for tests/vm/run.py:
`ok NAME SECONDS`, `not ok NAME SECONDS: WHY`, `skip NAME SECONDS: WHY`, `fact JSON`, and `# ` before anything else."""
import contextlib
import os
import signal
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]

# pylint: disable=wrong-import-position
import peers
import test_nic  # noqa: F401
import test_traffic  # noqa: F401
import test_trouble  # noqa: F401
import test_veth  # noqa: F401
import vm_lab
from vm_cases import CASES, Guest, Skip

CASE_S = 400  # emulation is slow: 2 to 10 s on a quiet machine, ten times that on one whose CPUs have twenty takers


def say(text):
    for line in text.rstrip("\n").split("\n"):
        sys.__stdout__.write("# " + line + "\n")
    sys.__stdout__.flush()


class Comments:
    """What cases and the daemon's harness print."""

    def write(self, text):
        if text.strip():
            for line in text.rstrip("\n").split("\n"):
                sys.__stdout__.write(line + "\n" if line.startswith(("fact ", "ok ", "not ok ", "skip ")) else "# " + line + "\n")
            sys.__stdout__.flush()
        return len(text)

    def flush(self):
        sys.__stdout__.flush()


def late(*_):
    raise TimeoutError(f"had not ended after {CASE_S} s")


def run_case(case, guest):
    began = time.monotonic()
    signal.alarm(CASE_S)
    try:
        with contextlib.redirect_stdout(Comments()):
            case.function(guest)
        verdict = "ok", ""
    except Skip as why:
        verdict = "skip", str(why)
    except Exception as error:  # pylint: disable=broad-except
        signal.alarm(0)
        say(traceback.format_exc())
        first = (str(error) or type(error).__name__).split("\n")[0]
        verdict = "not ok", first
    finally:
        signal.alarm(0)
    word, why = verdict
    print(f"{word} {case.name} {time.monotonic() - began:.1f}{': ' + why if why else ''}", flush=True)
    return word != "not ok"


def main(arguments):
    signal.signal(signal.SIGALRM, late)
    group = arguments[0] if arguments else "all"
    if group in ("all", "quick"):
        chosen = [c for c in CASES.values() if c.kernels == "served" and (group == "all" or c.quick)]
    elif group == "too-old":
        chosen = [c for c in CASES.values() if c.kernels == "too-old"]
    else:
        chosen = [CASES[name] for name in arguments]
    guest = Guest("/xebec/programs")
    say(f"{len(chosen)} cases, {time.monotonic():.1f} s after the start of the machine")
    if all(c.kernels == "too-old" for c in chosen):
        return 0 if all([run_case(c, guest) for c in chosen]) else 1
    with contextlib.redirect_stdout(Comments()), vm_lab.VmLab() as lab, guest.stack:
        guest.lab = lab
        peers.serve(lab)
        say(f"the lab stands, {time.monotonic():.1f} s after the start of the machine")
        return 0 if all([run_case(c, guest) for c in chosen]) else 1


if __name__ == "__main__":
    try:
        status = main(sys.argv[1:])
    except Exception:  # pylint: disable=broad-except
        say(traceback.format_exc())
        status = 3
    sys.exit(status)
