// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/shared/options.hpp"

#include <charconv>
#include <limits>

#include "libblktap/base/error.hpp"

namespace blktap {

std::optional<std::uint64_t> parse_size(const std::string& text) noexcept {
    std::uint64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [suffix, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc{}) return std::nullopt;
    if (suffix == end) return value;
    constexpr std::string_view units = "KMGT";
    const std::size_t unit = units.find(*suffix);
    if (unit == std::string_view::npos || suffix + 1 != end) return std::nullopt;
    const unsigned shift = 10 * (static_cast<unsigned>(unit) + 1);
    if (value > std::numeric_limits<std::uint64_t>::max() >> shift) return std::nullopt;
    return value << shift;
}

std::string size_mistake(const std::string& text) {
    const auto bytes = parse_size(text);
    return bytes && *bytes > 0 ? "" : text + ": not a size such as 64K, 10M, 1G or 2T";
}

std::optional<std::string> OptionReader::take(const std::string& name) {
    const auto node = left_.extract(name);
    if (node.empty()) return std::nullopt;
    return node.mapped();
}

bool OptionReader::take_flag(const std::string& name, bool absent) {
    const auto value = take(name);
    if (!value) return absent;
    if (*value != "yes" && *value != "no") refuse("option " + name + "=" + *value + ": neither yes nor no");
    return *value == "yes";
}

std::uint64_t OptionReader::take_size(const std::string& name, std::uint64_t absent) {
    const auto value = take(name);
    if (!value) return absent;
    const auto size_bytes = parse_size(*value);
    if (!size_bytes) refuse("option " + name + "=" + *value + ": not a size such as 512, 64K, 10M, 1G or 2T");
    if (*size_bytes == 0 || *size_bytes % sector_size_bytes != 0) {
        refuse("option " + name + "=" + *value + ": not a multiple of 512 bytes, or 0");
    }
    return *size_bytes;
}

std::string OptionReader::take_text(const std::string& name) {
    const auto text = take(name);
    if (text && text->empty()) refuse("option " + name + " is empty");
    return text.value_or("");
}

void OptionReader::finish() const {
    if (!left_.empty()) refuse("unknown option '" + left_.begin()->first + "'");
}

void OptionReader::refuse(const std::string& reason) const {
    throw_reason(std::make_error_code(std::errc::invalid_argument), image_name(spec_) + ": " + reason);
}

}  // namespace blktap
