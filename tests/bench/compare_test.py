#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# How --compare judges, on figures that are known.
import sys
import unittest
from types import SimpleNamespace

from compare import ORDERS, Comparison, compare
from quiet import reasons_against
from rows import comparable_rows, select


def comparison(metric, before, again, ours):
    made = Comparison(metric)
    for values in zip(before, again, ours, strict=True):
        made.add(dict(zip(("before", "again", "ours"), values, strict=True)))
    return made


class Judging(unittest.TestCase):
    def test_a_row_that_lost_more_than_the_noise_is_worse(self):
        self.assertTrue(comparison("iops", [100, 100, 100], [99, 100, 101], [95, 96, 95]).worse)

    def test_a_row_within_what_the_build_before_shows_against_itself_is_not(self):
        self.assertFalse(comparison("iops", [100, 100, 100], [94, 94, 94], [95, 96, 95]).worse)
        self.assertFalse(comparison("iops", [100, 100, 100], [106, 107, 106], [95, 96, 95]).worse)

    def test_a_row_that_lost_less_than_three_hundredths_is_not(self):
        self.assertFalse(comparison("iops", [100, 100, 100], [100, 100, 100], [98, 98, 98]).worse)

    def test_more_of_what_should_be_little_is_worse(self):
        self.assertTrue(comparison("cpu", [10, 10, 10], [10, 10, 10], [11, 11, 11]).worse)
        self.assertFalse(comparison("cpu", [10, 10, 10], [10, 10, 10], [9, 9, 9]).worse)
        self.assertTrue(comparison("latency", [10, 10, 10], [10, 10, 10], [11, 11, 11]).worse)

    def test_counts_are_judged_by_a_fiftieth(self):
        self.assertFalse(comparison("instructions", [1000], [1000], [1019]).worse)
        self.assertTrue(comparison("instructions", [1000], [1000], [1021]).worse)

    def test_one_bad_round_does_not_decide(self):
        self.assertFalse(comparison("iops", [100, 100, 100], [100, 100, 100], [10, 100, 100]).worse)


class Running(unittest.TestCase):
    """With builds whose figures are known."""

    def run_rounds(self, speeds, rounds):
        calls = []

        def measure(side, workload, metrics, _seconds):
            calls.append((workload.name, side))
            return {metric: speeds[side] for metric in metrics}

        rows = select(["null-randread-4k-qd1-iops", "raw-randread-4k-qd1-iops"], comparable_rows(()))
        return compare(rows, SimpleNamespace(measure=measure), rounds, 1, lambda _: None), calls

    def test_each_side_takes_each_place_in_a_round(self):
        _, calls = self.run_rounds({"before": 1, "again": 1, "ours": 1}, len(ORDERS))
        places = {(side, index % 3) for index, (_, side) in enumerate(calls)}
        self.assertEqual(len(places), 9)

    def test_what_looks_worse_is_measured_again(self):
        measured, calls = self.run_rounds({"before": 100, "again": 100, "ours": 90}, 3)
        self.assertEqual(len(calls), 2 * 2 * 3 * 3)
        self.assertTrue(all(row.worse for row in measured.values()))

    def test_what_does_not_is_not(self):
        measured, calls = self.run_rounds({"before": 100, "again": 100, "ours": 110}, 3)
        self.assertEqual(len(calls), 2 * 3 * 3)
        self.assertFalse(any(row.worse for row in measured.values()))


class Machine(unittest.TestCase):
    def test_a_busy_machine_is_named_as_one(self):
        quiet = {"busy-before": 0.0, "steal": 0.0, "involuntary-switches-per-second": 2000}
        self.assertEqual(reasons_against(quiet), [])
        self.assertEqual(len(reasons_against({**quiet, "busy-before": 0.5})), 1)
        self.assertEqual(len(reasons_against({**quiet, "steal": 0.2})), 1)


if __name__ == "__main__":
    sys.exit(unittest.main())
