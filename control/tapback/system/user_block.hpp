// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The users that tapdisks are: a block of user ids, one for each number that a process can have. Nobody configures it:
// blocks lie where Debian, systemd, containers and directory services give no ids, and one that the host's files name
// all the same is not taken. See docs/decisions/0033.
//
// Tested by tests/unit/tapback/system/user_block_test.cpp.
#pragma once

#include <optional>
#include <string_view>
#include <sys/types.h>

namespace blktap::tapback {

/// Linux has no larger process numbers, so this is also the size of a block.
inline constexpr uid_t user_block_size = uid_t{1} << 22;

/// What a host says about its users and groups: /etc/passwd, /etc/group, /etc/subuid, /etc/subgid.
struct UserFiles {
    std::string_view passwd{}, group{}, subuid{}, subgid{};
};

/// Returns the first id of the first block of which these files name no id. Users are those with a line of their own,
/// those of containers, and libxl's for QEMU, a range that begins with the user "xen-qemuuser-range-base". nullopt:
/// each block is named.
std::optional<uid_t> choose_user_block(const UserFiles& files);
/// The same, with the files of this host; one that cannot be read names nobody.
std::optional<uid_t> choose_user_block();

}  // namespace blktap::tapback
