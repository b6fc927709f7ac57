#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# A message of the control protocols is named in its declaration alone (docs/decisions/0019): everybody else says M::name,
# or has the name from its type. Words that happen to be a message's name too are told apart by what stands beside them.
import re

from tree import SOURCES, lines, paths, report

PRODUCT = ("libblktap", "drivers", "tapdisk", "control")
DECLARATIONS = "messages.hpp"
# An event of the log or a level of it, a command of a command line, a node in xenstore, a call of libxenstore.
OTHER_WORD = re.compile(r"\blog::|\badd_\w+\(|\bdefault_str\(|\bput\(|\bfail\(|\bxs_\w+\(")
# What else is called as a message is.
EXCEPTIONS = {
    ("tapdisk/vbd_stats.cpp", "open"): "a state of the disk",
    ("control/tapback/xenbus/store_session.cpp", "release"): "the token of a watch",
}


def names(top):
    """The name of each message that is declared."""
    for path in paths(top, DECLARATIONS):
        if path.parts[0] in PRODUCT:
            for _, text in lines(top, path):
                yield from re.findall(r'\bname = "([\w-]+)";', text)


def check(top):
    declared = set(names(top))
    for path in paths(top, *SOURCES):
        if path.parts[0] not in PRODUCT or path.name.endswith(DECLARATIONS):
            continue
        for number, text in lines(top, path):
            if OTHER_WORD.search(text):
                continue
            for word in re.findall(r'"([\w-]+)"', re.sub(r"//.*", "", text)):
                if word in declared and (str(path), word) not in EXCEPTIONS:
                    yield f'{path}:{number}: "{word}" is a message; its declaration has the name'


if __name__ == "__main__":
    report(check)
