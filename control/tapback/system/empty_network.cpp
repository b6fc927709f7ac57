// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/system/empty_network.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sched.h>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::tapback {
namespace {

constexpr const char* place = "/proc/self/ns/net";

UniqueFd open_own() {
    UniqueFd own{::open(place, O_RDONLY | O_CLOEXEC)};
    if (!own) throw_system_error(place);
    return own;
}

}  // namespace

UniqueFd make_empty_network() {
    const UniqueFd ours = open_own();
    if (::unshare(CLONE_NEWNET) != 0) {
        if (errno == EPERM) return {};
        throw_system_error("a network namespace");
    }
    UniqueFd made{::open(place, O_RDONLY | O_CLOEXEC)};
    const int error = errno;
    // Who could leave can return; without a network tapback would be of no use to those whose images are on servers.
    BLKTAP_ASSERT(::setns(ours.get(), CLONE_NEWNET) == 0);
    if (!made) throw_error({error, std::system_category()}, place);
    return made;
}

}  // namespace blktap::tapback
