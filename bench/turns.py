# SPDX-License-Identifier: BSD-2-Clause
"""Turns: several ways for a packet measured one after the other, again and again (A B C A B C), and the rows that say
how they compare. A suite says which rows it can make; only what those that were asked for need is ever started.

A virtual machine whose host takes CPU time from it measures the host. A figure during which that happened is taken again,
and if no try is calm, the calmest counts and its row says how much was stolen."""
import argparse
import json
import os
import statistics
import sys
import time
from typing import NamedTuple, Optional

from fabric import LabError
from machine_time import stolen_seconds

CALM = 0.03  # of the machine's CPU time may be stolen
TRIES, PAUSE = 4, 3  # for a calm one, with so many seconds between them: who is asked for less is stolen from less


class Skip(Exception):
    """A way that cannot be taken here; its text says why."""


class Figure(NamedTuple):
    """What is measured: on which way, in which case, and what of that measurement."""
    way: str
    case: str
    metric: str


class Spec(NamedTuple):
    """A row: ours beside the peer's. target: for ours / peer, reached from above if more is better, else from below."""
    name: str
    unit: str
    ours: Figure
    peer: Optional[Figure] = None
    target: Optional[float] = None
    more_is_better: bool = True


def note(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def progress(text):
    if sys.stderr.isatty():
        note(f"{text} ...")


def options_of(what):
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--programs", default="build/bench", help="the build whose programs are run")
    parser.add_argument("--quick", action="store_true", help="3 short turns instead of 5 longer ones")
    parser.add_argument("--only", default="", metavar="TEXT", help="only rows with TEXT in their name")
    parser.add_argument("--list", action="store_true", help="name the rows and measure nothing")
    options = parser.parse_args()
    options.turns = 3 if options.quick else 5
    return options


def spread(values):
    middle = statistics.median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


def rounded(value):
    return None if value is None else float(f"{value:.4g}")


def row(spec, ours, peer, stolen):
    """The line of JSON. ours, peer: lists of figures; peer may be None. stolen: the worst share of the machine's time."""
    middle = statistics.median(ours)
    other = statistics.median(peer) if peer else None
    ratio = middle / other if other else None
    met = None
    if spec.target is not None and ratio is not None:
        met = ratio >= spec.target if spec.more_is_better else ratio <= spec.target
    return {"bench": spec.name, "ours": rounded(middle), "peer": rounded(other), "unit": spec.unit,
            "ratio": rounded(ratio), "spread": rounded(max(spread(v) for v in (ours, peer) if v)),
            "stolen": rounded(stolen), "target": spec.target, "met": met}


def wanted(specs, options):
    return [s for s in specs if options.only in s.name]


def needs(specs):
    """{way: [case, ...]} of what the rows are made from, in the order they name it."""
    found = {}
    for spec in specs:
        for figure in (spec.ours, spec.peer):
            if figure:
                cases = found.setdefault(figure.way, [])
                if figure.case not in cases:
                    cases.append(figure.case)
    return found


def take_turns(specs, options, start, measure, tries):
    """start(way): a context manager of the way, or Skip. measure(running, way, case): {metric: figure}, or Skip; called up to
    `tries` times for a calm figure. Returns {Figure: [values]}, {(way, case): the worst share stolen}, and the ways that
    failed: what was wrong or not to be had once counts for nothing, whatever came before."""
    values, stolen, skipped, failed = {}, {}, set(), set()
    for turn in range(options.turns):
        for way in needs(specs):
            # A row that lost one side is no reason any more to measure the other.
            cases = needs(s for s in specs if not lost(s, skipped)).get(way)
            if not cases:
                continue
            progress(f"turn {turn + 1} of {options.turns}: {way}: {', '.join(cases)}")
            try:
                with start(way) as running:
                    for case in cases:
                        one_case(values, stolen, skipped, way, case, tries, lambda w=way, c=case, r=running: measure(r, w, c))
            except Skip as why:
                note(f"{way}: skipped: {why}")
                skipped.add(way)
            except LabError as error:
                note(f"{way}: error: {error}")
                skipped.add(way)
                failed.add(way)
    whole = {figure: found for figure, found in values.items() if len(found) == options.turns and figure.way not in failed}
    return whole, stolen, failed


def lost(spec, skipped):
    return any(f and (f.way in skipped or (f.way, f.case) in skipped) for f in (spec.ours, spec.peer))


def one_case(values, stolen, skipped, way, case, tries, measure):
    try:
        share, figures = calmest(measure, tries)
    except Skip as why:
        note(f"{way}, {case}: skipped: {why}")
        skipped.add((way, case))
        return
    if tries > 1:  # else it is of no time that measure() takes
        stolen[way, case] = max(share, stolen.get((way, case), 0))
    for metric, value in figures.items():
        values.setdefault(Figure(way, case, metric), []).append(value)


def calmest(measure, tries):
    """(share of the machine's CPU time that was stolen meanwhile, what measure() returned)"""
    found = []
    while not found or (found[-1][0] > CALM and len(found) < tries):
        if found:
            time.sleep(PAUSE)
        begin, before = time.monotonic(), stolen_seconds()
        try:
            figures = measure()
        except Skip:
            if not found:
                raise
            break
        found.append(((stolen_seconds() - before) / (time.monotonic() - begin) / os.cpu_count(), figures))
    return min(found, key=lambda one: one[0])


def print_rows(specs, values, stolen):
    for spec in specs:
        ours, peer = values.get(spec.ours), values.get(spec.peer) if spec.peer else None
        if ours and (peer or not spec.peer):
            worst = max((stolen[f.way, f.case] for f in (spec.ours, spec.peer) if f and (f.way, f.case) in stolen), default=None)
            print(json.dumps(row(spec, ours, peer, worst), separators=(",", ":")), flush=True)


def run(what, specs, fabric, starter, measure, tries=TRIES):
    """The main of a suite. fabric(options): the lab, a context manager; starter(lab, options): start() of take_turns;
    measure(lab, options, running, way, case), up to `tries` times for a calm figure."""
    options = options_of(what)
    chosen = wanted(specs(options), options)
    if options.list or not chosen:
        for spec in chosen:
            print(spec.name)
        return 0
    try:
        with fabric(options) as lab:
            values, stolen, failed = take_turns(chosen, options, starter(lab, options),
                                                lambda running, way, case: measure(lab, options, running, way, case), tries)
    except LabError as error:
        note(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        note("interrupted; cleaned up")
        return 130
    print_rows(chosen, values, stolen)
    return 1 if failed else 0
