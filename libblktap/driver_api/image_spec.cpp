// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Reading "FORMAT:PATH[?option=value&...]".
#include <optional>
#include <string_view>

#include "libblktap/base/error.hpp"
#include "libblktap/driver_api/image_driver.hpp"

namespace blktap {
namespace {

using Options = std::map<std::string, std::string>;

constexpr std::string_view format_characters = "abcdefghijklmnopqrstuvwxyz0123456789";
constexpr std::string_view option_characters = "abcdefghijklmnopqrstuvwxyz-";

bool is_name(std::string_view text, std::string_view characters) {
    return !text.empty() && text.find_first_not_of(characters) == std::string_view::npos;
}

[[noreturn]] void refuse(const std::string& text, const std::string& reason) {
    throw_reason(std::make_error_code(std::errc::invalid_argument), "image '" + text + "': " + reason);
}

/// The options in `text`, which follows a '?'; nothing when it is not of the form name=value&name=value.
std::optional<Options> parse_options(std::string_view text, const std::string& whole) {
    Options options;
    std::string repeated;
    for (std::string_view rest = text;;) {
        const std::string_view part = rest.substr(0, rest.find('&'));
        const std::size_t equals = part.find('=');
        if (equals == std::string_view::npos || !is_name(part.substr(0, equals), option_characters))
            return std::nullopt;
        const std::string name{part.substr(0, equals)};
        if (!options.emplace(name, part.substr(equals + 1)).second) repeated = name;
        if (part.size() == rest.size()) break;
        rest.remove_prefix(part.size() + 1);
    }
    if (!repeated.empty()) refuse(whole, "option '" + repeated + "' is given twice");
    return options;
}

}  // namespace

ImageSpec parse_image_spec(const std::string& text, Access access) {
    const std::size_t colon = text.find(':');
    if (colon == std::string::npos || !is_name(std::string_view{text}.substr(0, colon), format_characters)) {
        refuse(text, "no format is named; write FORMAT:PATH, for example raw:/srv/disk.img");
    }
    ImageSpec spec{text.substr(0, colon), text.substr(colon + 1), access, {}};
    const std::size_t question = spec.path.rfind('?');
    if (question == std::string::npos) return spec;
    if (auto options = parse_options(std::string_view{spec.path}.substr(question + 1), text)) {
        spec.options = std::move(*options);
        spec.path.resize(question);
    }
    return spec;
}

std::string image_name(const ImageSpec& spec) {
    return spec.format + ":" + spec.path;
}

}  // namespace blktap
