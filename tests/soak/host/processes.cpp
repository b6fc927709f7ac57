// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/soak/host/processes.hpp"

#include "tests/soak/host/tapback_calls.hpp"
#include "tests/support/process.hpp"
#include "tests/support/sanitized.hpp"

namespace blktap::soak {
namespace {

struct Limits {
    std::size_t descriptors;
    std::uint64_t kib;
};

constexpr Limits tapback_bare{64, 48u << 10};
constexpr Limits tapback_per_disk{12, 1u << 10};
constexpr Limits tapdisk{96, 160u << 10};

void check(const std::string& name, pid_t pid, const Limits& limits) {
    if (const auto count = testing::descriptors_of(pid); count > limits.descriptors)
        throw Wrong(name + " has " + std::to_string(count) + " descriptors");
    if (const auto kib = testing::resident_kib_of(pid); kib > limits.kib * testing::sanitizer_factor)
        throw Wrong(name + " has " + std::to_string(kib) + " KiB of memory");
}

}  // namespace

void check_tapback(pid_t pid, unsigned disks) {
    check("tapback", pid,
          {tapback_bare.descriptors + tapback_per_disk.descriptors * disks,
           tapback_bare.kib + tapback_per_disk.kib * disks});
}

void check_tapdisk(pid_t pid) {
    check("tapdisk " + std::to_string(pid), pid, tapdisk);
}

}  // namespace blktap::soak
