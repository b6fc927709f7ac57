// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// XenHandles: the handles behind the rings of one guest. KeptHandles: handles that were opened while the process still
// could, for one that may open no device later.
//
// Tested by tests/unit/xen/xen_handles_test.cpp.
#pragma once

#include <memory>
#include <optional>

#include "libblktap/xen/event_channel.hpp"
#include "libblktap/xen/grant_table.hpp"

namespace blktap::xen {

struct XenHandles {
    EventChannelHandle events{};
    GrantTable grants{};
};

class KeptHandles {
  public:
    /// Gives handles back to those who keep them, or closes them.
    struct GiveBack {
        KeptHandles* keeper = nullptr;
        void operator()(XenHandles* handles) const noexcept;
    };
    /// Handles in use. KeptHandles outlives them. Nothing is mapped or bound with them when they are given back.
    using Lent = std::unique_ptr<XenHandles, GiveBack>;

    KeptHandles() = default;
    KeptHandles(const KeptHandles&) = delete;
    KeptHandles& operator=(const KeptHandles&) = delete;

    /// Opens handles now, and no others later: from then on they are lent to one user at a time. The first user's
    /// domain stays the only one of their event channels. That there is no Xen is an error only of who wants to use it.
    void open_the_only_ones();
    /// Returns handles for rings of `domain`; without open_the_only_ones(), new ones. Errors: throws
    /// std::system_error: those of opening them; EBUSY: the only ones are in use, EPERM: they are another domain's.
    Lent lend(DomainId domain);

  private:
    bool only_ones_ = false;
    std::unique_ptr<XenHandles> kept_;          ///< null: lent
    std::optional<std::system_error> failure_;  ///< why they could not be opened
    std::optional<DomainId> domain_;
};

}  // namespace blktap::xen
