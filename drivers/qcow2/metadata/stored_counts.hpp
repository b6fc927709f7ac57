// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Reference counts as a refcount block stores them: big-endian, of 2^order bits each, order 0 to 6 (the header's
// refcount_order; QEMU, docs/interop/qcow2.txt, "Refcount block entries").
//
// Tested by tests/unit/qcow2/refcounts_test.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace blktap::qcow2 {

/// Returns the count at `index` of the block's `bytes`.
std::uint64_t load_count(std::span<const std::byte> bytes, std::uint64_t index, unsigned order) noexcept;
/// Writes `count`, which fits, at `index`. The bits there must be zero.
void store_count(std::span<std::byte> bytes, std::uint64_t index, unsigned order, std::uint64_t count) noexcept;

}  // namespace blktap::qcow2
