// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// How an image is named where people and toolstacks name one: on tap-ctl's command line, and in the "params" that xl
// writes for a disk. Pure functions: nothing is opened or looked for.
//
// Tested by tests/unit/control/image_target_test.cpp.
#pragma once

#include <string>

#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap {

/// "FORMAT:/path[?option=value&...]", as on a command line.
/// Errors: throws std::system_error (EINVAL) with a sentence: no format, a path that is not absolute.
ipc::ImageArguments image_named(const std::string& text, bool read_only);

/// "TYPE:FILE" as Xen's block-tap script names an image: the file is taken as it is, without options, and the type
/// "aio" is our "raw". Errors: as image_named().
ipc::ImageArguments image_of_tap(const std::string& text, bool read_only);

/// The type that Xen's block-tap script knows a format by: "aio" for "raw".
std::string tap_type(const std::string& format);

/// The image in a disk's "params" and "mode" as libxl writes them:
///   /path                 a raw image; a '?' belongs to the path, for nobody who wrote a plain path meant an option
///   aio:/path             the same: how libxl of Xen 4.19 and later says /path to a backend of its type "tap"
///   FORMAT:/path?o=v      the target= of a disk with script=block-tapdisk
///   aio:FORMAT:/path?o=v  the same through a backend of type "tap"; "aio:" is taken away once
/// A mode without a 'w' is read-only. Errors: as image_named(); also an empty `params`.
ipc::ImageArguments image_of_params(const std::string& params, const std::string& mode);

}  // namespace blktap
