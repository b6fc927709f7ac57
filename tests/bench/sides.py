# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# The two sides of a comparison. Each takes a workload, runs it for some seconds and returns every metric:
# Tapdisk serves the image to a simulated guest (ring-replay), Fio does the same I/O on the same file by itself. Both have a
# variant whose file is new each time, and grows.
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

START_SECONDS = 20
GUEST_DOMAIN = "5"
GROWING_SIZE = "64G"  # no side comes to the end of it


class BenchError(Exception):
    """Why nothing could be measured, for a person."""


class Tapdisk:
    """A tapdisk that serves one image on a simulated hypervisor, from construction to stop()."""

    def __init__(self, build, folder, image_spec, options=(), under=()):
        """`under`: words before tapdisk's own, of a program that runs it."""
        self.replay = build / "bin/ring-replay"
        self.socket = folder / "control.sock"
        self.log = folder / "tapdisk.log"
        self.environment = {**os.environ, "LD_PRELOAD": str(build / "lib/libfakexen.so"), "FAKEXEN": str(folder)}
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [*under, build / "bin/tapdisk", "--open", image_spec, "--control", self.socket, *options],
                stderr=log, stdin=subprocess.DEVNULL, env={**self.environment, "FAKEXEN_DOMAIN": "0"})
        self._wait_until_ready()

    def _wait_until_ready(self):
        deadline = time.monotonic() + START_SECONDS
        while "ready" not in self.log.read_text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise BenchError(f"tapdisk does not serve: {self.log.read_text().strip()}")
            time.sleep(0.02)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def measure(self, workload, seconds):
        result = self.run_load(workload, ["--seconds", str(seconds)])
        return metrics(result["requests"], result["bytes"], result["elapsed_s"], result["latency_us"]["p50"],
                       result["tapdisk_cpu_s"])

    def run_load(self, workload, how_long):
        """What ring-replay reports of the workload; `how_long` are its options for that."""
        command = [self.replay, "load", "--tapdisk", self.socket, "--pattern", workload.pattern, "--mix", workload.mix,
                   "--size", workload.size, "--depth", str(workload.depth), *how_long, "--json"]
        if workload.persistent:
            command.append("--persistent")
        if workload.pattern == "random" and not workload.sleeping:
            # What waking the simulated guest costs is the guest's affair. The rows named "sleeping" include it.
            command.append("--spin")
        result = json.loads(run(command, {**self.environment, "FAKEXEN_DOMAIN": GUEST_DOMAIN}))
        requests = result["requests"]
        if requests == 0 or result["errors"] != 0:
            raise BenchError(f"{workload.name}: {requests} requests, {result['errors']} errors")
        return result


class GrowingTapdisk:
    """For each measurement a tapdisk that serves a large disk from an empty file."""

    def __init__(self, build, folder, directory, options=()):
        self.build, self.folder, self.options = build, folder, options
        self.path = directory / "growing.img"
        self.longest_us = 0  # io_submit of a turn that may have had to allocate
        self.slow_turns = 0
        self.turns = 0

    def stop(self):
        self.path.unlink(missing_ok=True)

    def measure(self, workload, seconds):
        self.path.unlink(missing_ok=True)
        self.path.touch()
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        tapdisk = Tapdisk(self.build, folder, f"raw:{self.path}?size={GROWING_SIZE}", self.options)
        try:
            # The counters go with the connection: they are asked for shortly before its end.
            asked = threading.Timer(seconds * 0.9, self._note_allocation, [tapdisk.socket])
            asked.start()
            result = tapdisk.measure(workload, seconds)
            asked.join()
            return result
        finally:
            tapdisk.stop()
            self.stop()

    def _note_allocation(self, path):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as control:
            control.connect(str(path))
            control.send(json.dumps({"version": 1, "id": 1, "request": "stats", "arguments": {}}).encode())
            allocation = json.loads(control.recv(65536))["result"].get("connection", {}).get("allocation")
        if allocation is None:
            return
        self.turns += allocation["turns"]
        self.slow_turns += allocation["up-to-us"]["more"]
        self.longest_us = max(self.longest_us, allocation["longest-ns"] / 1000)


class Fio:
    """fio with Linux AIO and O_DIRECT, on the file that tapdisk serves."""

    def __init__(self, path):
        self.path = path

    def measure(self, workload, seconds):
        access = ("rand" if workload.pattern == "random" else "") + workload.mix
        report = json.loads(run([
            "fio", "--name=peer", f"--filename={self.path}", "--ioengine=libaio", "--direct=1", f"--rw={access}",
            f"--bs={workload.size}", f"--iodepth={workload.depth}", "--time_based", f"--runtime={round(seconds * 1000)}ms",
            "--allow_file_create=0", "--lat_percentiles=1", "--norandommap", "--randrepeat=0", "--thread", "--output-format=json"]))
        job = report["jobs"][0]
        side = job[workload.mix]
        latency = side["lat_ns"]["percentile"]["50.000000"] / 1000
        cpu = (job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] / 1000
        return metrics(side["total_ios"], side["io_bytes"], side["runtime"] / 1000, latency, cpu)


class AppendingFio:
    """fio that writes a new file from its beginning, without allocating ahead."""

    def __init__(self, directory):
        self.path = directory / "appended.img"

    def stop(self):
        self.path.unlink(missing_ok=True)

    def measure(self, workload, seconds):
        self.stop()
        try:
            report = json.loads(run([
                "fio", "--name=peer", f"--filename={self.path}", "--ioengine=libaio", "--direct=1", "--rw=write",
                f"--bs={workload.size}", f"--iodepth={workload.depth}", f"--size={GROWING_SIZE}", "--fallocate=none",
                "--time_based", f"--runtime={round(seconds * 1000)}ms", "--lat_percentiles=1", "--thread",
                "--output-format=json"]))
            side = report["jobs"][0]["write"]
            return metrics(side["total_ios"], side["io_bytes"], side["runtime"] / 1000,
                           side["lat_ns"]["percentile"]["50.000000"] / 1000, 0)
        finally:
            self.stop()


def metrics(requests, moved_bytes, seconds, latency_us, cpu_seconds):
    return {"iops": requests / seconds, "throughput": moved_bytes / seconds / 2**20, "latency": latency_us,
            "cpu": cpu_seconds / requests * 1e6}


def run(command, environment=None):
    """A program's standard output. Errors: BenchError with its standard error."""
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = " ".join(str(word) for word in command)
        raise BenchError(f"{words}: exit status {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
