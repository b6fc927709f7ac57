// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/fakexen/current_world.hpp"

#include <cerrno>
#include <cstdlib>
#include <mutex>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"
#include "tests/fakexen/failures.hpp"

namespace fakexen {
namespace {

constinit std::mutex current_mutex;
// Never destroyed when it came from the environment: threads may use it while the process exits, and the kernel tells
// the others that we are gone.
constinit SharedWorld* current = nullptr;
thread_local constinit int acting_as = -1;

SharedWorld* enter_from_environment() {
    const char* const directory = std::getenv("FAKEXEN");
    if (directory == nullptr) blktap::throw_error({ENOENT, std::system_category()}, "fakexen: no world");
    if (const char* const failures = std::getenv("FAKEXEN_FAIL"); failures != nullptr) fail_as_told(failures);
    return new SharedWorld{directory};
}

}  // namespace

SharedWorld& current_world() {
    const std::lock_guard lock{current_mutex};
    if (current == nullptr) current = enter_from_environment();
    return *current;
}

void set_current_world(SharedWorld* world) noexcept {
    const std::lock_guard lock{current_mutex};
    BLKTAP_ASSERT(world == nullptr || current == nullptr);
    current = world;
}

DomainId current_domain() noexcept {
    if (acting_as >= 0) return static_cast<DomainId>(acting_as);
    const char* const domain = std::getenv("FAKEXEN_DOMAIN");
    return domain == nullptr ? DomainId{0} : static_cast<DomainId>(std::atoi(domain));
}

int act_as(int domain) noexcept {
    return std::exchange(acting_as, domain);
}

}  // namespace fakexen
