// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/messages.hpp"

#include "libblktap/ipc/message_socket.hpp"

namespace blktap::ipc {

static_assert(files_max == message_descriptors_max);
static_assert(local_queues_max + 1 == message_descriptors_max);

void ConnectArguments::check_queues(const Fields& fields) const {
    if (local && queues.size() > local_queues_max)
        fields.fail("queues", std::to_string(queues.size()) + " entries, at most " + std::to_string(local_queues_max) +
                                  " of local rings");
    const std::size_t pages_of_first = queues.front().ring_refs.size();
    for (std::size_t index = 0; index < queues.size(); ++index) {
        const std::size_t pages = queues[index].ring_refs.size();
        if (pages == pages_of_first) continue;
        fields.fail("queues[" + std::to_string(index) + "].ring-refs",
                    std::to_string(pages) + " entries, but queues[0] has " + std::to_string(pages_of_first));
    }
}

}  // namespace blktap::ipc
