// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/tables/table_options.hpp"

#include <string>

#include "libblktap/base/error.hpp"

namespace blktap::tables {
namespace {

constexpr std::uint64_t cache_bytes_max = 1ULL << 30;

[[noreturn]] void refuse(const ImageSpec& spec, const std::string& reason) {
    throw_reason(std::make_error_code(std::errc::invalid_argument), image_name(spec) + ": " + reason);
}

}  // namespace

TableOptions take_table_options(OptionReader& options, const ImageSpec& spec, const DriverContext& context,
                                std::uint64_t cache_bytes_default) {
    TableOptions taken;
    taken.caching = options.take_flag("buffered", false) ? Caching::buffered : Caching::direct;
    taken.cache_bytes = options.take_size("metadata-cache", cache_bytes_default);
    taken.memory_bytes = options.take_size("memory-budget", context.memory_budget_bytes);
    options.finish();
    if (spec.path.empty()) refuse(spec, "no path is given");
    if (taken.cache_bytes > cache_bytes_max) refuse(spec, "metadata-cache is more than 1G");
    return taken;
}

}  // namespace blktap::tables
