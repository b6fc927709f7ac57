// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What tap-ctl says of an image over another one that tapback will only serve with a setting of the operator's: with
// these rights it could be made all the same.
//
// Tested by tests/unit/control/image_change_test.cpp.
#pragma once

#include <iosfwd>
#include <string>

namespace blktap::tap_ctl {

/// A line in `notes` if tapback, as it is by default, does not open `base`, which the image at `path` names.
void note_where_base_is(const std::string& path, const std::string& base, std::ostream& notes);

}  // namespace blktap::tap_ctl
