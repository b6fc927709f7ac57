// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FrontendHost: makes a frontend's pages and events. A guest has granted pages and event channels; a program beside the
// tapdisk has them in memory that both share (docs/control-protocol.md, local rings).
//
// Tested by tests/unit/replay/frontend_test.cpp.
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "libblktap/base/sealed_memory.hpp"
#include "libblktap/xen/event_channel.hpp"
#include "libblktap/xen/shared_pages.hpp"

namespace blktap::replay {

/// Contiguous zeroed pages that the backend may use, and what it knows each by.
class FrontendPages {
  public:
    FrontendPages() noexcept = default;
    FrontendPages(std::span<std::byte> bytes, std::span<const xen::GrantRef> refs) noexcept
        : bytes_(bytes), refs_(refs) {}
    std::span<std::byte> bytes() const noexcept { return bytes_; }
    /// One a page.
    std::span<const xen::GrantRef> refs() const noexcept { return refs_; }

  private:
    std::span<std::byte> bytes_;
    std::span<const xen::GrantRef> refs_;
};

class FrontendHost {
  public:
    FrontendHost() = default;
    FrontendHost(const FrontendHost&) = delete;
    FrontendHost& operator=(const FrontendHost&) = delete;
    virtual ~FrontendHost() = default;

    /// Lifetime: as long as this object. Errors: throws std::system_error; there are not so many, or not such pages.
    virtual FrontendPages share(std::uint32_t page_count, xen::PageAccess access) = 0;
    /// Makes the next queue's signals; returns what a backend must know of them, the port of an event channel.
    virtual std::uint32_t add_queue() = 0;
    /// Descriptors that go with "connect".
    virtual std::vector<int> descriptors() const { return {}; }
    /// Takes those that came with the reply. Errors: throws std::runtime_error: they are not what they should be.
    virtual void connected(std::vector<UniqueFd> descriptors);

    /// Wakes the backend for `queue`.
    virtual void notify(unsigned queue) noexcept = 0;
    /// Readable when the backend has woken us, until acknowledge().
    virtual int event_fd() const noexcept = 0;
    virtual void acknowledge() noexcept = 0;
};

class GuestHost final : public FrontendHost {
  public:
    /// Errors: throws std::system_error (no Xen device).
    explicit GuestHost(xen::DomainId backend_domain) : backend_domain_(backend_domain) {}

    FrontendPages share(std::uint32_t page_count, xen::PageAccess access) override;
    std::uint32_t add_queue() override;
    void notify(unsigned queue) noexcept override { channels_[queue].notify(); }
    int event_fd() const noexcept override { return events_.fd(); }
    void acknowledge() noexcept override;

  private:
    const xen::DomainId backend_domain_;
    xen::ShareHandle grants_;
    xen::EventChannelHandle events_;
    std::vector<xen::EventChannel> channels_;
    std::deque<xen::SharedPages> shared_;  ///< a deque: share() hands out what they hold
};

class LocalHost final : public FrontendHost {
  public:
    /// Errors: throws std::system_error.
    LocalHost();

    FrontendPages share(std::uint32_t page_count, xen::PageAccess access) override;
    std::uint32_t add_queue() override;
    std::vector<int> descriptors() const override { return {memory_.fd()}; }
    void connected(std::vector<UniqueFd> descriptors) override;
    void notify(unsigned queue) noexcept override;
    int event_fd() const noexcept override { return answers_.size() == 1 ? answers_.front().get() : any_.get(); }
    void acknowledge() noexcept override;

  private:
    SealedMemory memory_;
    std::uint32_t pages_used_ = 0;
    std::deque<std::vector<xen::GrantRef>> refs_;
    std::size_t queue_count_ = 0;
    UniqueFd requests_;              ///< the backend's eventfd
    std::vector<UniqueFd> answers_;  ///< a pipe a queue
    UniqueFd any_;                   ///< an epoll of them
};

}  // namespace blktap::replay
