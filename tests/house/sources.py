#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# No dead file, no long file, no file without its licence: every source is built, every header is included,
# every file begins with its purpose.
import re
from os.path import normpath
from pathlib import Path

from tree import SOURCES, cmake_text, includes, lines, paths, report

LINES_MAX = 400


def built_sources(top):
    """{.cpp file: the CMakeLists.txt that names it}"""
    named = {}
    for path in paths(top, "CMakeLists.txt"):
        text = cmake_text(top, path)
        for name in re.findall(r"[^\s()\"]+\.cpp\b", text):
            if "${PROJECT_SOURCE_DIR}/" in name:
                source = name.replace("${PROJECT_SOURCE_DIR}/", "")
            else:
                source = normpath(path.parent / name.replace("${CMAKE_CURRENT_SOURCE_DIR}/", ""))
            if "$" not in source:
                named[Path(source)] = path
        for name in re.findall(r"\bblktap_fuzz\((\w+)", text):
            named[path.parent / f"fuzz_{name}.cpp"] = path
    return named


def check_built(top):
    named = built_sources(top)
    sources = set(paths(top, ".cpp"))
    for path in sorted(sources - named.keys()):
        yield f"{path}:1: no CMakeLists.txt names it"
    for path in sorted(named.keys() - sources):
        yield f"{named[path]}:1: names {path}, which does not exist"


def check_headers_used(top):
    used = {name for path in paths(top, *SOURCES) for _, kind, name in includes(top, path) if kind == '"'}
    for path in paths(top, ".hpp"):
        if str(path) not in used:
            yield f"{path}:1: nothing includes it"


def is_script(top, path):
    with open(top / path, "rb") as file:
        return file.read(2) == b"#!"


def check_shape(top):
    for path in paths(top):
        if "corpus" in path.parts or not (path.suffix in (*SOURCES, ".py", ".sh") or is_script(top, path)):
            continue
        text = [line for _, line in lines(top, path)]
        beginning = "\n".join(text[:4])
        if "SPDX-License-Identifier: BSD-2-Clause" not in beginning or "Copyright (c)" not in beginning:
            yield f"{path}:1: does not begin with the licence and copyright lines"
        if len(text) > LINES_MAX:
            yield f"{path}:{LINES_MAX}: {len(text)} lines; more than {LINES_MAX} are two ideas"


if __name__ == "__main__":
    report(check_built, check_headers_used, check_shape)
