// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// XenstoreBackend: the backend's half of the states in xenstore, on a thread, with a MemoryBackend behind it; and the
// toolstack that makes the nodes of both ends.
#pragma once

#include <atomic>
#include <set>
#include <string>
#include <thread>

#include "libblktap/xenstore/xen_store.hpp"
#include "tests/support/xenstored.hpp"
#include "tests/unit/replay/backend/memory_backend.hpp"

namespace blktap::replay {

class XenstoreBackend {
  public:
    static constexpr const char* frontend = "/local/domain/5/device/vbd/51712";
    static constexpr const char* backend = "/local/domain/0/backend/vbd3/5/51712";

    /// Writes the nodes of both ends, in state 1.
    explicit XenstoreBackend(MemoryBackend& disk);
    XenstoreBackend(const XenstoreBackend&) = delete;
    XenstoreBackend& operator=(const XenstoreBackend&) = delete;
    ~XenstoreBackend() { stop(); }

    /// Serves from now on. What is set below is set before.
    void start();
    void stop();

    std::set<std::string> withheld{};  ///< nodes of the connected backend that it does not write
    std::string sector_size = "512";
    unsigned ring_order_max = 4;
    bool makes_offers = true;
    bool connects = true;
    bool refuses = false;

    std::string connected_in{};  ///< the frontend's state that made it connect; read it after stop()
    XenStore toolstack{};

  private:
    void serve();
    void follow(const XenStore& store, const std::string& state);
    void connect(const XenStore& store);
    ipc::ConnectArguments read_rings(const XenStore& store) const;
    void set_state(const XenStore& store, const char* state) const { store.write(path("state"), state); }
    std::string path(const std::string& node) const { return std::string(backend) + '/' + node; }

    MemoryBackend& disk_;
    std::atomic<bool> stopping_ = false;
    bool connected_ = false;
    std::thread thread_;
};

}  // namespace blktap::replay
