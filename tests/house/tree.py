# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Shared by the house tests: the files of the tree, and reporting. A check is a function from the tree's top to
# a list of findings, "path:line: what is wrong"; tests/house/house_test.py gives each check a tree with its fault.
import os
import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
SKIPPED_FOLDERS = {"build", ".git", "__pycache__", ".vscode", ".idea"}
SOURCES = (".cpp", ".hpp")


def paths(top, *suffixes):
    """The tree's files relative to `top`, sorted; all, or those that end in one of `suffixes`."""
    found = []
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
        for name in names:
            if name in SKIPPED_FOLDERS:  # ".git" of a linked working tree is a file
                continue
            if not suffixes or name.endswith(suffixes):
                found.append(Path(folder, name).relative_to(top))
    return sorted(found)


def lines(top, path):
    """(line number, text) of a text file; nothing for a binary one, such as a fuzzer's input."""
    content = (top / path).read_bytes()
    if b"\0" in content or "corpus" in path.parts:
        return []
    return list(enumerate(content.decode("utf-8", "replace").splitlines(), start=1))


def includes(top, path):
    """(line number, '<' or '"', name) of each #include."""
    for number, text in lines(top, path):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', text)
        if match:
            yield number, match[1], match[2]


def cmake_text(top, path):
    """A CMakeLists.txt without its comments."""
    return "\n".join(re.sub(r"#.*", "", text) for _, text in lines(top, path))


def report(*checks):
    """Runs the checks on this tree; exits with 1 if there are findings."""
    findings = [finding for check in checks for finding in check(TOP)]
    for finding in findings:
        print(finding)
    sys.exit(1 if findings else 0)
