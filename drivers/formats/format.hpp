// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Format: the description of a format, for programs that do not run its driver. It is only data: tapback, which opens
// files for every tapdisk, uses it without linking a driver. Each format has one, in drivers/NAME/format.hpp.
//
// Tested by tests/unit/drivers/formats_test.cpp.
#pragma once

#include <span>
#include <string_view>

namespace blktap {

struct Format {
    /// The name that people write before the colon of an image's name.
    std::string_view name;
    /// The name that Xen's script block-tap uses.
    std::string_view tap_type;
    /// An image may name other files, in a header that its owner or a guest may have written. tapback lets the image's
    /// tapdisk read such files if its rules allow them; for other formats, only the image itself.
    bool names_other_files = false;
    /// The option by which the operator names the file with the image's data; empty: the format has no such file.
    std::string_view data_file_option{};
    /// The options that mean the same for a new image over this one, so that a snapshot keeps them. Options that are
    /// not listed concern only the image for which they were given, such as a raw image's size.
    std::span<const std::string_view> options_kept{};
};

}  // namespace blktap
