// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// BLKTAP_ASSERT, for bugs of this program only. Input from a guest or an image is never asserted on: it becomes an
// error response or a logged event. Always on, because a wrong write costs more than a stopped process.
#pragma once

namespace blktap {

/// Prints the failed expression with its place to stderr and aborts.
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace blktap

#define BLKTAP_ASSERT(expression) \
    (static_cast<bool>(expression) ? void(0) : ::blktap::assertion_failed(#expression, __FILE__, __LINE__))
