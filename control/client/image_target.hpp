// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Parses the names of images from people and toolstacks: on tap-ctl's command line, and in the "params" that xl writes
// for a disk. Pure functions: no file is opened or looked up.
//
// Tested by tests/unit/control/image_target_test.cpp.
#pragma once

#include <string>

#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap {

/// Parses "FORMAT:/path[?option=value&...]", as on a command line.
/// Errors: throws std::system_error (EINVAL) with a sentence: no format, a path that is not absolute.
ipc::ImageArguments image_named(const std::string& text, bool read_only);

/// Parses "TYPE:FILE" as Xen's block-tap script writes it: the file has no options, and the type "aio" means "raw".
/// Errors: as image_named().
ipc::ImageArguments image_of_tap(const std::string& text, bool read_only);

/// Returns the type by which Xen's block-tap script knows a format: "aio" for "raw".
std::string tap_type(const std::string& format);

/// Parses a disk's "params" and "mode" as libxl writes them:
///   /path                 a raw image; a '?' belongs to the path, because a plain path has no options
///   aio:/path             the same: how libxl of Xen 4.19 and later says /path to a backend of its type "tap"
///   FORMAT:/path?o=v      the target= of a disk with script=block-tapdisk
///   aio:FORMAT:/path?o=v  the same through a backend of type "tap"; one "aio:" is removed
/// A mode without a 'w' is read-only. Errors: as image_named(); also an empty `params`.
ipc::ImageArguments image_of_params(const std::string& params, const std::string& mode);

}  // namespace blktap
