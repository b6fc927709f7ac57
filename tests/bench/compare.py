# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Two builds of tapdisk, measured against each other in one run. Three sides take turns in each round: the build before, the
# build before once more, and ours, each time in another order and each in a process of its own on the same image. What the build
# before shows against itself is what the machine's noise can do; a row is worse only where ours falls behind that too.
import statistics
from dataclasses import dataclass, field

from counts import COUNTERS
from sides import Tapdisk

WORSE_BELOW = 0.97  # of the speed before
WORSE_BELOW_COUNTED = 1 / 1.02  # counts vary less
LOWER_IS_BETTER = {"latency", "cpu", *COUNTERS}
ORDERS = [("before", "again", "ours"), ("ours", "again", "before"), ("again", "ours", "before"),
          ("before", "ours", "again"), ("ours", "before", "again"), ("again", "before", "ours")]


@dataclass
class Comparison:
    """What was measured of one row, a value of each side for each round."""
    metric: str
    values: dict = field(default_factory=lambda: {"before": [], "again": [], "ours": []})

    def add(self, results):
        for side, value in results.items():
            self.values[side].append(value)

    def _against_before(self, side):
        """Median of the rounds' ratios; above 1 is better, whatever the metric."""
        ratios = [value / before for value, before in zip(self.values[side], self.values["before"], strict=True)]
        median = statistics.median(ratios)
        return 1 / median if self.metric in LOWER_IS_BETTER else median

    @property
    def ratio(self):
        return self._against_before("ours")

    @property
    def noise(self):
        """How far the build before fell behind itself, or was ahead of itself: at most 1."""
        itself = self._against_before("again")
        return min(itself, 1 / itself)

    @property
    def worse(self):
        bound = WORSE_BELOW_COUNTED if self.metric in COUNTERS else WORSE_BELOW
        return self.ratio < bound and self.ratio < self.noise

    def summary(self, name):
        return {"name": name, "ours": statistics.median(self.values["ours"]), "before": statistics.median(self.values["before"]),
                "ratio": self.ratio, "itself": self.noise, "worse": self.worse}


class Builds:
    """Measures a workload on each side; every time with a tapdisk that is new, so that both builds may serve one image."""

    def __init__(self, ours, before, folder, image_of, extra):
        self.builds = {"ours": ours, "before": before, "again": before}
        self.folder, self.image_of, self.extra = folder, image_of, extra
        for side in self.builds:
            (folder / side).mkdir()

    def timed(self, side, workload, seconds):
        """{metric: value}"""
        tapdisk = Tapdisk(self.builds[side], self.folder / side, self.image_of(workload.image), self.extra)
        try:
            return tapdisk.measure(workload, seconds)
        finally:
            tapdisk.stop()

    def counted(self, side, workload, metric):
        return COUNTERS[metric](self.builds[side], self.folder / side, self.image_of(workload.image), workload, self.extra)

    def measure(self, side, workload, metrics, seconds):
        """{metric: value} of `metrics`."""
        timed = self.timed(side, workload, seconds) if metrics - COUNTERS.keys() else {}
        return {metric: self.counted(side, workload, metric) if metric in COUNTERS else timed[metric] for metric in metrics}


def compare(rows, builds, rounds, seconds, say):
    """{row name: Comparison}. Rows that look worse are measured for as many rounds again, and all rounds count."""
    measured = {row.name: Comparison(row.metric) for row in rows}
    run_rounds(rows, builds, rounds, seconds, measured, say)
    doubtful = [row for row in rows if measured[row.name].worse]
    if doubtful:
        say(f"{len(doubtful)} rows look worse and are measured again: {', '.join(row.name for row in doubtful)}")
        run_rounds(doubtful, builds, rounds, seconds, measured, say)
    return measured


def run_rounds(rows, builds, rounds, seconds, measured, say):
    metrics_of = {}
    for row in rows:
        metrics_of.setdefault(row.workload, set()).add(row.metric)
    for number in range(rounds):
        for workload, metrics in metrics_of.items():
            say(f"round {number + 1} of {rounds}: {workload.name}")
            results = {side: builds.measure(side, workload, metrics, seconds) for side in ORDERS[number % len(ORDERS)]}
            for row in rows:
                if row.workload == workload:
                    measured[row.name].add({side: values[row.metric] for side, values in results.items()})
