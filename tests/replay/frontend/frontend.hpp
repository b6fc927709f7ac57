// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Frontend: the guest's side of a VBD: its rings, with the pages and events of a FrontendHost. It does not decide what
// to do with them. It knows no command line and no socket, so tests of a backend in the same process use it too.
//
// Tested by tests/unit/replay/frontend_test.cpp.
#pragma once

#include <memory>
#include <vector>

#include "libblktap/ipc/messages.hpp"
#include "libblktap/ring/front_ring.hpp"
#include "tests/replay/frontend/frontend_host.hpp"

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
    bool local = false;           ///< no guest: a program beside the tapdisk, with at most ipc::local_queues_max queues
};

class Frontend {
  public:
    /// Errors: throws std::system_error (no Xen device, gntalloc's limit).
    explicit Frontend(const FrontendOptions& options);
    Frontend(const Frontend&) = delete;
    Frontend& operator=(const Frontend&) = delete;

    /// What a backend must be told to serve these rings.
    ipc::ConnectArguments connect_arguments() const;

    /// Descriptors that go with them, and those of the backend's reply.
    std::vector<int> connect_descriptors() const { return host_->descriptors(); }
    void connected(std::vector<UniqueFd> descriptors) { host_->connected(std::move(descriptors)); }

    /// Shares `page_count` contiguous zeroed pages with the backend.
    /// Lifetime: as long as this object; disconnect the backend before it dies. Errors: as of FrontendHost::share().
    FrontendPages share(std::uint32_t page_count, xen::PageAccess access = xen::PageAccess::read_write) {
        return host_->share(page_count, access);
    }

    unsigned queue_count() const noexcept { return static_cast<unsigned>(queues_.size()); }
    /// The ring itself: put requests there, and misbehave there.
    ring::FrontRing& ring(unsigned queue) noexcept { return queues_[queue].ring; }

    /// Makes what was put on `queue` visible and wakes the backend if it asked for that.
    void publish(unsigned queue) noexcept;
    /// Wakes the backend whether or not it asked.
    void notify(unsigned queue) noexcept { host_->notify(queue); }
    /// The next answer on `queue`. Errors: Errc::ring_overrun, more answers than requests.
    Result<std::optional<ring::Response>> take(unsigned queue) noexcept { return queues_[queue].ring.take_response(); }
    /// Before sleeping on event_fd(): asks to be woken. True when an answer is already there.
    [[nodiscard]] bool rearm() noexcept;
    /// Readable when the backend woke us; then acknowledge().
    int event_fd() const noexcept { return host_->event_fd(); }
    void acknowledge() noexcept { host_->acknowledge(); }

  private:
    struct Queue {
        FrontendPages pages;
        ring::FrontRing ring;
        std::uint32_t port;  ///< of its event channel
    };

    const FrontendOptions options_;
    std::unique_ptr<FrontendHost> host_;
    std::vector<Queue> queues_;
};

}  // namespace blktap::replay
