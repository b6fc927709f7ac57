// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/file_end.hpp"

#include "drivers/shared/blocking_io.hpp"

namespace blktap::qcow2 {

std::error_code FileEnd::make_room(std::uint64_t begin, std::uint64_t end) noexcept {
    if (!file().growable) return std::make_error_code(std::errc::no_space_on_device);
    const int fd = file().fd.get();
    if (const auto error = require_length(fd, begin)) return error;
    return lengthen(fd, begin, begin, end);
}

void FileEnd::cut(std::uint64_t end_bytes) noexcept {
    if (activity().growths == 0 || end_bytes >= file().file_end) return;
    const int fd = file().fd.get();
    if (require_length(fd, end_bytes)) return;  // somebody cut it already, and it must not become longer
    if (!set_length(fd, end_bytes)) file().file_end = end_bytes;
}

}  // namespace blktap::qcow2
