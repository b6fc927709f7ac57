// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/disk/storage_policy.hpp"

#include <algorithm>
#include <charconv>

#include "drivers/shared/options.hpp"
#include "libblktap/base/error.hpp"

namespace blktap {
namespace {

constexpr std::uint64_t low_space_default_bytes = 1ULL << 30;
constexpr std::uint64_t seconds_max = 365ULL * 24 * 60 * 60;

std::optional<std::string> take(ImageSpec& image, const char* name) {
    const auto node = image.options.extract(name);
    if (node.empty()) return std::nullopt;
    return node.mapped();
}

[[noreturn]] void refuse(const ImageSpec& image, const char* name, const std::string& value, const char* reason) {
    throw_reason(std::make_error_code(std::errc::invalid_argument),
                 image_name(image) + ": option " + name + "=" + value + ": " + reason);
}

std::optional<Nanoseconds> take_timeout(ImageSpec& image, const char* name) {
    const auto value = take(image, name);
    if (!value || *value == "forever") return std::nullopt;
    std::uint64_t seconds = 0;
    const char* const end = value->data() + value->size();
    const auto [rest, error] = std::from_chars(value->data(), end, seconds);
    if (error != std::errc{} || rest != end || seconds > seconds_max) {
        refuse(image, name, *value, "neither \"forever\" nor seconds, at most a year of them");
    }
    return std::chrono::seconds(seconds);
}

}  // namespace

bool StoragePolicy::is_low(std::uint64_t free_bytes, std::uint64_t total_bytes) const noexcept {
    return free_bytes < low_space_bytes.value_or(std::min(low_space_default_bytes, total_bytes / 20));
}

StoragePolicy take_storage_policy(ImageSpec& image) {
    StoragePolicy policy;
    policy.no_space_timeout = take_timeout(image, "enospc-timeout");
    if (const auto value = take(image, "on-error")) {
        if (*value != "report" && *value != "hold") refuse(image, "on-error", *value, "neither report nor hold");
        policy.hold_errors = *value == "hold";
    }
    if (const auto value = take(image, "low-space")) {
        policy.low_space_bytes = *value == "off" ? 0 : parse_size(*value);
        if (!policy.low_space_bytes)
            refuse(image, "low-space", *value, "neither \"off\" nor a size such as 512M or 10G");
    }
    return policy;
}

}  // namespace blktap
