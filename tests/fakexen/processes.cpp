// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The processes of a world: coming, going, and clearing up after those that were killed.
#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "tests/fakexen/channels.hpp"
#include "tests/fakexen/grants.hpp"
#include "tests/fakexen/shared_world.hpp"

namespace fakexen {
namespace {

struct flock byte_of(ProcessId process) noexcept {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(sizeof(Layout)) + process;
    lock.l_len = 1;
    return lock;
}

// Every step may be the last of this process too: whoever comes next starts again from the beginning.
void bury(SharedWorld& world, const WorldLock& lock, const ProcessSet& dead) noexcept {
    forget_channels(world, lock, dead);
    forget_grants(world, lock, dead);
    for (ProcessId process = 1; process < process_count; ++process) {
        if (dead[process]) world.layout().processes[process].pid = 0;
    }
}

ProcessId find_free(const SharedWorld& world) noexcept {
    const auto& processes = world.layout().processes;
    const auto* const entry =
        std::find_if(processes.begin() + 1, processes.end(), [](const Process& each) { return each.pid == 0; });
    return entry == processes.end() ? ProcessId{0} : static_cast<ProcessId>(entry - processes.begin());
}

}  // namespace

void SharedWorld::enter(const WorldLock& lock) {
    self_ = find_free(*this);
    if (self_ == 0) {
        bury_the_dead(*this, lock);
        self_ = find_free(*this);
    }
    auto byte = byte_of(self_);
    if (self_ == 0 || ::fcntl(life_.get(), F_OFD_SETLK, &byte) != 0) {
        blktap::throw_error({EUSERS, std::system_category()}, "fakexen: too many processes in a world");
    }
    layout().processes[self_].pid = ::getpid();
}

SharedWorld::~SharedWorld() {
    {
        const WorldLock lock{*this};
        bury(*this, lock, ProcessSet{}.set(self_));
    }
    for (auto& bell : bells_) {
        if (bell.load() != 0) ::close(bell.load() - 1);
    }
}

bool is_alive(const SharedWorld& world, ProcessId process) noexcept {
    if (world.layout().processes[process].pid == 0) return false;
    auto byte = byte_of(process);
    return ::fcntl(world.file_.get(), F_OFD_GETLK, &byte) != 0 || byte.l_type != F_UNLCK;
}

void bury_the_dead(SharedWorld& world, const WorldLock& lock) noexcept {
    ProcessSet dead;
    for (ProcessId process = 1; process < process_count; ++process) {
        const bool entered = world.layout().processes[process].pid != 0;
        dead[process] = entered && !is_alive(world, process);
    }
    if (dead.any()) bury(world, lock, dead);
}

}  // namespace fakexen
