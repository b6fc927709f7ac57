// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Format: what a format says of itself to programs that do not run its driver. It is data alone: tapback, which opens
// files for every tapdisk, has it without linking a driver. Each format has one, in drivers/NAME/format.hpp.
//
// Tested by tests/unit/drivers/formats_test.cpp.
#pragma once

#include <span>
#include <string_view>

namespace blktap {

struct Format {
    /// As people write it before the colon of an image's name.
    std::string_view name;
    /// What Xen's script block-tap calls the format.
    std::string_view tap_type;
    /// An image may name other files, in a header that its owner or a guest may have written. tapback then lets the
    /// image's tapdisk read such files, where its rules allow them; of any other format, nothing but the image itself.
    bool names_other_files = false;
    /// The option by which the operator says which file holds the image's data; empty: the format has no such file.
    std::string_view data_file_option{};
    /// The options that mean the same for a new image over this one, so that a snapshot keeps them. What the format
    /// does not list is about the one image for which it was given, as a raw image's size is.
    std::span<const std::string_view> options_kept{};
};

}  // namespace blktap
