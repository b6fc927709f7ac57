// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Vbd and the storage under its image: what its tapdisk says is wrong with it, and its size.
#include "control/tapback/backend_nodes.hpp"
#include "control/tapback/tapdisk_process.hpp"
#include "control/tapback/vbd.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {

void Vbd::told_problems(const ipc::Problems& problems) {
    disk_problems_.see(problems, host_.loop.clock().now());
    tell_problems();
}

/// The log has a line for each that came or went; look() writes the node.
void Vbd::tell_problems() {
    const Nanoseconds now = host_.loop.clock().now();
    for (const auto& [problem, begins] : disk_problems_.take(now)) {
        if (begins) {
            log::warning("vbd.problem", {{"vbd", address_.name()}, {"name", problem.name}, {"reason", problem.text}});
        } else {
            log::info("vbd.problem.over", {{"vbd", address_.name()}, {"name", problem.name}});
        }
        host_.problem_hook.run(address_.name(), problem, begins);
        problem_told_ = false;
        host_.mark(address_);
    }
    if (const auto next = disk_problems_.next(now)) problem_timer_.arm(*next - now);
}

/// The tapdisk that had them is gone, and nobody knows of their end.
void Vbd::forget_problems() {
    disk_problems_ = ipc::ProblemStates(problem_quiet);
    problem_timer_.disarm();
}

/// All that is wrong, in one line.
std::string Vbd::problem() const {
    std::string text = problem_;
    for (const ipc::Problem& problem : disk_problems_.told().problems)
        text += (text.empty() ? "" : "; ") + problem.text;
    return text;
}

void Vbd::resize(std::uint64_t size_bytes, Done done) {
    call_tapdisk(ipc::Resize{size_bytes}, {}, [this, done = std::move(done)](const ipc::Reply& reply) {
        try {
            if (reply.error_code.empty()) resized(reply.result.get<ipc::DeviceDescription>());
        } catch (const std::system_error& error) {
            // The disk is larger; the guest learns it when it connects the next time.
            const std::string reason = error.what();
            return done(error_reply(error.code(), "resized, but the guest was not told: " + reason));
        }
        done(reply);
    });
}

void Vbd::resized(const ipc::DeviceDescription& device) {
    session_.described(device);
    log::info("vbd.resized", {{"vbd", address_.name()}, {"sectors", std::to_string(device.size_sectors)}});
    if (now_.link != Situation::Link::up) return;
    // A frontend looks at the size again when the state is written, though it stays the same.
    directory_.transact([&](const StoreTransaction& nodes) {
        if (nodes.read(node("state")) != std::to_string(static_cast<unsigned>(Xenbus::connected))) return;
        write_features(nodes, directory_.path(), device);
        tapback::write_state(nodes, directory_.path(), Xenbus::connected);
    });
}

}  // namespace blktap::tapback
