// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Closing an image that was written: writes its footer at the end.
//
// Tested by tests/unit/vhd/vhd_driver_test.cpp.
#pragma once

#include "drivers/vhd/layer.hpp"

namespace blktap::vhd {

/// Cuts the file of `layer`, which no request uses any more, behind its last block, and writes the footer there, unless
/// it exists. A failure is logged and does no harm, because the footer is at the file's beginning too. Blocks.
void end_writing(const Layer& layer) noexcept;

}  // namespace blktap::vhd
