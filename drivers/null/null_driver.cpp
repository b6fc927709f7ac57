// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/null/null_driver.hpp"

#include <cstring>

#include "drivers/shared/options.hpp"
#include "libblktap/base/error.hpp"

namespace blktap {

void NullDriver::start(ImageRequest& request) noexcept {
    if (request.kind == ImageRequest::Kind::read) {
        // Costs as much as a copy, and does not leak the former contents of the memory to the guest.
        for (const iovec& entry : request.data)
            std::memset(entry.iov_base, 0, entry.iov_len);
    }
    request.complete();
}

std::unique_ptr<ImageDriver> open_null_image(const ImageSpec& spec, const DriverContext&) {
    OptionReader options{spec};
    ImageInfo info;
    info.size_sectors = options.take_size("size", 1ULL << 30) / sector_size_bytes;
    info.read_only = spec.access == Access::read_only;
    info.discard = true;
    info.discard_granularity_bytes = sector_size_bytes;
    info.write_zeroes = info.fua = true;
    options.finish();
    if (!spec.path.empty()) {
        throw_reason(std::make_error_code(std::errc::invalid_argument), image_name(spec) + ": takes no path");
    }
    return std::make_unique<NullDriver>(info);
}

}  // namespace blktap
