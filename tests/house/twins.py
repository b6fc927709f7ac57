#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Code that two formats share is in drivers/tables, once: no run of lines is the same in two formats.
from itertools import combinations
from pathlib import Path

from tree import SOURCES, lines, paths, report

FORMATS = ("drivers/qcow2", "drivers/vhd")
RUN = 6  # so many lines, one behind the other, are a piece of code that somebody copied
CLOSING = set("{}();, ")


def counted(top, path):
    """(line number, text) of the lines that count: no empty lines, includes, lines of closing brackets only, or licence."""
    for number, text in lines(top, path):
        text = text.strip()
        if number > 3 and text and not text.startswith("#include") and not set(text) <= CLOSING:
            yield number, text


def runs(top, folder):
    """The place of each run of RUN lines in the folder's sources; the last place of a repeated run."""
    found = {}
    for path in paths(top, *SOURCES):
        if Path(folder) not in path.parents:
            continue
        code = list(counted(top, path))
        for first in range(len(code) - RUN + 1):
            found[tuple(text for _, text in code[first:first + RUN])] = (path, code[first][0])
    return found


def check(top):
    for one, other in combinations(FORMATS, 2):
        ours, theirs = runs(top, one), runs(top, other)
        for run in sorted(ours.keys() & theirs.keys(), key=lambda key: (str(ours[key][0]), ours[key][1])):
            path, number = ours[run]
            twin, twin_number = theirs[run]
            yield f"{path}:{number}: {RUN} lines are the same at {twin}:{twin_number}"


if __name__ == "__main__":
    report(check)
