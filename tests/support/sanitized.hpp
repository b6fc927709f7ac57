// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Whether this build has a sanitizer that keeps memory and changes what the kernel is asked for.
#pragma once

namespace blktap::testing {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;
#elif defined(__has_feature)
inline constexpr bool sanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
inline constexpr bool sanitized = false;
#endif

/// Of a limit of memory: a sanitizer keeps what was freed.
inline constexpr unsigned sanitizer_factor = sanitized ? 20 : 1;

}  // namespace blktap::testing
