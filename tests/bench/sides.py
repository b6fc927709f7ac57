# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# The two sides of a comparison. Each takes a workload, runs it for some seconds and returns every metric:
# Tapdisk serves the image to a simulated guest (ring-replay), Fio does the same I/O on the same file by itself.
import json
import os
import signal
import subprocess
import time

START_SECONDS = 20
GUEST_DOMAIN = "5"


class BenchError(Exception):
    """Why nothing could be measured, for a person."""


class Tapdisk:
    """A tapdisk that serves one image on a simulated hypervisor, from construction to stop()."""

    def __init__(self, build, folder, image_spec, options=()):
        self.replay = build / "bin/ring-replay"
        self.socket = folder / "control.sock"
        self.log = folder / "tapdisk.log"
        self.environment = {**os.environ, "LD_PRELOAD": str(build / "lib/libfakexen.so"), "FAKEXEN": str(folder)}
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [build / "bin/tapdisk", "--open", image_spec, "--control", self.socket, *options],
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
        command = [self.replay, "load", "--tapdisk", self.socket, "--pattern", workload.pattern, "--mix", workload.mix,
                   "--size", workload.size, "--depth", str(workload.depth), "--seconds", str(seconds), "--json"]
        if workload.persistent:
            command.append("--persistent")
        if workload.depth == 1 and not workload.sleeping:
            # What waking the simulated guest costs is the guest's affair. The rows named "sleeping" include it.
            command.append("--spin")
        result = json.loads(run(command, {**self.environment, "FAKEXEN_DOMAIN": GUEST_DOMAIN}))
        requests = result["requests"]
        if requests == 0 or result["errors"] != 0:
            raise BenchError(f"{workload.name}: {requests} requests, {result['errors']} errors")
        return metrics(requests, result["bytes"], result["elapsed_s"], result["latency_us"]["p50"], result["tapdisk_cpu_s"])


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
