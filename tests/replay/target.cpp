// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The one place that chooses between the ways to a backend.
#include "tests/replay/target.hpp"

#include "tests/replay/frontend/tapdisk_connection.hpp"

namespace blktap::replay {

std::unique_ptr<Connection> Target::open() const {
    if (tapdisk.empty() == xenstore.frontend.empty())
        throw std::runtime_error("one of --tapdisk and --xenstore is needed");
    if (tapdisk.empty() && (frontend.local || !name.empty()))
        throw std::runtime_error("--local and --connection are for --tapdisk");
    if (frontend.local && frontend.queue_count > ipc::local_queues_max)
        throw std::runtime_error("--local: at most " + std::to_string(ipc::local_queues_max) + " queues");
    if (tapdisk.empty()) return std::make_unique<XenstoreConnection>(xenstore, timeout, interrupt_fd);
    return std::make_unique<TapdiskConnection>(tapdisk, name);
}

}  // namespace blktap::replay
