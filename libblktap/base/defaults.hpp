// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Defaults of those options of tapdisk that tapback has too, because it passes them on; neither program includes the
// other.
#pragma once

#include <cstdint>
#include <sys/types.h>

namespace blktap {

/// --poll-us: never. On a quiet machine polling costs throughput and processor time (docs/decisions/0010).
inline constexpr unsigned default_poll_us = 0;

/// Memory for the tables of all images of a disk together: enough for disks of 16 TiB.
inline constexpr std::uint64_t default_memory_budget_bytes = 256ULL << 20;

/// Tapdisks in a sandbox are users from here on. Above the ids of containers (Debian's subuid: to 600100000;
/// systemd-nspawn: to 1879048191) and of directory services (sssd and IPA: to 2000200000), below those that systemd
/// gives to foreign images (from 2147352576).
inline constexpr uid_t default_first_user = 0x78000000;

}  // namespace blktap
