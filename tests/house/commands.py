#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Commands in documents can be run: their scripts, presets, targets and programs exist.
import json
import os
import re

from documents import programs
from tree import cmake_text, lines, paths, report

OURS = re.compile(r"^(?:\./|\.ci/|tests/|docs/|libblktap/|drivers/|tapdisk/|cmake/)[\w./-]*$")
BUILT = re.compile(r"^(?:\./)?build/([\w-]+)/bin/([\w-]+)$")


def shown_commands(top, path):
    """(line number, command) of the sh and console blocks; in a console block only lines with a prompt."""
    language = None
    for number, text in lines(top, path):
        fence = re.match(r"\s*```\s*(\w*)", text)
        if fence:
            language = (fence[1] or "plain") if language is None else None
            continue
        if language in ("sh", "bash"):
            yield number, text
        elif language == "console" and text.lstrip().startswith("$ "):
            yield number, text.lstrip()[2:]


def presets(top):
    configured = json.loads((top / "CMakePresets.json").read_text())["configurePresets"]
    return {preset["name"] for preset in configured if not preset.get("hidden")}


def targets(top):
    found = {f"fuzz_{name}" for name in re.findall(r"\bblktap_fuzz\((\w+)", all_cmake(top))}
    made = r"\b(?:add_executable|add_library|add_custom_target|blktap_library|blktap_program|blktap_test|blktap_add_uninstall)\(\s*([\w-]+)"
    return found | set(re.findall(made, all_cmake(top)))


def all_cmake(top):
    return "\n".join(cmake_text(top, path) for path in paths(top, "CMakeLists.txt"))


def check(top):
    for path in paths(top, ".md"):
        for number, command in shown_commands(top, path):
            command = re.sub(r"(^|\s)#.*", "", command)
            words = re.split(r"[\s=;|&()'\"]+", command)
            for word, following in zip(words, words[1:] + [""]):
                built = BUILT.match(word)
                if OURS.match(word) and not built and not (top / word).exists():
                    yield f"{path}:{number}: {word} does not exist"
                elif word.startswith("./") and (top / word).is_file() and not os.access(top / word, os.X_OK):
                    yield f"{path}:{number}: {word} cannot be run"
                elif built and built[1] not in presets(top):
                    yield f"{path}:{number}: no preset {built[1]}"
                elif built and built[2] not in set(programs(top)):
                    yield f"{path}:{number}: no program {built[2]}"
                elif word == "--preset" and following not in presets(top):
                    yield f"{path}:{number}: no preset {following}"
                elif word == "--target" and following not in targets(top):
                    yield f"{path}:{number}: no target {following}"


if __name__ == "__main__":
    report(check)
