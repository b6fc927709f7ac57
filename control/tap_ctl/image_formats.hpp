// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What tap-ctl can do with images of each format that is the format's own affair, as a table: a format is a line there.
// What every driver offers, such as a larger size, needs no line.
//
// Tested by tests/unit/control/image_change_test.cpp.
#pragma once

#include <cstdint>
#include <string>

namespace blktap {

/// An image that is to be, of the contents of another one at first.
struct Overlay {
    std::string path{};
    std::string base{};  ///< as it will stand in the image
    std::string base_format{};
    std::uint64_t size_bytes = 0;
};

/// How an image over one of `base_format` is made.
struct OverlayFormat {
    const char* base_format;
    const char* format;    ///< of the overlay
    bool always_relative;  ///< it names its base from its own directory, whether asked for it or not
    /// Makes it, durable; returns the path that its own name of the base leads to. Errors: throws std::system_error; no
    /// file is left then. EEXIST: it is there.
    std::string (*make)(const Overlay&);
};

/// Errors: throws std::system_error (EINVAL): nothing can be made over `base_format`, or not a `format`.
const OverlayFormat& overlay_format(const std::string& base_format, const std::string& format);

/// Where the image at `path` says that its data is, though a disk may be using it; empty: in the image, or it does not
/// say. Errors: throws std::system_error: those of the file, and of its header.
std::string named_data_file(const std::string& format, const std::string& path);

}  // namespace blktap
