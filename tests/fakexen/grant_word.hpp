// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A grant as one 64-bit word, so that a copy judges it with one load and a revocation is one store.
#pragma once

#include "tests/fakexen/layout.hpp"

namespace fakexen {

struct Grant {
    DomainId owner = 0;
    DomainId grantee = 0;
    ProcessId process = 0;  ///< who shares it; 0: nothing is granted
    bool writable = false;

    explicit operator bool() const noexcept { return process != 0; }
};

inline constexpr std::uint64_t no_grant = 0;

inline std::uint64_t to_word(const Grant& grant) noexcept {
    return std::uint64_t{grant.owner} | std::uint64_t{grant.grantee} << 16 | std::uint64_t{grant.process} << 32 |
           std::uint64_t{grant.writable} << 48;
}

inline Grant from_word(std::uint64_t word) noexcept {
    return {.owner = static_cast<DomainId>(word),
            .grantee = static_cast<DomainId>(word >> 16),
            .process = static_cast<ProcessId>(word >> 32),
            .writable = (word >> 48 & 1) != 0};
}

}  // namespace fakexen
