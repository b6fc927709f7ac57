// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/tools.hpp"

#include <algorithm>

#include "drivers/qcow2/tools.hpp"
#include "drivers/vhd/tools.hpp"

namespace blktap {
namespace {

constexpr const FormatTools* tools[] = {&qcow2::tools, &vhd::tools};

}  // namespace

std::span<const FormatTools* const> all_tools() noexcept {
    return tools;
}

const FormatTools* find_tools(std::string_view name) noexcept {
    const auto found = std::ranges::find_if(tools, [&](const FormatTools* each) { return each->format->name == name; });
    return found == std::ranges::end(tools) ? nullptr : *found;
}

}  // namespace blktap
