// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/file_end.hpp"

#include <cerrno>
#include <fcntl.h>
#include <limits>

#include "drivers/shared/blocking_io.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::vhd {
namespace {

/// Cuts the file behind `begin` and a hole of tail_bytes. Only where holes cannot be punched the file ends at `begin`
/// for a moment.
std::error_code cut(int fd, std::uint64_t begin) noexcept {
    if (const auto error = set_length(fd, begin + tail_bytes)) return error;
    constexpr int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    if (::fallocate(fd, punch, static_cast<off_t>(begin), static_cast<off_t>(tail_bytes)) == 0) return {};
    if (const auto error = set_length(fd, begin)) return error;
    return set_length(fd, begin + tail_bytes);
}

std::error_code lengthen_with_tail(int fd, std::uint64_t begin, std::uint64_t end) noexcept {
    if (const auto error = lengthen(fd, begin + tail_bytes, begin, end)) return error;
    return set_length(fd, end + tail_bytes);
}

}  // namespace

FileEnd::FileEnd(Image& image) noexcept
    : tables::FileEnd(image),
      layer_(image.top()),
      // The footer is in a device's last sector.
      limit_(layer_.growable ? std::numeric_limits<std::uint64_t>::max()
                             : round_down(layer_.file_bytes - footer_bytes, layer_.offset_alignment)),
      cuts_first_(layer_.growable && layer_.file_bytes > layer_.file_end) {}

std::error_code FileEnd::make_room(std::uint64_t begin, std::uint64_t end) noexcept {
    const int fd = layer_.fd.get();
    if (end > limit_) return std::make_error_code(std::errc::no_space_on_device);
    if (!layer_.growable) return zero_range(fd, begin, end);
    if (const auto error = require_length(fd, least_file_bytes(layer_))) return error;
    // Remove a footer, or data that was written before a crash and never became part of the image.
    if (cuts_first_) {
        if (const auto error = cut(fd, begin)) return error;
    }
    return lengthen_with_tail(fd, begin, end);
}

void FileEnd::room_tried(bool made) noexcept {
    // The footer at the end is gone: until the image is closed there is only the one at the beginning.
    if (layer_.growable) layer_.end_footer = false;
    if (!made) return;
    cuts_first_ = false;
    if (layer_.growable) layer_.file_bytes = layer_.file_end + tail_bytes;
}

}  // namespace blktap::vhd
