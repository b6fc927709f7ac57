#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Nothing in the tree names a place on one developer's machine.
import re

from tree import lines, paths, report

# In parts, so that this file does not contain them.
MACHINE_PATHS = re.compile("(?<![\\w.])/(" + "|".join(["ho" + "me", "wo" + "rk", "Us" + "ers"]) + ")/")
CONFLICT = re.compile("^(<{7}|>{7}|={7})( |$)")


def check(top):
    for path in paths(top):
        for number, text in lines(top, path):
            if MACHINE_PATHS.search(text):
                yield f"{path}:{number}: a path of somebody's machine"
            if CONFLICT.match(text):
                yield f"{path}:{number}: a conflict that was not resolved"


if __name__ == "__main__":
    report(check)
