// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// DiskState: what a disk of a soak is and has at the moment, for its life (soak_disk.hpp) and for what is done to it
// (disk_actions.hpp).
#pragma once

#include "tests/soak/attachment.hpp"
#include "tests/soak/guest.hpp"

namespace blktap::soak {

struct DiskPlan {
    unsigned number = 0;
    ipc::VbdArguments vbd{};
    Place place = Place::roomy;
    unsigned hanging = 0;  ///< number of its hanging place
    bool local = false;    ///< its guest has local rings
    std::uint64_t seed = 1;
};

struct DiskState {
    DiskState(Ground& ground_of_all, DiskPlan its_plan);

    /// "5/51712"
    std::string name() const;
    /// Does nothing for a while, unless all is over.
    void rest(unsigned milliseconds_max);
    /// A guest that loads the disk; returns when it is served, or has ended.
    void start_guest();
    /// Ends the guest: with `read_back` it reads the whole disk first. False: it lost the disk before, as local rings
    /// may. Errors: throws Wrong with what it found.
    bool end_guest(bool read_back);
    /// Local rings are given up when their program is not back in time, and end with a tapdisk that dies while they
    /// connect.
    bool may_lose_guest() const;
    /// Takes what the guest's end says. Errors: as end_guest().
    Guest::End guest_ended();

    Ground& ground;
    const DiskPlan plan;
    replay::Random random;
    Diary diary{};
    DiskOperator requests;
    XenStore store{};
    std::unique_ptr<Attachment> attachment{};
    std::optional<Chain> chain{};
    std::optional<replay::DiskModel> model{};
    std::uint64_t sectors = 0;
    std::optional<Guest> guest{};
};

}  // namespace blktap::soak
