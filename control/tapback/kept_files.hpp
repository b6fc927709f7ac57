// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// After a restart only the tapdisks have their images open. This gets the descriptors back from them, so that an image
// stays locked past the death of its tapdisk whichever tapback opened it.
//
// Tested by tests/control/restart_test.cpp.
#pragma once

#include "control/tapback/image_files.hpp"
#include "control/tapback/tapdisk_handle.hpp"
#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tapback {

/// Asks a tapdisk that has `image` open for its files, and keeps them in `files` for `owner`, when the answer comes. A
/// tapdisk of another version that has no such request keeps the locks alone; that is logged. `files` outlives the
/// process's object. `then`: called after that, whatever came of it.
void keep_files_of(TapdiskHandle& tapdisk, ImageFiles& files, const std::string& owner,
                   const ipc::ImageArguments& image, std::function<void()> then);

}  // namespace blktap::tapback
