// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What a test sees of the simulated machine: making one, choosing the domain it acts as, and looking for leaks.
// Failures on demand are in failures.hpp.
//
//     fakexen::World world;                                  // no other setup: the Xen libraries now work here
//     const fakexen::ActAs guest{5};                         // handles opened in this scope belong to domain 5
//     spawn("tapdisk", world.environment(0));                // and other programs can meet us there
//
// Tested by tests/unit/xen/fakexen_control_test.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace fakexen {

class SharedWorld;

/// A machine in a new directory under /dev/shm, and until its destruction the world of this process. One at a time; all
/// handles opened in it are closed before. Starts with no failure due.
class World {
  public:
    /// Errors: throws std::system_error.
    World();
    World(const World&) = delete;
    World& operator=(const World&) = delete;
    /// Removes the directory. Processes that are still in it keep what they have open.
    ~World();

    const std::string& directory() const noexcept { return directory_; }
    /// "NAME=value" of the variables that make another program, with the fake preloaded, act as `domain` in this world.
    std::vector<std::string> environment(std::uint16_t domain) const;

    // What exists now, in all processes; those that died count no more.
    std::size_t pages_mapped_by(std::uint16_t domain) const;
    std::size_t pages_shared_by(std::uint16_t domain) const;
    /// Ports that the domain holds, connected or not.
    std::size_t ports_of(std::uint16_t domain) const;
    std::size_t connected_ports_of(std::uint16_t domain) const;
    /// True while any domain has the page behind `ref` mapped.
    bool is_mapped(std::uint32_t ref) const;

  private:
    std::string directory_;
    std::unique_ptr<SharedWorld> shared_;
};

/// Makes the calling thread open its handles as `domain` while it lives. Scopes nest.
class ActAs {
  public:
    explicit ActAs(std::uint16_t domain) noexcept;
    ActAs(const ActAs&) = delete;
    ActAs& operator=(const ActAs&) = delete;
    ~ActAs();

  private:
    int before_;
};

}  // namespace fakexen
