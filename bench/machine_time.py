# SPDX-License-Identifier: BSD-2-Clause
"""CPU time of the whole machine, from /proc/stat: what a packet's way costs in softirqs is no process's, and what the
hypervisor takes for its other guests nobody here has used."""
import os

FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


def seconds(*fields):
    """CPU seconds since boot of these fields, of all CPUs together."""
    with open("/proc/stat", encoding="ascii") as stat:
        _, *ticks = stat.readline().split()  # the line of all CPUs
    return sum(int(ticks[FIELDS.index(field)]) for field in fields) / os.sysconf("SC_CLK_TCK")


def busy_seconds():
    return seconds("user", "nice", "system", "irq", "softirq")


def stolen_seconds():
    return seconds("steal")
