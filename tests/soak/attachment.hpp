// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Attachment: how a disk comes to its domain, and goes: as a toolstack does it, with nodes and a script, or by "plug".
// Whatever tapback was doing when it was killed, the disk is there in the end, or gone.
#pragma once

#include <memory>

#include "tests/control/host/toolstack.hpp"
#include "tests/soak/disk_operator.hpp"

namespace blktap::soak {

class Attachment {
  public:
    virtual ~Attachment() = default;
    // All throw Wrong: not done within a minute, or refused although nothing speaks against it.

    /// Returns the disk's sectors.
    virtual std::uint64_t attach(const ipc::ImageArguments& image) = 0;
    /// The guest, if there is one, is asked to let the disk go. Returns when nobody knows the disk any more.
    virtual void detach() = 0;
    /// "xl destroy" for a domain whose guest runs no more; the domain begins anew then. Returns as detach().
    virtual void destroy_domain() = 0;
    virtual const char* name() const noexcept = 0;
};

enum class Way : std::uint8_t { plug, xl_4_17, xl_4_19 };
inline constexpr unsigned ways = 3;

/// All but `way` must outlive the result.
std::unique_ptr<Attachment> make_attachment(Way way, Ground& ground, DiskOperator& disk, const XenStore& store);

}  // namespace blktap::soak
