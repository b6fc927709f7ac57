// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SharedWorld: a world directory as one process sees it: the mapped file, the lock over its tables, this process's
// entry in it, and which other processes still live.
//
// A process proves that it lives by a lock on one byte of the file, which the kernel drops at its death. Nobody watches
// for that: what a dead process left behind is cleared when somebody is in its way.
//
// Tested by tests/unit/xen/fakexen_death_test.cpp.
#pragma once

#include <bitset>
#include <mutex>
#include <span>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>

#include "libblktap/base/mapping.hpp"
#include "libblktap/base/unique_fd.hpp"
#include "tests/fakexen/layout.hpp"

namespace fakexen {

class SharedWorld {
  public:
    /// Enters the world in `directory`; the first to come makes both. Errors: throws std::system_error.
    explicit SharedWorld(const std::string& directory);
    SharedWorld(const SharedWorld&) = delete;
    SharedWorld& operator=(const SharedWorld&) = delete;
    /// Leaves as a dying process does: ports, grants and maps of this process go.
    ~SharedWorld();

    Layout& layout() const noexcept { return *reinterpret_cast<Layout*>(mapping_.data()); }
    PortEntry& port(Port port) const noexcept { return layout().ports[port]; }
    // The tables without their never used rest. Under the lock.
    std::span<PortEntry> used_ports() const noexcept { return {layout().ports.data(), layout().header.used_ports}; }
    std::span<Page> used_pages() const noexcept { return {layout().pages.data(), layout().header.used_pages}; }
    std::span<MapRecord> used_maps() const noexcept { return {layout().maps.data(), layout().header.used_maps}; }
    ProcessId self() const noexcept { return self_; }
    int directory() const noexcept { return directory_.get(); }

    /// Makes the socket at which the events of `handle` arrive. None: it is open somewhere. Errors: throws
    /// std::system_error.
    blktap::UniqueFd open_bell(HandleId handle, bool close_on_exec) const;
    /// Sends `port` to that socket. False: there is no room. Nothing is opened for it: a sandboxed program can do it.
    bool ring_bell(HandleId handle, Port port) const noexcept;
    /// Returns the handle whose socket `fd` is; 0: none of this world.
    HandleId handle_behind(int fd) const noexcept;
    /// Maps pool pages, in order, as one contiguous range; one mmap per run of neighbours. nullptr: errno says why.
    void* map_pool(std::span<const std::uint32_t> pages, int protection) const noexcept;
    /// Makes `count` pool pages from `first` read as zeros, and gives their memory back.
    void zero_pool(std::uint32_t first, std::uint32_t count) const noexcept;

  private:
    blktap::UniqueFd directory_;
    blktap::UniqueFd file_;
    blktap::UniqueFd life_;  // an open file description of its own: our locks on bytes of the file belong to it
    std::mutex threads_;     // these locks do not keep threads of one process apart
    blktap::Mapping mapping_;
    ProcessId self_ = 0;
    blktap::UniqueFd ringer_;   // sends all events of this process
    sockaddr_un bell_name_{};   // of handle 0
    socklen_t bell_name_size_;  // the last two bytes are the handle's

    friend class WorldLock;
    friend bool is_alive(const SharedWorld& world, ProcessId process) noexcept;
    void name_bells();
    void enter(const class WorldLock& lock);
};

/// Holds the lock over the tables of a world; repairs what a process that died inside left half done. A lock on a byte
/// of the file, because a mutex in it would tell processes apart by their numbers, and in namespaces of their own many
/// processes have number 1.
class WorldLock {
  public:
    explicit WorldLock(SharedWorld& world) noexcept;
    WorldLock(const WorldLock&) = delete;
    WorldLock& operator=(const WorldLock&) = delete;
    ~WorldLock();

  private:
    SharedWorld& world_;
    const std::lock_guard<std::mutex> threads_;
};

using ProcessSet = std::bitset<process_count>;

/// True while the process behind the entry holds its byte. One system call.
bool is_alive(const SharedWorld& world, ProcessId process) noexcept;
/// Clears what dead processes left: their ports (the other ends become unbound), grants and maps.
void bury_the_dead(SharedWorld& world, const WorldLock& lock) noexcept;

}  // namespace fakexen
