// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Examines an image that no disk uses: whether its tables agree with each other, and where the disk's contents are.
// Only reads.
//
// Tested by tests/unit/qcow2/examine_test.cpp.
#pragma once

#include <functional>
#include <string>

#include "drivers/qcow2/layer.hpp"

namespace blktap::qcow2 {

struct Findings {
    std::uint64_t clusters_used = 0;
    std::uint64_t leaked_clusters = 0;  ///< counted more often than they are used: harmless, but lost space
    /// Of an image that was not closed (the dirty bit), which tapdisk counts anew: not errors.
    std::uint64_t miscounted_clusters = 0;
    std::uint64_t errors = 0;
    std::string first_error{};
};

/// Called now and then with the progress of the work.
using Progress = std::function<void(std::uint64_t done, std::uint64_t all)>;

/// Compares the refcounts of a qcow2 layer with the references of its tables. An error that prevents opening for
/// writing comes first, in the same words. References of snapshots and bitmaps are not followed: their clusters count
/// as leaked. Errors: throws std::system_error (I/O; more clusters than this program supports). Context: blocks.
Findings check_tables(const Layer& layer, const Progress& progress = {});

/// Calls `visit` for each extent of the disk, in order; together they cover all of it. An invalid extent covers the
/// part of the disk that is damaged. Errors: throws std::system_error (I/O). Context: blocks.
void map_disk(const Chain& chain, const std::function<void(std::uint64_t offset, const Extent&)>& visit);

}  // namespace blktap::qcow2
