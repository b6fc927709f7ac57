// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/files/image_opener.hpp"

#include "libblktap/base/error.hpp"

namespace blktap {

UniqueFd ImageOpener::open_named(const std::string& path, const std::string&, Access access, Caching caching) {
    if (access == Access::read_only) return open(path, access, caching);
    throw_reason(std::make_error_code(std::errc::operation_not_permitted),
                 path +
                     ": only the image names it, which a guest may have written (to write a data file, name it with "
                     "the option data-file=PATH)");
}

UniqueFd ImageOpener::connect(const std::string& address) {
    throw_reason(std::make_error_code(std::errc::operation_not_supported),
                 address + ": images on servers are not opened through a controller");
}

DeviceDiscard ImageOpener::device_discard(int fd) {
    return read_device_discard(fd);
}

}  // namespace blktap
