# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# What is measured: workloads, and the rows that each yields. A row's name is image-pattern-size-depth[-variant]-metric.
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Workload:
    # "raw": a file, beside fio on the same file; "null": no disk, so the engine's cost alone; "growth": first writes into
    # a growing file, beside overwrites of a written one; "growth-fio": the same, beside fio that appends to a new file;
    # "formats-F": an image of format F in which everything is allocated, beside a raw one; "formats-first-F": first writes into
    # a new image, beside fio on qemu-storage-daemon's export of such an image; "formats-first-F-raw": the same, beside a
    # new raw image of holes; "xen": a guest's disk on real Xen, beside the kernel's blkback over a direct-I/O loop device
    image: str
    pattern: str  # "random" or "sequential"
    mix: str  # "read" or "write"
    size: str
    depth: int
    metrics: tuple
    persistent: bool = False  # persistent grants: the guest's pages stay mapped and nothing is copied
    sleeping: bool = False  # the guest sleeps until it is woken; else it looks at its ring all the time

    @property
    def name(self):
        access = ("rand" if self.pattern == "random" else "") + self.mix
        variant = ("-persistent" if self.persistent else "") + ("-sleeping" if self.sleeping else "")
        return f"{self.image}-{access}-{self.size}-qd{self.depth}{variant}"


# Metric: (unit, what it is). Both sides report all of them for every run.
METRICS = {
    "iops": ("1/s", "requests answered a second"),
    "latency": ("us", "median time from a request's submission to its answer"),
    "throughput": ("MiB/s", "data moved a second"),
    "cpu": ("us", "CPU time for each request: tapdisk's own; fio's own; on Xen all of dom0's"),
}

DEPTH_32 = ("iops", "cpu")
DEPTH_1 = ("iops", "latency", "cpu")
STREAM = ("throughput", "cpu")
ON_XEN = ("iops", "cpu")
FORMATS = ("qcow2", "vhd")

WORKLOADS = [
    Workload(image, "random", mix, "4k", depth, DEPTH_32 if depth == 32 else DEPTH_1, persistent)
    for image in ("raw", "null")
    for depth in (32, 1)
    for persistent in (False, True)
    for mix in ("read", "write")
] + [
    Workload("raw", "random", mix, "4k", depth, DEPTH_32 if depth == 32 else DEPTH_1, sleeping=True)
    for depth in (32, 1)
    for mix in ("read", "write")
] + [
    Workload("raw", "sequential", mix, size, 8, STREAM, persistent)
    for size in ("64k", "1m")
    for persistent in (False, True)
    for mix in ("read", "write")
] + [
    Workload(image, "sequential", "write", "256k", 8, ("throughput",)) for image in ("growth", "growth-fio")
] + [
    Workload(f"formats-{image_format}", "random", mix, "4k", 32, DEPTH_32)
    for image_format in FORMATS
    for mix in ("read", "write")
] + [
    Workload(f"formats-first-{image_format}{peer}", pattern, "write", size, depth, (metric,))
    for image_format in FORMATS
    for peer in ("", "-raw")
    for pattern, size, depth, metric in (("random", "4k", 32, "iops"), ("sequential", "256k", 8, "throughput"))
] + [
    Workload("xen", pattern, mix, size, depth, ON_XEN)
    for pattern, size, depth in (("random", "4k", 32), ("random", "4k", 1), ("sequential", "64k", 8))
    for mix in ("read", "write")
]


@dataclass(frozen=True)
class Row:
    workload: Workload
    metric: str

    @property
    def name(self):
        return f"{self.workload.name}-{self.metric}"


def comparable_rows(counted):
    """The rows that two builds can be compared in, with the metrics in `counted` besides: those on images that are there
    before, so that both sides do the same."""
    images = {"raw", "null", *(f"formats-{image_format}" for image_format in FORMATS)}
    return [Row(workload, metric) for workload in WORKLOADS if workload.image in images for metric in (*workload.metrics, *counted)]


def select(filters, rows=None):
    """Those of `rows`, by default of all, that a filter names: a row, a glob of rows, or the beginning of names up to a '-'
    ("raw", "null-randread"). No filter is all but xen, which boots a machine. Errors: KeyError with a filter that names
    nothing."""
    if rows is None:
        rows = [Row(workload, metric) for workload in WORKLOADS for metric in workload.metrics]
    chosen = set()
    for text in filters:
        matching = {row for row in rows if fnmatchcase(row.name, text) or row.name.startswith(text + "-")}
        if not matching:
            raise KeyError(text)
        chosen |= matching
    return [row for row in rows if row in chosen or (not filters and row.workload.image != "xen")]
