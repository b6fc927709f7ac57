// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/formats/formats.hpp"

#include <algorithm>

#include "drivers/null/format.hpp"
#include "drivers/qcow2/format.hpp"
#include "drivers/raw/format.hpp"
#include "drivers/vhd/format.hpp"

namespace blktap {
namespace {

constexpr const Format* formats[] = {&null_format, &qcow2::format, &raw_format, &vhd::format};

const Format* find(std::string_view Format::*name, std::string_view wanted) noexcept {
    const auto found = std::ranges::find_if(formats, [&](const Format* each) { return each->*name == wanted; });
    return found == std::ranges::end(formats) ? nullptr : *found;
}

}  // namespace

std::span<const Format* const> all_formats() noexcept {
    return formats;
}

const Format& plain_format() noexcept {
    return raw_format;
}

const Format* find_format(std::string_view name) noexcept {
    return find(&Format::name, name);
}

const Format* find_tap_type(std::string_view type) noexcept {
    return find(&Format::tap_type, type);
}

}  // namespace blktap
