// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The options that every format with tables has: buffered=yes|no, metadata-cache=SIZE and memory-budget=SIZE.
//
// Tested by tests/unit/qcow2/open_image_test.cpp.
#pragma once

#include <cstdint>

#include "drivers/shared/options.hpp"
#include "libblktap/driver_api/image_driver.hpp"

namespace blktap::tables {

struct TableOptions {
    Caching caching = Caching::direct;
    std::uint64_t cache_bytes = 0;   ///< for slices of tables
    std::uint64_t memory_bytes = 0;  ///< limit for all tables of the chain in memory
};

/// Takes these options from `options`, and finishes it: take a format's own options before. `spec` must name a path.
/// Errors: throws std::system_error (EINVAL).
TableOptions take_table_options(OptionReader& options, const ImageSpec& spec, const DriverContext& context,
                                std::uint64_t cache_bytes_default);

}  // namespace blktap::tables
