#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Each row of the threat model names its proof: files that exist, or "none" where the page may say so. An advisory (XSA-155) is named
# by one of the tests of its row, too, so that the test is found by that name; each advisory that a backend can learn from has a row.
import re

from tree import paths, report

PAGE = "docs/THREAT-MODEL.md"
# Advisories about backends, frontends, toolstacks and xenstored that a backend must have an answer to.
ADVISORIES = {"CVE-2013-2140"} | {f"XSA-{number}" for number in (
    115, 142, 155, 175, 178, 216, 229, 258, 266, 322, 326, 332, 349, 350, 361, 362, 365, 371, 376, 391, 396, 403, 483, 484, 512, 513,
    517, 521, 522, 523)}
# Of these no test of ours can say anything, and the page must say why.
UNTESTED = {"XSA-517": "a race in the hypervisor", "XSA-523": "a race in the hypervisor", "XSA-521": "its text is not known"}
ADVISORY = re.compile(r"XSA-\d+(?:(?:,| and) (?:XSA-)?\d+\b)*|CVE-\d{4}-\d+")


def advisories(text):
    """The full names in a text, which may shorten them: "XSA-361, 362"."""
    for match in ADVISORY.findall(text):
        yield from [match] if match.startswith("CVE") else (f"XSA-{number}" for number in re.findall(r"\d+", match))


def rows(top):
    """(line number, threat, proof) of each row that has a proof."""
    for number, text in enumerate((top / PAGE).read_text(encoding="utf-8").splitlines(), start=1):
        cells = [cell.strip() for cell in text.strip().strip("|").split(" | ")]
        if text.startswith("| ") and len(cells) == 3 and cells[2] != "proof":
            yield number, " ".join(cells[:2]), cells[2]


def check(top, wanted=None):
    known = set()
    for number, threat, proof in rows(top):
        known |= set(advisories(threat))
        names = [] if proof.startswith("none") else re.split(r",\s*", proof)
        lost = [name for name in names if not (top / name).exists()]
        for name in lost:
            yield f"{PAGE}:{number}: its proof is {name}, which does not exist"
        texts = [(top / name).read_text(encoding="utf-8") for name in names if name not in lost]
        for advisory in advisories(threat):
            if advisory in UNTESTED:
                continue
            if not any(re.search(rf"{advisory}\b", text) for text in texts):
                yield f"{PAGE}:{number}: none of the row's tests names {advisory}"
    for advisory in sorted((ADVISORIES if wanted is None else wanted) - known):
        yield f"{PAGE}:1: says nothing of {advisory}"


def check_tests(top):
    """A test that names an advisory is in the page."""
    page = set(advisories((top / PAGE).read_text(encoding="utf-8")))
    for path in paths(top, "_test.cpp"):
        for advisory in sorted(set(advisories((top / path).read_text(encoding="utf-8"))) - page):
            yield f"{path}:1: names {advisory}, of which {PAGE} says nothing"


if __name__ == "__main__":
    report(check, check_tests)
