// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Vbd and the size of its image.
#include "control/tapback/backend_nodes.hpp"
#include "control/tapback/tapdisk_process.hpp"
#include "control/tapback/vbd.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {

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
