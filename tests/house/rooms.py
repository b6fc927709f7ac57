#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# A folder is one idea too, of few names. A name counts once, whatever its suffixes: x.hpp and x.cpp are one room. Folders
# inside do not count; they have rooms of their own.
from tree import paths, report

ROOMS_MAX = 20
TOPS = ("libblktap", "drivers", "tapdisk", "control", "tests")
NO_ROOM = {"CMakeLists.txt", "README.md"}
# (rooms that a folder may have instead, and why)
EXCEPTIONS = {
    "tests/xen/scenarios": (30, "a list of tests: each file is one, is started by its name, and uses none of the others"),
}


def rooms(top):
    """{folder: its rooms}. Inputs of fuzzers are data."""
    found = {}
    for path in paths(top):
        if path.parts[0] in TOPS and path.name not in NO_ROOM and "corpus" not in path.parts:
            found.setdefault(str(path.parent), set()).add(path.name.partition(".")[0])
    return found


def check(top, exceptions=None):
    exceptions = EXCEPTIONS if exceptions is None else exceptions
    found = rooms(top)
    for folder, names in sorted(found.items()):
        rooms_max = exceptions.get(folder, (ROOMS_MAX,))[0]
        if len(names) > rooms_max:
            yield f"{folder}: {len(names)} rooms; more than {rooms_max} are two folders"
    for folder in sorted(exceptions):
        if len(found.get(folder, ())) <= ROOMS_MAX:
            yield f"{folder}: an exception for a folder that needs none"


if __name__ == "__main__":
    report(check)
