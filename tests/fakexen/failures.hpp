// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Failures on demand, addressed by count: the n-th call of a kind in this process fails, once. A test loops n upwards
// until its failure no longer finds a call to hit, and so has broken every call there is.
//
// Tested by tests/unit/xen/fakexen_failures_test.cpp.
#pragma once

#include <cstdint>
#include <string_view>

namespace fakexen {

enum class Call : std::uint8_t { map, copy, copy_segment, bind, share, notify, open_gnttab, open_evtchn };

/// Lets the `n`-th call from now fail (1: the next one). `error` is an errno, or the negative status of a segment for
/// copy_segment; 0 takes what a real machine most likely says.
void fail_nth(Call call, std::uint64_t n, int error = 0) noexcept;
/// True until the failure of fail_nth() has happened.
bool failure_is_due(Call call) noexcept;
/// Forgets all failures that are due.
void fail_nothing() noexcept;
/// "map:3,copy_segment:5:-8": call, count and, where wanted, the error. Aborts on anything else: a misspelt failure
/// would let a test pass that tests nothing.
void fail_as_told(std::string_view text);

/// Counts one call. 0: let it happen; else it has to fail with this error.
int due_failure(Call call) noexcept;

}  // namespace fakexen
