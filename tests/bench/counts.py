# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# What can be counted instead of timed: tapdisk's instructions (callgrind, inside the event loop) and system calls (strace) for
# each request. Counts say something on a busy machine too, but are no constants: how many requests share a turn depends
# on time, and both tools slow tapdisk and not its guest.
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from sides import START_SECONDS, BenchError, Tapdisk

REQUESTS = {1: 4000, 8: 4000, 32: 20000}  # by depth; what connecting costs is lost in them
COUNTED = {"instructions": ("1", "tapdisk's instructions for each request, in its event loop"),
           "calls": ("1", "tapdisk's system calls for each request")}


def check_tools():
    for tool in ("valgrind", "strace"):
        if not shutil.which(tool):
            raise BenchError(f"{tool} is missing; install it with: apt-get install {tool}")


def instructions(build, folder, image, workload, options):
    """Instructions a request."""
    folder = Path(tempfile.mkdtemp(dir=folder))
    profile = folder / "profile"
    tapdisk = Tapdisk(build, folder, image, options, under=[
        "valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}", "--collect-atstart=no",
        "--toggle-collect=blktap::EventLoop::run_once(*"])
    try:
        requests = tapdisk.run_load(workload, ["--requests", str(REQUESTS[workload.depth]), "--timeout", "120"])["requests"]
    finally:
        tapdisk.stop()
    found = re.search(r"^(?:summary|totals): (\d+)", profile.read_text(), re.MULTILINE)
    if not found or int(found[1]) == 0:
        raise BenchError(f"{workload.name}: callgrind counted nothing in the event loop of {build}")
    return int(found[1]) / requests


def calls(build, folder, image, workload, options):
    """System calls a request."""
    folder = Path(tempfile.mkdtemp(dir=folder))
    tapdisk = Tapdisk(build, folder, image, options)
    try:
        table = folder / "calls"
        log = folder / "strace.log"
        with open(log, "w", encoding="ascii") as errors:
            tracer = subprocess.Popen(["strace", "-f", "-c", "-U", "name,calls", "-o", table, "-p", str(tapdisk.process.pid)],
                                      stdin=subprocess.DEVNULL, stderr=errors)
        try:
            wait_until_attached(tracer, log)
            requests = tapdisk.run_load(workload, ["--requests", str(REQUESTS[workload.depth])])["requests"]
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(START_SECONDS)
    finally:
        tapdisk.stop()
    found = re.search(r"^total\s+(\d+)|^(\d+)\s+total", table.read_text(), re.MULTILINE)
    if not found:
        raise BenchError(f"{workload.name}: strace counted nothing: {log.read_text().strip()}")
    return int(found[1] or found[2]) / requests


def wait_until_attached(tracer, log):
    deadline = time.monotonic() + START_SECONDS
    while "attached" not in log.read_text():
        if tracer.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"strace could not attach: {log.read_text().strip()}")
        time.sleep(0.02)


COUNTERS = {"instructions": instructions, "calls": calls}
