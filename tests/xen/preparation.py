#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Makes what a host boots and runs: images and our programs. As a program, without arguments, it does so for the release that
# it runs in and builds the programs first: that is how it runs in the root of another one.
import os
import subprocess
import sys
import time

from hosts import TOP, NoHost, own_host
from images import Images
from programs import stage_programs

ENTER = TOP / "tests/hosts/enter"
STATUS_NO_ROOT = 125
# Without tests, beside what tests/hosts/run builds.
BUILD = TOP / "build/bare"


def prepare(host, build, report):
    """Fills the host's folder; `build` has this machine's own programs. Returns the images."""
    if host.is_here:
        prepare_here(host, build, report)
    else:
        prepare_in_root(host, report)
    return Images(host)


def programs_of(host):
    return host.folder / "programs.tar"


def prepare_here(host, build, report):
    host.folder.mkdir(parents=True, exist_ok=True)
    stage_programs(build, host.folder / "programs", programs_of(host))
    Images(host).build(report)


def prepare_in_root(host, report):
    begin = time.monotonic()
    first = not (TOP / "build/hosts" / host.name / "root").exists()
    command = [ENTER, host.name, "build,dom0", "tests/xen/preparation.py"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
    if done.returncode == STATUS_NO_ROOT:
        raise NoHost(f"{host.name} cannot be had; the lines above say why (--without {host.name} leaves it out)")
    if done.returncode != 0:
        raise NoHost(f"{host.name}: its programs or images could not be made")
    made = "made with its root" if first else "ready"
    report(f"{host.name}: {made} after {time.monotonic() - begin:.0f} s")


def build_programs():
    log = BUILD.with_suffix(".log")
    steps = (["cmake", "-S", TOP, "-B", BUILD, "--preset", "release", "-DBUILD_TESTING=OFF"],
             ["cmake", "--build", BUILD, "-j", str(len(os.sched_getaffinity(0)))])
    with open(log, "wb") as output:
        for step in steps:
            if subprocess.run(step, stdout=output, stderr=subprocess.STDOUT, check=False).returncode != 0:
                sys.stderr.write("".join(log.read_text(errors="replace").splitlines(keepends=True)[-20:]))
                return False
    return True


def main():
    if not build_programs():
        return 1
    prepare_here(own_host(), BUILD, lambda text: print(f"{own_host().name}: {text}", file=sys.stderr, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
