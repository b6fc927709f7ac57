// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Catch2, whichever of its major versions the distribution has: 2.13 is one header (Debian 12), 3 is a library with a
// header for each part (Debian 13). Tests include this file instead of Catch2's own and use the names of version 2.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)

#include <string>

#include <catch2/catch_all.hpp>

namespace Catch {

using Matchers::EndsWith;
using Matchers::StartsWith;

/// Matches a text that contains `part`; version 3 gives this name to the matcher of ranges only.
inline auto Contains(const std::string& part) {
    return Matchers::ContainsSubstring(part);
}

}  // namespace Catch

#else

#include <catch2/catch.hpp>

#endif
