#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Targets of references exist: links between pages, files that a text or a comment names, man pages.
import re
from pathlib import Path

from tree import cmake_text, lines, paths, report

TEXTS = (".md", ".cpp", ".hpp", ".py", ".sh", ".scd", "CMakeLists.txt", ".cmake", ".json", ".c")
NAMED_FILE = re.compile(r"(?<![\w./{}-])(?:docs|tests|libblktap|drivers|tapdisk|control|cmake)/[\w./-]*\.(?:md|cpp|hpp|py|sh|scd|cmake)\b")
DECISION = re.compile(r"docs/decisions/(\d{4})")
MAN_SECTION = re.compile(r"(?<![\w-])\**([a-z][a-z0-9-]+)\**\(([1-8])\)")


def prose(top, path):
    """A Markdown page's lines outside its fenced blocks."""
    fenced = False
    for number, text in lines(top, path):
        if text.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, text


def anchors(top, path):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = [text.lstrip("#").strip().lower() for _, text in prose(top, path) if text.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def check_links(top):
    for path in paths(top, ".md"):
        for number, text in prose(top, path):
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                if re.match(r"[a-z]+:", target):
                    continue
                name, _, anchor = target.partition("#")
                page = top / path.parent / name if name else top / path
                if not page.exists():
                    yield f"{path}:{number}: link to {name}, which does not exist"
                elif anchor and page.suffix == ".md" and anchor not in anchors(top, page.resolve().relative_to(top)):
                    yield f"{path}:{number}: link to #{anchor}, which is no heading of {name or path}"


def check_named_files(top):
    for path in paths(top, *TEXTS):
        if path.name == "house_test.py":
            continue
        for number, text in lines(top, path):
            for name in NAMED_FILE.findall(text):
                placeholder = re.search(r"NAME|NNNN", name)
                made_from = top / (name + ".in")
                if not placeholder and not (top / name).exists() and not made_from.exists():
                    yield f"{path}:{number}: names {name}, which does not exist"
            for decision in DECISION.findall(text):
                if not list((top / "docs/decisions").glob(decision + "-*.md")):
                    yield f"{path}:{number}: names docs/decisions/{decision}, which does not exist"


# Folders of the product: each says in its README what each of its files is for. Of tapback's, control/README.md does.
PRODUCT = ("libblktap", "drivers", "tapdisk", "control")


def check_readmes(top):
    for folder in sorted({path.parent for path in paths(top, ".cpp", ".hpp") if path.parts[0] in PRODUCT}):
        stems = {path.stem for path in paths(top, ".cpp", ".hpp") if path.parent == folder}
        readme = folder / "README.md"
        if not (top / readme).exists():
            yield f"{readme}:1: does not exist, and says nothing of {', '.join(sorted(stems))}"
            continue
        named = set(re.findall(r"[\w]+", (top / readme).read_text()))
        for stem in sorted(stems - named):
            yield f"{readme}:1: does not name {stem}"


def programs(top):
    """The programs that are built into bin/."""
    for path in paths(top, "CMakeLists.txt"):
        yield from re.findall(r"\bblktap_program\(\s*([\w-]+)", cmake_text(top, path))


def check_man_pages(top):
    pages = {path.stem: path for path in paths(top, ".scd")}  # "tapdisk.8": docs/man/tapdisk.8.scd
    for program in programs(top):
        if not {f"{program}.1", f"{program}.8"} & pages.keys():
            yield f"docs/man: no page for the program {program}"
    for folder in sorted({path.parts[1] for path in paths(top, ".cpp") if path.parts[0] == "drivers" and len(path.parts) > 2}):
        if folder not in ("formats", "shared", "tables") and not any(re.fullmatch(rf"(.*-)?{folder}(-.*)?\.7", page) for page in pages):
            yield f"docs/man: no page for the driver {folder}"

    ours = {page.rpartition(".")[0] for page in pages} | set(programs(top))
    for path in paths(top, ".md", ".scd"):
        for number, text in lines(top, path):
            for name, section in MAN_SECTION.findall(text):
                if (name in ours or name.startswith(("blktap", "tapdisk-"))) and f"{name}.{section}" not in pages:
                    yield f"{path}:{number}: names the man page {name}({section}), which does not exist"


if __name__ == "__main__":
    report(check_links, check_named_files, check_man_pages, check_readmes)
