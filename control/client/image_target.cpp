// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/client/image_target.hpp"

#include <string_view>

#include "drivers/formats/formats.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/driver_api/image_driver.hpp"
#include "libblktap/ipc/vbd_address.hpp"

namespace blktap {
namespace {

/// The prefix that libxl and block-tap write before the path of a plain image.
std::string plain_prefix() {
    return std::string(plain_format().tap_type) + ':';
}

[[noreturn]] void refuse(const std::string& reason) {
    throw_reason(std::make_error_code(std::errc::invalid_argument), reason);
}

ipc::ImageArguments checked(ipc::ImageArguments image) {
    // An image without a file, such as the null driver's, has an empty path. A relative path would depend on tapback's
    // working directory.
    if (!image.path.empty() && !image.path.starts_with('/')) {
        refuse("image '" + image.format + ':' + image.path + "': the path must begin with '/'");
    }
    return image;
}

ipc::ImageArguments plain(std::string_view path, bool read_only) {
    return checked({std::string(plain_format().name), std::string(path), read_only, {}});
}

}  // namespace

ipc::ImageArguments image_named(const std::string& text, bool read_only) {
    ImageSpec spec = parse_image_spec(text, read_only ? Access::read_only : Access::read_write);
    return checked({std::move(spec.format), std::move(spec.path), read_only, std::move(spec.options)});
}

ipc::ImageArguments image_of_tap(const std::string& text, bool read_only) {
    const std::size_t colon = text.find(':');
    if (colon == 0 || colon == std::string::npos || colon + 1 == text.size()) {
        refuse("'" + text + "' is not TYPE:FILE, for example aio:/srv/disk.img");
    }
    const std::string type = text.substr(0, colon);
    const Format* const known = find_tap_type(type);
    return checked({known != nullptr ? std::string(known->name) : type, text.substr(colon + 1), read_only, {}});
}

std::string tap_type(const std::string& format) {
    const Format* const known = find_format(format);
    return known != nullptr ? std::string(known->tap_type) : format;
}

ipc::ImageArguments image_of_params(const std::string& params, const std::string& mode) {
    const bool read_only = ipc::is_read_only_mode(mode);
    if (params.empty())
        refuse("the disk has no target; write target=FORMAT:/path, for example target=raw:/srv/disk.img");
    if (params.starts_with('/')) return plain(params, read_only);
    const std::string prefix = plain_prefix();
    if (!params.starts_with(prefix)) return image_named(params, read_only);
    const std::string rest = params.substr(prefix.size());
    if (rest.starts_with("/")) return plain(rest, read_only);
    if (rest.starts_with(prefix)) return plain(rest.substr(prefix.size()), read_only);
    return image_named(rest, read_only);
}

}  // namespace blktap
