// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A note of tap-ctl about a new image whose base lies where tapback opens backing files only if the operator's settings
// say so. tap-ctl, with the rights of its caller, makes such an image all the same.
//
// Tested by tests/unit/control/image_change_test.cpp.
#pragma once

#include <iosfwd>
#include <string>

namespace blktap::tap_ctl {

/// Writes a line to `notes` if tapback, with its default settings, does not open `base`, which the image at `path`
/// names.
void note_where_base_is(const std::string& path, const std::string& base, std::ostream& notes);

}  // namespace blktap::tap_ctl
