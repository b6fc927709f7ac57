# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# The scenarios: scripts that dom0 runs, what their first lines say about them, and on which hosts each of them runs.
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from hosts import HOST_NAMES

FOLDER = Path(__file__).resolve().parent / "scenarios"
DEFAULT_SECONDS = 400


class NoScenario(Exception):
    """A name that is nobody's, or a scenario that does not run on the host that was asked for."""


@dataclass(frozen=True)
class Scenario:
    name: str
    path: Path
    summary: str
    seconds: int
    processors: int  # of dom0's
    core: bool  # one of those that ./test.sh runs
    only_host: str  # the name of the one that it can run on, or ''
    reason: str  # why no other


def read_scenario(path):
    """The sentence below the licence, and what else it says of itself: "# Limit: 300 s", "# Processors: 2", "# Core",
    "# Host: debian-13, because ..."."""
    comments = [line.removeprefix("#").strip() for line in path.read_text().splitlines() if line.startswith("#")]
    about = [line for line in comments if line and not re.match("!|SPDX|Copyright|shellcheck", line)]
    processors = next((int(line.removeprefix("Processors: ")) for line in about if line.startswith("Processors: ")), 1)
    limit = next((re.match(r"Limit: (\d+) s", line) for line in about if line.startswith("Limit:")), None)
    only = next((re.fullmatch(r"Host: (\S+), because (.+)", line) for line in about if line.startswith("Host:")), None)
    if only and only[1] not in HOST_NAMES:
        raise NoScenario(f"{path}: no host {only[1]}")
    return Scenario(path.name, path, about[0], int(limit[1]) if limit else DEFAULT_SECONDS, processors,
                    "Core" in about, only[1] if only else "", only[2] if only else "")


def all_scenarios():
    return [read_scenario(path) for path in sorted(FOLDER.rglob("*"), key=lambda path: path.name) if path.is_file()]


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


class Plan:
    """Which scenario runs on which host. By default each runs once, on `own`, or on the only host that it can run on."""

    def __init__(self, own, host="", all_hosts=False, core_everywhere=False, without=()):
        """`host` is the only one, `core_everywhere` has the core scenarios run on each; `without` are left out."""
        self.own = own
        self.host = host
        self.all_hosts = all_hosts
        self.core_everywhere = core_everywhere
        self.without = without

    def left_out(self, scenario, host):
        """Why the scenario does not run on the host, or ''."""
        if host in self.without:
            return "left out as --without says"
        if scenario.only_host and scenario.only_host != host:
            return scenario.reason
        if self.host:
            return "" if self.host == host else f"--host says {self.host}"
        if scenario.only_host or self.all_hosts or host == self.own or (self.core_everywhere and scenario.core):
            return ""
        return "one host is enough" if self.core_everywhere else "this machine's own release is enough"

    def of(self, host, scenarios):
        return [scenario for scenario in scenarios if not self.left_out(scenario, host)]

    def check(self, scenarios):
        """Refuses a scenario that was named and would run nowhere."""
        for scenario in scenarios:
            reasons = {host: self.left_out(scenario, host) for host in HOST_NAMES}
            if all(reasons.values()):
                raise NoScenario(f"{scenario.name} runs on no host: " + "; ".join(f"{host}: {why}" for host, why in reasons.items()))
