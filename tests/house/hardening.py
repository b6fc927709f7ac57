#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Every program of a build has the protections of docs/decisions/0016-hardening.md, as read from the file itself: flags on a
# command line prove nothing.
#   tests/house/hardening.py BUILD_FOLDER
import re
import subprocess
import sys
from pathlib import Path

from documents import programs
from tree import TOP


def elf(program, *options):
    return subprocess.run(["readelf", "--wide", *options, program], check=True, capture_output=True, text=True).stdout


def missing(program, optimised):
    """The missing protections of a program, in words."""
    headers = elf(program, "--file-header", "--program-headers")
    dynamic = elf(program, "--dynamic")
    symbols = elf(program, "--dyn-syms")
    stack = re.search(r"^\s*GNU_STACK\s.*\s([RWE]+)\s+0x", headers, re.MULTILINE)
    wanted = {
        "a place in memory that is drawn anew at each start (PIE)": re.search(r"^\s*Type:\s+DYN\b", headers, re.MULTILINE)
        and re.search(r"\(FLAGS_1\).*\bPIE\b", dynamic),
        "tables of the loader that become read-only (GNU_RELRO)": "GNU_RELRO" in headers,
        "every symbol bound at the start (BIND_NOW)": re.search(r"\(FLAGS(_1)?\).*\b(BIND_)?NOW\b", dynamic),
        "a stack from which nothing is run (GNU_STACK)": stack and "E" not in stack[1],
        "canaries on the stack": "__stack_chk_fail" in symbols,
        "sizes checked by the C library (_FORTIFY_SOURCE)": not optimised or re.search(r"\b__\w+_chk\b", symbols),
    }
    return [what for what, there in wanted.items() if not there]


def main(build):
    cache = (build / "CMakeCache.txt").read_text()
    if re.search(r"^BLKTAP_(SANITIZE:STRING=.+|HARDEN:BOOL=OFF)$", cache, re.MULTILINE):
        print(f"skipped: {build} is built without them on purpose")
        return 77
    optimised = re.search(r"^CMAKE_BUILD_TYPE:STRING=Rel", cache, re.MULTILINE)
    lacks = [f"{build / 'bin' / name} lacks {what}" for name in sorted(set(programs(TOP)))
             for what in missing(build / "bin" / name, optimised)]
    print("\n".join(lacks))
    return 1 if lacks else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
