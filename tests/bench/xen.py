# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Both sides on real Xen, in one emulated machine: a guest's disk on tapdisk, and its twin on the kernel's blkback over a
# direct-I/O loop device. Emulated times are long and only their ratios say something. The processor time is all of dom0's,
# whoever spent it: tapdisk, or the kernel's threads.
import subprocess
import sys
from pathlib import Path

from sides import BenchError

HERE = Path(__file__).resolve().parent
RUN_XEN = HERE.parent / "xen/run"
# Boot, images, guest; and fio's own start and end for each run.
START_SECONDS = 600
OVERHEAD_SECONDS = 15


def fio_pattern(workload):
    return ("rand" if workload.pattern == "random" else "") + workload.mix


def script(workloads, rounds, seconds):
    """What dom0 runs, and which workload each of its names stands for."""
    named = {f"{fio_pattern(workload)}:{workload.size}:{workload.depth}": workload for workload in workloads}
    first, rest = (HERE / "dom0-script").read_text().split("\n", 1)
    settings = f'ROUNDS={rounds} SECONDS_EACH={max(1, round(seconds))} WORKLOADS="{" ".join(named)}"'
    return f"{first}\n{settings}\n{rest}", named


def measure_on_xen(workloads, rounds, seconds, build, folder):
    """{workload: [(ours, peer) of each round]}, each side the metrics of one run. `folder` is an empty one for its files."""
    text, named = script(workloads, rounds, seconds)
    (folder / "script").write_text(text)
    limit = START_SECONDS + rounds * len(workloads) * 2 * (round(seconds) + OVERHEAD_SECONDS)
    done = subprocess.run([RUN_XEN, "--script", folder / "script", "--out", folder / "out", "--build", build, "--timeout", str(limit)],
                          stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise BenchError(f"{RUN_XEN} --script: exit status {done.returncode}")
    return read_rounds((folder / "out/rounds").read_text(), named)


def read_rounds(text, named):
    runs = {}
    for line in text.splitlines():
        number, name, side, kib, milliseconds, cpu_seconds = line.split()
        runs.setdefault((name, number), {})[side] = metrics(named[name], int(kib), int(milliseconds), float(cpu_seconds))
    measured = {workload: [] for workload in named.values()}
    for (name, _), sides in runs.items():
        measured[named[name]].append((sides["ours"], sides["peer"]))
    return measured


def metrics(workload, kib, milliseconds, cpu_seconds):
    requests = kib / int(workload.size.removesuffix("k"))
    if requests == 0 or milliseconds == 0:
        raise BenchError(f"{workload.name}: nothing was read or written")
    return {"iops": requests / milliseconds * 1000, "cpu": cpu_seconds / requests * 1e6}
