#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Which folder may include which: the layers of docs/ARCHITECTURE.md as a table. Which may call kill(2).
import re
from pathlib import Path

from tree import SOURCES, includes, lines, paths, report

LIBRARY = {"libblktap"}
TAPBACK = LIBRARY | {"drivers/formats", "drivers/shared"}


def tapback(*folders):
    return {"control/tapback/" + folder for folder in folders}


# Programs include no header of a format, only these.
FORMATS = {"drivers/formats", "drivers/shared", "drivers/registry.hpp"}
# A folder may include itself, the folders in its row, and folders inside these. The longest matching row applies to a file.
MAY_INCLUDE = {
    "libblktap/base": set(),
    "libblktap/ipc": {"libblktap/base"},
    "libblktap/aio": {"libblktap/base"},
    "libblktap/ring": {"libblktap/base"},
    "libblktap/xen": {"libblktap/base"},
    "libblktap/xenstore": {"libblktap/base"},
    "libblktap/files": {"libblktap/base"},
    "libblktap/driver_api": {"libblktap/base", "libblktap/aio", "libblktap/files"},
    "drivers": {"libblktap/base", "libblktap/aio", "libblktap/files", "libblktap/driver_api"},
    # The bytes of an image: no I/O.
    "drivers/qcow2/metadata": {"libblktap/base", "drivers/shared"},
    "drivers/vhd/metadata": {"libblktap/base", "libblktap/files", "drivers/shared"},
    # Descriptions of formats, which programs use without any driver; a DESCRIPTION belongs to it.
    "drivers/formats": set(),
    # A disk serves any client: it knows no ring and no Xen.
    "tapdisk/disk": {"libblktap/base", "libblktap/aio", "libblktap/ipc", "libblktap/driver_api"} | FORMATS,
    "tapdisk/ring": LIBRARY | {"tapdisk/disk"},
    "tapdisk": LIBRARY | FORMATS,
    # drivers/shared: options as an operator writes them. No driver.
    "control/tapback": TAPBACK,
    "control/tapback/vbd": TAPBACK | tapback("xenbus", "session", "storage", "system", "config"),
    "control/tapback/xenbus": TAPBACK | tapback("session", "system"),
    "control/tapback/session": TAPBACK | tapback("storage", "system"),
    "control/tapback/storage": TAPBACK | tapback("system", "config"),
    "control/tapback/system": TAPBACK,
    "control/tapback/config": TAPBACK,
    "control/client": LIBRARY | {"drivers/formats"},
    "control/hotplug": LIBRARY | {"control/client"},
    "control/tap_ctl": LIBRARY | {"control/client", "drivers/tools.hpp"} | FORMATS,
    # The simulated guest shares no code with tapdisk, so that it does not share its mistakes.
    "tests/replay": {"libblktap/base", "libblktap/ring", "libblktap/xen", "libblktap/xenstore", "libblktap/ipc",
                     "tests/support"},
    "tests": LIBRARY | {"drivers", "tapdisk", "control"},
}
DESCRIPTION = "drivers/*/format.hpp"
# System headers that only their owner includes; all others use the owner's types. The longest matching prefix counts.
OWNED_HEADERS = {
    "xenstore.h": ("libblktap/xenstore", "tests"),
    "xenctrl.h": ("control/tapback", "tests"),
    "xen": ("libblktap/xen", "tests"),
    "libaio.h": ("libblktap/aio", "tests"),
    "spdlog/": ("libblktap/base", "tests"),
}
# A pid of 0 or less makes kill(2) signal many processes, such as a pid that was looked for in vain. Other tests use
# testing::send_signal().
MAY_CALL_KILL = ("control/tapback/system", "tests/support", "tests/unit/xen/peer.cpp", "tests/crash/mortal/death.cpp")


def inside(path, folder):
    return path == Path(folder) or Path(folder) in path.parents


def row_of(path):
    if path.match(DESCRIPTION):
        return "drivers/formats"
    rows = [folder for folder in MAY_INCLUDE if inside(path, folder)]
    return max(rows, key=len, default=None)


def check(top):
    for path in paths(top, *SOURCES):
        row = row_of(path)
        if row is None:
            yield f"{path}:1: its folder has no row in tests/house/layers.py"
            continue
        for number, kind, name in includes(top, path):
            if kind == '"':
                if row == "drivers/formats" and Path(name).match(DESCRIPTION):
                    continue
                if not any(inside(Path(name), folder) for folder in MAY_INCLUDE[row] | {row}):
                    yield f"{path}:{number}: {row} may not include {name}"
                continue
            prefix = max((each for each in OWNED_HEADERS if name.startswith(each)), key=len, default=None)
            if prefix and not any(inside(path, owner) for owner in OWNED_HEADERS[prefix]):
                yield f"{path}:{number}: <{name}> is for {' and '.join(OWNED_HEADERS[prefix])} only"


def check_kill(top):
    for path in paths(top, *SOURCES):
        if any(inside(path, owner) for owner in MAY_CALL_KILL):
            continue
        for number, text in lines(top, path):
            if re.search(r"(?<!\w)::kill\(", text):
                yield f"{path}:{number}: kill(2) is for {', '.join(MAY_CALL_KILL)} only"


if __name__ == "__main__":
    report(check, check_kill)
