#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Numbers in documents are those of the code: each row names a text with a number, and the constant that it must equal.
import re
from pathlib import Path

from tree import report

UNITS = {"": 1, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "milliseconds": 1e-3, "ms": 1e-3, "s": 1, "seconds": 1,
         "pages": 4096}
# (document, text around (the number) and perhaps (its unit), source, constant); a second number is taken from the constant's unit.
QUOTED = [
    ("docs/ARCHITECTURE.md", r"\*\*Limits of a turn\*\*: ([\d,]+) requests", "tapdisk/disk/scheduler.hpp", "turn_budget"),
    ("docs/ARCHITECTURE.md", r"bounded: ([\d,]+) (MiB) of pooled pages", "tapdisk/ring/page_pool.hpp", "page_count", "pages"),
    ("docs/ARCHITECTURE.md", r"grants, ([\d,]+) mapped pages for each", "tapdisk/ring/persistent_grants.hpp", "pages_per_slot"),
    ("docs/ARCHITECTURE.md", r"slots, ([\d,]+) at most", "tapdisk/ring/persistent_grants.hpp", "pages_max"),
    ("docs/INSTALL.md", r"may take ([\d,]+) (MiB) of it", "libblktap/base/defaults.hpp", "default_memory_budget_bytes"),
    ("docs/INSTALL.md", r"guest takes at most\s+([\d,]+) (MiB) for data", "tapdisk/ring/page_pool.hpp", "page_count", "pages"),
    ("docs/FULL-DISK.md", r"After ([\d,]+) (s) that is a problem", "tapdisk/disk/retry_delays.hpp", "problem_quiet"),
    ("docs/control-protocol.md", r"UTF-8 of at most ([\d,]+) (KiB)", "libblktap/ipc/message_socket.hpp", "message_size_max_bytes"),
    ("docs/control-protocol.md", r"nested at most ([\d,]+) deep", "libblktap/ipc/channel.hpp", "json_depth_max"),
    ("docs/control-protocol.md", r"with at most ([\d,]+) descriptors", "libblktap/ipc/message_socket.hpp", "message_descriptors_max"),
    ("docs/control-protocol.md", r"Of one client ([\d,]+) requests", "libblktap/ipc/request_server.hpp", "taken_per_wakeup"),
    ("docs/control-protocol.md", r"`domain` \| number, to ([\d,]+)", "libblktap/ipc/parts_of_messages.hpp", "domain_max"),
    ("docs/control-protocol.md", r"`queues` \| array of 1 to ([\d,]+)", "libblktap/ipc/parts_of_messages.hpp", "queues_max"),
    ("docs/control-protocol.md", r"`queues\[\]\.ring-refs` \| array of 1 to ([\d,]+)", "libblktap/ipc/parts_of_messages.hpp", "ring_pages_max"),
    ("docs/control-protocol.md", r"memfd of 1 byte to ([\d,]+) (GiB)", "tapdisk/ring/local_transport.hpp", "memory_max_bytes"),
    ("docs/control-protocol.md", r"At most ([\d,]+) queues\.", "libblktap/ipc/parts_of_messages.hpp", "local_queues_max"),
    ("docs/control-protocol.md", r"until none has come for ([\d,]+)\s+(milliseconds)", "tapdisk/ring/ring_drain.hpp", "quiet"),
    ("docs/control-protocol.md", r"have come for ([\d,]+) (milliseconds), or after", "tapdisk/ring/abandoned_rings.hpp", "quiet"),
    ("docs/control-protocol.md", r"milliseconds, or after ([\d,]+) (seconds)", "tapdisk/ring/abandoned_rings.hpp", "at_most"),
    ("docs/control-protocol.md", r"stayed away for ([\d,]+) (seconds)", "tapdisk/disk/retry_delays.hpp", "problem_quiet"),
    ("docs/man/ring-replay.1.scd", r"Needs no Xen; at most ([\d,]+) queues", "libblktap/ipc/parts_of_messages.hpp", "local_queues_max"),
    ("docs/man/ring-replay.1.scd", r"more than ([\d,]+) segments", "libblktap/ring/wire.hpp", "segments_direct_max"),
    ("docs/man/tapdisk.8.scd", r"after ([\d,]+) (milliseconds), then less often", "tapdisk/disk/retry_delays.hpp", "retry_delay_min"),
    ("docs/man/tapdisk.8.scd", r"down to every ([\d,]+) (seconds)", "tapdisk/disk/retry_delays.hpp", "retry_delay_max"),
    ("docs/man/tapdisk-vhd.7.scd", r"says, at most ([\d,]+) (GiB)", "drivers/vhd/metadata/footer.hpp", "disk_bytes_max"),
    ("docs/man/tapdisk-raw.7.scd", r"32 MiB to ([\d,]+) (MiB)\)", "drivers/shared/file_growth.hpp", "ahead_max_bytes"),
    ("docs/man/tapdisk.conf.5.scd", r"then one in ([\d,]+) (seconds)", "libblktap/ipc/problem_states.hpp", "beginnings_interval"),
    ("docs/man/tapdisk.conf.5.scd", r"While ([\d,]+) of the program run", "control/tapback/vbd/problem_hook.hpp", "running_max"),
    ("docs/GLOSSARY.md", r"written at once; at most ([\d,]+) (bytes)", "drivers/shared/slice_cache.hpp", "slice_bytes_max"),
]
KNOWN = {"page_size_bytes": 4096, "sector_size_bytes": 512}


def value_of(text):
    """The value of a constant's initialiser, in bytes, seconds or pieces; None if it is no number."""
    text = re.sub(r"std::chrono::(seconds|milliseconds)\((\d+)\)", lambda m: f"({m[2]} * {UNITS[m[1]]})", text)
    text = re.sub(r"std::\w+\{(\w+)\}", r"\1", text).replace("'", "")
    text = re.sub(r"\b(0x[0-9a-fA-F]+|\d+)[uUlL]*\b", r"\1", text)
    for name, known in KNOWN.items():
        text = re.sub(rf"\b{name}\b", str(known), text)
    if not re.fullmatch(r"[\dxa-fA-F.eE\s()*+<-]+", text):
        return None
    return eval(text)  # pylint: disable=eval-used  # only numbers and operators are left


def constant(top, source, name):
    match = re.search(rf"\bconstexpr [\w:]+ {name} =\s*([^;]+);", (top / source).read_text()) if (top / source).exists() else None
    return value_of(match[1]) if match else None


def check(top, quoted=None):
    for document, text, source, name, *unit in QUOTED if quoted is None else quoted:
        page = (top / document).read_text() if (top / document).exists() else ""
        found = re.search(text, page)
        if not found:
            yield f"{document}:1: has no text like '{text}', which tests/house/constants.py wants to compare"
            continue
        line = page.count("\n", 0, found.start()) + 1
        said = int(found[1].replace(",", "")) * UNITS[found[2] if found.re.groups > 1 else ""]
        is_worth = constant(top, Path(source), name)
        if is_worth is None:
            yield f"{source}:1: has no constant {name} with a number"
        elif abs(is_worth * UNITS[unit[0] if unit else ""] - said) > 1e-9:
            yield f"{document}:{line}: says {found[1]}, but {name} of {source} is {is_worth}"


if __name__ == "__main__":
    report(check)
