# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Images with a format, and who is measured on them: tapdisk, and fio on what qemu-storage-daemon exports. Both sides get images
# that the same qemu-img made with the same options, so that neither has another format's work to do.
import json
import subprocess
import time

from sides import START_SECONDS, BenchError, Tapdisk, metrics, run

# So large that random first writes find a new cluster nearly always; VHD's blocks are larger than its requests by a factor
# of 512, and its disk would be full of them in a moment: there some writes are not the first to their block.
NEW_DISK = {"raw": "64G", "qcow2": "64G", "vhd": "4G"}
QEMU_NAME = {"raw": "raw", "qcow2": "qcow2", "vhd": "vpc"}
CREATE_OPTIONS = {"raw": [], "qcow2": ["-o", "lazy_refcounts=off"], "vhd": ["-o", "subformat=dynamic,force_size=on"]}


def new_image(image_format, path, size=None):
    """An image in which nothing is allocated."""
    path.unlink(missing_ok=True)
    run(["qemu-img", "create", "-q", "-f", QEMU_NAME[image_format], *CREATE_OPTIONS[image_format], path,
         size or NEW_DISK[image_format]])


def allocated_image(image_format, path, source):
    """An image that holds what the raw file `source` does, all of it allocated. `source` may be served meanwhile (-U)."""
    path.unlink(missing_ok=True)
    run(["qemu-img", "convert", "-U", "-q", "-f", "raw", "-O", QEMU_NAME[image_format], *CREATE_OPTIONS[image_format],
         "-S", "0", "-T", "none", "-t", "none", source, path])
    return path


class NewImageTapdisk:
    """For each measurement a tapdisk that serves a new image."""

    def __init__(self, build, folder, directory, image_format, options=()):
        self.build, self.folder, self.options = build, folder, options
        self.image_format = image_format
        self.path = directory / f"new-ours.{image_format}"

    def stop(self):
        self.path.unlink(missing_ok=True)

    def measure(self, workload, seconds):
        new_image(self.image_format, self.path)
        tapdisk = Tapdisk(self.build, self.folder, f"{self.image_format}:{self.path}", self.options)
        try:
            return tapdisk.measure(workload, seconds)
        finally:
            tapdisk.stop()
            self.stop()


class NewImageQemu:
    """For each measurement a qemu-storage-daemon that exports a new image to fio, by NBD over a local socket."""

    def __init__(self, folder, directory, image_format):
        self.folder, self.image_format = folder, image_format
        self.path = directory / f"new-qemu.{image_format}"

    def stop(self):
        self.path.unlink(missing_ok=True)

    def measure(self, workload, seconds):
        new_image(self.image_format, self.path)
        socket = self.folder / "nbd.sock"
        socket.unlink(missing_ok=True)
        log = self.folder / "qemu-storage-daemon.log"
        with open(log, "w") as file:
            daemon = subprocess.Popen(
                ["qemu-storage-daemon",
                 "--blockdev", f"driver=file,node-name=file,filename={self.path},cache.direct=on,aio=native",
                 "--blockdev", f"driver={QEMU_NAME[self.image_format]},node-name=image,file=file",
                 "--nbd-server", f"addr.type=unix,addr.path={socket}",
                 "--export", "type=nbd,id=export,node-name=image,name=image,writable=on"],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        try:
            self._wait_for(socket, daemon, log)
            return self._fio(f"nbd+unix:///image?socket={socket}", workload, seconds)
        finally:
            daemon.terminate()
            daemon.wait(START_SECONDS)
            self.stop()

    @staticmethod
    def _wait_for(socket, daemon, log):
        deadline = time.monotonic() + START_SECONDS
        while not socket.exists():
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"qemu-storage-daemon does not serve: {log.read_text().strip()}")
            time.sleep(0.02)

    @staticmethod
    def _fio(uri, workload, seconds):
        access = ("rand" if workload.pattern == "random" else "") + workload.mix
        output = run([
            "fio", "--name=peer", "--ioengine=nbd", f"--uri={uri}", f"--rw={access}", f"--bs={workload.size}",
            f"--iodepth={workload.depth}", "--time_based", f"--runtime={round(seconds * 1000)}ms", "--lat_percentiles=1",
            "--norandommap", "--randrepeat=0", "--thread", "--output-format=json"])
        report = json.loads(output[output.index("{"):])  # after a line that says that it is connected
        side = report["jobs"][0][workload.mix]
        return metrics(side["total_ios"], side["io_bytes"], side["runtime"] / 1000,
                       side["lat_ns"]["percentile"]["50.000000"] / 1000, 0)
