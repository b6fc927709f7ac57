// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What the errors of files and block devices mean for a request: whether it may succeed later.
//
// Tested by tests/unit/drivers/storage_errors_test.cpp.
#pragma once

#include <system_error>

#include "libblktap/driver_api/image_request.hpp"

namespace blktap {

/// A full file system or quota may have space later. What storage says while the way to it is broken, or the storage
/// itself, may be mended, and so may a file that somebody cut. Nothing else becomes right by itself.
Retry retry_of(std::error_code error) noexcept;

}  // namespace blktap
