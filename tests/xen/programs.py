# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Our programs as an installation puts them, with the libraries that they load: what dom0 copies over its root.
import os
import shutil
import subprocess

from file_tree import libraries

PROGRAMS = "tapdisk tapback tap-ctl block-tapdisk ring-replay"


class NotBuilt(Exception):
    """A program is missing from the build folder."""


def stage_programs(build, folder, archive):
    """Installs from the build folder `build` into the new folder `folder`, and packs that into `archive`."""
    for name in PROGRAMS.split():
        if not (build / "bin" / name).exists():
            raise NotBuilt(f"no {build / 'bin' / name}: cmake --preset release && cmake --build --preset release")
    shutil.rmtree(folder, ignore_errors=True)
    done = subprocess.run(["cmake", "--install", build, "--strip"], env=dict(os.environ, DESTDIR=str(folder)),
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotBuilt(f"cmake --install {build}: {done.stderr.strip()}")
    for program in list(folder.rglob("*")):
        if program.is_file() and os.access(program, os.X_OK):
            for library in libraries(program):
                place = folder / "usr" / library.lstrip("/").removeprefix("usr/")
                place.parent.mkdir(parents=True, exist_ok=True)
                if not place.exists():
                    shutil.copy(library, place)
    subprocess.run(["tar", "-C", folder, "--owner=0", "--group=0", "-cf", archive, "."], check=True)
