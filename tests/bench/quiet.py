# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# How quiet the machine was while something was measured: a figure from a busy machine decides nothing.
import os
import resource
import time

LOOK_SECONDS = 2
# A machine at rest runs a tenth of a second of its own in a second at most; each limit is some times what a quiet machine with
# two processors showed.
BUSY_BEFORE_MAX = 0.05
STEAL_MAX = 0.01


def processor_times():
    """(busy, stolen, all) of all processors since boot, in seconds; see proc(5), /proc/stat."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, idle, iowait, irq, softirq, steal = (int(word) for word in file.readline().split()[1:9])
    ticks = os.sysconf("SC_CLK_TCK")
    busy = user + nice + system + irq + softirq
    return busy / ticks, steal / ticks, (busy + idle + iowait + steal) / ticks


class Quiet:
    """Looks at the machine for LOOK_SECONDS when it is made, and at what went on since when report() is called."""

    def __init__(self):
        busy, _, total = processor_times()
        time.sleep(LOOK_SECONDS)
        busy_after, self.steal_begin, self.total_begin = processor_times()
        self.busy_before = (busy_after - busy) / max(self.total_begin - total, 0.01)
        self.load_before = os.getloadavg()[0]
        self.switches_begin = resource.getrusage(resource.RUSAGE_CHILDREN).ru_nivcsw
        self.begin = time.monotonic()

    def report(self):
        _, steal, total = processor_times()
        seconds = time.monotonic() - self.begin
        switches = resource.getrusage(resource.RUSAGE_CHILDREN).ru_nivcsw - self.switches_begin
        report = {"seconds": round(seconds), "load-before": round(self.load_before, 2), "busy-before": round(self.busy_before, 3),
                  "steal": round((steal - self.steal_begin) / max(total - self.total_begin, 0.01), 4),
                  "involuntary-switches-per-second": round(switches / max(seconds, 0.01))}
        report["reasons-against"] = reasons_against(report)
        return report


def reasons_against(report):
    """Why a run with such a report cannot judge; empty when it can. Involuntary switches are no reason: a guest that looks at
    its ring all the time shares two processors with tapdisk and the kernel, and has some thousand a second on a quiet machine."""
    limits = {"busy-before": BUSY_BEFORE_MAX, "steal": STEAL_MAX}
    return [f"{name} is {report[name]}, at most {limit} is quiet" for name, limit in limits.items() if report[name] > limit]
