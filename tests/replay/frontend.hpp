// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Frontend: the guest's side of a VBD: its rings, event channels and granted pages, and nothing that decides what to do
// with them. It knows no command line and no socket, so tests of a backend in the same process use it too.
//
// Tested by tests/unit/replay/frontend_test.cpp.
#pragma once

#include <deque>
#include <vector>

#include "libblktap/ipc/messages.hpp"
#include "libblktap/ring/front_ring.hpp"
#include "libblktap/xen/event_channel.hpp"
#include "libblktap/xen/shared_pages.hpp"

namespace blktap::replay {

inline constexpr unsigned ring_order_max = 4;

struct FrontendOptions {
    xen::DomainId domain = 0;  ///< our own, as the backend sees it
    xen::DomainId backend_domain = 0;
    unsigned queue_count = 1;  ///< 1 to ipc::queues_max
    unsigned ring_order = 0;   ///< a ring has 1 << order pages
    ring::Protocol protocol = ring::Protocol::native;
    bool persistent = false;      ///< say that grants may stay mapped
    bool discard_enabled = true;  ///< what the toolstack would say
};

class Frontend {
  public:
    /// Errors: throws std::system_error (no Xen device, gntalloc's limit).
    explicit Frontend(const FrontendOptions& options);
    Frontend(const Frontend&) = delete;
    Frontend& operator=(const Frontend&) = delete;

    /// What a backend must be told to serve these rings.
    ipc::ConnectArguments connect_arguments() const;

    /// Grants `page_count` contiguous zeroed pages to the backend.
    /// Lifetime: as long as this object; disconnect the backend before it dies. Errors: throws std::system_error.
    const xen::SharedPages& share(std::uint32_t page_count, xen::PageAccess access = xen::PageAccess::read_write);

    unsigned queue_count() const noexcept { return static_cast<unsigned>(queues_.size()); }
    /// The ring itself: put requests there, and misbehave there.
    ring::FrontRing& ring(unsigned queue) noexcept { return queues_[queue].ring; }

    /// Makes what was put on `queue` visible and wakes the backend if it asked for that.
    void publish(unsigned queue) noexcept;
    /// Wakes the backend whether or not it asked.
    void notify(unsigned queue) noexcept { queues_[queue].channel.notify(); }
    /// The next answer on `queue`. Errors: Errc::ring_overrun, more answers than requests.
    Result<std::optional<ring::Response>> take(unsigned queue) noexcept { return queues_[queue].ring.take_response(); }
    /// Before sleeping on event_fd(): asks to be woken. True when an answer is already there.
    [[nodiscard]] bool rearm() noexcept;
    /// Readable when the backend woke us; then acknowledge().
    int event_fd() const noexcept { return events_.fd(); }
    void acknowledge() noexcept;

  private:
    struct Queue {
        Queue(xen::ShareHandle& grants, xen::EventChannelHandle& events, const FrontendOptions& options);
        xen::SharedPages pages;
        ring::FrontRing ring;
        xen::EventChannel channel;
    };

    const FrontendOptions options_;
    xen::ShareHandle grants_;
    xen::EventChannelHandle events_;
    std::vector<Queue> queues_;
    std::deque<xen::SharedPages> shared_;  ///< a deque: share() hands out references
};

}  // namespace blktap::replay
