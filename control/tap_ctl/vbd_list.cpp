// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tap_ctl/vbd_list.hpp"

#include "libblktap/base/error.hpp"

namespace blktap {
namespace {

constexpr std::chrono::seconds answer_time{10};

}  // namespace

std::vector<ipc::VbdEntry> list_vbds(TapbackClient& tapback) {
    std::vector<ipc::VbdEntry> vbds;
    ipc::ListArguments arguments;
    for (;;) {
        auto reply = tapback.call("list", arguments, answer_time).get<ipc::ListResult>();
        vbds.insert(vbds.end(), reply.vbds.begin(), reply.vbds.end());
        if (!reply.more) return vbds;
        if (reply.vbds.empty()) throw_error(Errc::bad_message, "list: no entry, but more to come");
        arguments.after = vbds.back().backend.name();
    }
}

}  // namespace blktap
