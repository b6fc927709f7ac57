// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// MemoryBackend: a backend in this process, on the simulated machine, that serves a disk in memory and can make the
// mistakes that ring-replay must find.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "libblktap/base/unique_fd.hpp"
#include "libblktap/ring/back_ring.hpp"
#include "libblktap/ring/judge.hpp"
#include "libblktap/xen/event_channel.hpp"
#include "libblktap/xen/grant_table.hpp"
#include "tests/replay/frontend/connection.hpp"

namespace blktap::replay {

class MemoryBackend final : public Connection {
  public:
    static constexpr xen::DomainId domain = 0;
    static constexpr xen::DomainId guest = 5;

    explicit MemoryBackend(std::uint64_t size_sectors) : disk(size_sectors * sector_size_bytes) {}
    ~MemoryBackend() override { disconnect(); }

    Connected connect(const ipc::ConnectArguments& rings, const std::vector<int>& descriptors) override;
    void disconnect() override;
    int fd() const noexcept override { return hangup_fd; }
    bool check() override;
    std::optional<pid_t> backend_pid() const override { return std::nullopt; }

    std::vector<std::byte> disk;
    ring::DeviceRules rules{0, false, true, ring::segments_indirect_max};

    // Mistakes; set before connect(). Each is asked on the backend's thread.
    std::function<bool(const ring::Judged&)> skip_data = [](const ring::Judged&) { return false; };
    std::function<std::uint64_t(const ring::Judged&)> shift_sector = [](const ring::Judged&) { return 0u; };
    std::function<void(ring::Response&)> change_answer = [](ring::Response&) {};
    bool answer_nothing = false;
    bool answer_too_often = false;

    int hangup_fd = -1;  ///< readable: check() says that we are gone
    ipc::ConnectArguments connected_with{};
    unsigned connects = 0;

  private:
    struct Queue {
        xen::GuestPages pages;
        ring::BackRing ring;
        xen::EventChannel channel;
    };
    struct Rings;

    void serve(const ipc::ConnectArguments& arguments);
    void serve_queue(Queue& queue);
    ring::Status serve_request(const ring::RawRequest& request);
    std::error_code move_data(const ring::Judged& judged, std::span<const ring::Segment> segments);

    std::thread thread_;
    std::atomic<bool> stopping_ = false;
    xen::GrantTable* grants_ = nullptr;  ///< the thread's
};

}  // namespace blktap::replay
