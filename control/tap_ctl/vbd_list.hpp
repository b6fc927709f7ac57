// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// All VBDs of tapback, collected from replies of limited length, and the VBD that an operator means.
//
// Tested by tests/unit/control/tap_ctl_test.cpp.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/client/tapback_client.hpp"
#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tap_ctl {

/// Errors: throws std::system_error, as TapbackClient::call().
std::vector<ipc::VbdEntry> list_vbds(TapbackClient& tapback);
/// The same, with what tapback says besides.
ipc::ListResult list_all(TapbackClient& tapback);

/// The answer of the tapdisk of `vbd` to "about"; nullopt: there is no tapdisk, it or tapback is too old for "about",
/// or it cannot be asked now.
std::optional<ipc::AboutResult> about_tapdisk(const ipc::VbdArguments& vbd, TapbackClient& tapback);
/// The same of several, which are asked all at once.
std::vector<std::optional<ipc::AboutResult>> about_tapdisks(const std::vector<ipc::VbdEntry>& vbds,
                                                            TapbackClient& tapback);

/// The VBD that an operator means by `text`: DOMAIN/DEVICE, or the absolute path of the image that it serves.
/// Errors: throws std::system_error: EINVAL, ENOENT with a sentence (no disk has this image, or several have), or as
/// TapbackClient::call().
ipc::VbdArguments find_vbd(const std::string& text, TapbackClient& tapback);

}  // namespace blktap::tap_ctl
