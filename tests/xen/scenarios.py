# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# The scenarios: scripts that dom0 runs, and what their first lines say about them.
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "scenarios"
DEFAULT_SECONDS = 400


class NoScenario(Exception):
    """A name that is nobody's."""


@dataclass(frozen=True)
class Scenario:
    name: str
    path: Path
    summary: str
    seconds: int
    processors: int  # of dom0's
    core: bool  # one of those that ./test.sh runs


def read_scenario(path):
    """The sentence below the licence, and what else it says of itself: "# Limit: 300 s", "# Processors: 2", "# Core"."""
    comments = [line.removeprefix("#").strip() for line in path.read_text().splitlines() if line.startswith("#")]
    about = [line for line in comments if line and not re.match("!|SPDX|Copyright|shellcheck", line)]
    processors = next((int(line.removeprefix("Processors: ")) for line in about if line.startswith("Processors: ")), 1)
    limit = next((re.match(r"Limit: (\d+) s", line) for line in about if line.startswith("Limit:")), None)
    return Scenario(path.name, path, about[0], int(limit[1]) if limit else DEFAULT_SECONDS, processors,
                    "Core" in about)


def all_scenarios():
    return [read_scenario(path) for path in sorted(FOLDER.iterdir())]


def select(patterns, core=False):
    """Those named, in the order of the names given; all without any. With `core` of these only what is core."""
    found = [scenario for scenario in all_scenarios() if scenario.core or not core]
    if not patterns:
        return found
    chosen = []
    for pattern in patterns:
        matching = [scenario for scenario in found if fnmatch(scenario.name, pattern)]
        if not matching:
            raise NoScenario(f"no {'core ' if core else ''}scenario {pattern}; --list shows them")
        chosen += [scenario for scenario in matching if scenario not in chosen]
    return chosen
