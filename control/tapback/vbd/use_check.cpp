// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd/use_check.hpp"

#include "control/tapback/storage/storage_messages.hpp"

namespace blktap::tapback {

UseCheck::UseCheck(EventLoop& loop, ipc::MessageSocket process, const DevicePlaces& places, std::uint32_t device,
                   Done done)
    : done_(std::move(done)), link_(loop, std::move(process)), timer_(loop, [this] { finish(std::nullopt); }) {
    timer_.arm(patience);
    link_.add(
        storage::LookAtUse{places.sysfs, places.mounts, places.swaps, places.nodes, device}, -1,
        [](const ipc::Request& question) { throw_error(Errc::unknown_request, '"' + question.name + '"'); },
        [this](const ipc::Reply& reply) { answered(reply); });
}

void UseCheck::answered(const ipc::Reply& reply) {
    if (!running()) return;  // too late
    if (!reply.error_code.empty()) return finish("in use: not known (" + reply.error_message + ')');
    finish(reply.result.get<storage::LookAtUse::Result>().use);
}

void UseCheck::finish(const std::optional<std::string>& use) {
    timer_.disarm();
    done_(use);
}

}  // namespace blktap::tapback
