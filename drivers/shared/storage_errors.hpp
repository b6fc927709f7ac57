// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Maps errors of files and block devices to whether the request may succeed later.
//
// Tested by tests/unit/drivers/storage_errors_test.cpp.
#pragma once

#include <system_error>

#include "libblktap/driver_api/image_request.hpp"

namespace blktap {

/// Returns when_space for a full file system or quota; when_healthy for errors of broken storage, or of a broken path
/// to it, and for a file that somebody cut; never for all other errors.
Retry retry_of(std::error_code error) noexcept;

}  // namespace blktap
