// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What a world file holds: the memory, grants, event channels and processes of a simulated machine, shared by every
// process that maps it. Zero bytes mean "free" everywhere, so that a sparse new file is an empty world. Only the
// atomics are touched without the world's lock.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "libblktap/base/units.hpp"

namespace fakexen {

using DomainId = std::uint16_t;
using GrantRef = std::uint32_t;
using Port = std::uint32_t;
/// Index of a Process or a Handle. 0 is nobody.
using ProcessId = std::uint16_t;
using HandleId = std::uint16_t;

using blktap::page_size_bytes;

// Enough for a thousand disks on one machine. The file is sparse: a limit costs nothing until it is used.
inline constexpr std::uint32_t process_count = 4096;
inline constexpr std::uint32_t handle_count = 4096;
inline constexpr std::uint32_t port_count = 16384;
inline constexpr std::uint32_t page_count = 131072;
inline constexpr std::uint32_t map_count = 2 * page_count;

/// Xen keeps the first references of a domain for itself. Here references are unique in the whole world, so that one
/// used with the wrong domain is always caught: page `i` is granted as reference `i + first_ref`.
inline constexpr GrantRef first_ref = 8;

struct Process {
    std::int32_t pid;
};

/// An open xenevtchn handle; its events arrive as datagrams at a socket that is named after the world and its id.
struct Handle {
    ProcessId process;
    std::atomic<std::uint16_t> missed;  ///< 1: a datagram found no room, so the numbers in the socket are not all
};

/// What Port::events holds. The change to `pending` alone is what sends a datagram to the handle's socket.
namespace event {
inline constexpr std::uint32_t pending = 1;
inline constexpr std::uint32_t masked = 2;
}  // namespace event

struct alignas(64) PortEntry {
    std::atomic<std::uint32_t> events;
    std::atomic<HandleId> handle;  ///< 0: the port is free
    std::atomic<Port> peer;        ///< 0: unbound
    DomainId domain;
    DomainId remote_domain;  ///< who is, or may be, at the other end
};

/// One page of the pool and its grant (grant_word.hpp).
struct Page {
    std::atomic<std::uint64_t> grant;
    std::uint32_t maps;  ///< how many MapRecords name it: derived from them, so that a death in between can be repaired
};

/// One page mapped through a grant.
struct MapRecord {
    ProcessId process;  ///< 0: free
    DomainId domain;
    std::uint32_t page;
};

struct Header {
    std::uint32_t held;       ///< 1 while somebody has the world's lock, or died with it
    std::uint32_t next_page;  ///< where the searches for something free go on
    std::uint32_t next_map;
    std::uint32_t used_ports;  ///< no entry from here on was ever used: where a walk over a table may end
    std::uint32_t used_pages;
    std::uint32_t used_maps;
};

struct Layout {
    Header header;
    std::array<Process, process_count> processes;
    std::array<Handle, handle_count> handles;
    std::array<PortEntry, port_count> ports;
    std::array<Page, page_count> pages;
    std::array<MapRecord, map_count> maps;
    alignas(page_size_bytes) std::array<std::array<std::byte, page_size_bytes>, page_count> pool;
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<HandleId>::is_always_lock_free);

}  // namespace fakexen
