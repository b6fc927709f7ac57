#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Only a format's own folder has code for it: no text of the product outside drivers/ names a format, so that no code there
# can treat one specially. Texts about formats for people come from the registries.
import re

from tree import SOURCES, lines, paths, report

PROGRAMS = ("libblktap", "tapdisk", "control")
LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"')
# An example of an image's name, on which no code depends.
EXAMPLE = re.compile(r"(?<![\w-])\w+:/srv/")


def names(top):
    """The names of formats in the folders of drivers/; and the names of Xen's script, if more text follows."""
    for path in paths(top, "format.hpp"):
        if path.match("drivers/*/format.hpp"):
            text = (top / path).read_text()
            for name in re.findall(r'\.name = "(\w+)"', text):
                yield rf"(?<![\w-]){name}(?![\w-])"
            for name in re.findall(r'\.tap_type = "(\w+)"', text):
                yield rf"(?<![\w-]){name}:"


def check(top):
    patterns = list(names(top))
    if not patterns:
        return
    named = re.compile("|".join(patterns), re.IGNORECASE)
    for path in paths(top, *SOURCES):
        if path.parts[0] not in PROGRAMS:
            continue
        for number, text in lines(top, path):
            if text.lstrip().startswith(("//", "#include")):
                continue
            for literal in LITERAL.findall(re.sub(r"\s//.*", "", text)):
                found = named.search(EXAMPLE.sub("", literal))
                if found:
                    yield f"{path}:{number}: names the format '{found[0]}'; drivers/formats and drivers/tools.hpp know them"


if __name__ == "__main__":
    report(check)
