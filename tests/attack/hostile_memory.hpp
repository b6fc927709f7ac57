// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// HostileMemory: pages of a guest that attacks: some may be written, some only read, some are revoked while they are
// used, and some of the references that it names were never granted. Some hold descriptors of indirect requests.
#pragma once

#include <array>
#include <atomic>
#include <deque>

#include "libblktap/ring/judge.hpp"
#include "libblktap/xen/shared_pages.hpp"
#include "tests/replay/frontend/frontend_host.hpp"
#include "tests/unit/ring/seeded_random.hpp"

namespace blktap::attack {

using test::SeededRandom;

/// The disk's second half is for attacks, so that what honest requests find in the first must be right.
struct Territory {
    std::uint64_t begin;  ///< sectors
    std::uint64_t end;

    /// A sector from which no range that fits the disk reaches into the first half; often near its end, or beyond.
    std::uint64_t draw(SeededRandom& random) const {
        switch (random.between(0u, 7u)) {
            case 0:
                return begin | (random.any<std::uint64_t>() << 32);
            case 1:
                return ~std::uint64_t{0} - random.between<std::uint64_t>(0, 600);
            case 2:
                return end - random.between<std::uint64_t>(0, 600);
            case 3:
                return end + random.between<std::uint64_t>(0, 600);
            default:
                return random.between(begin, end);
        }
    }
};

class HostileMemory {
  public:
    static constexpr std::size_t pages = 24;
    static constexpr std::size_t descriptor_pages = 4;

    /// `host` makes the pages that stay; `revocable`: whether there are grants, which can be revoked.
    HostileMemory(replay::FrontendHost& host, bool revocable, Territory territory);

    const Territory& territory() const noexcept { return territory_; }
    /// A reference of any kind.
    std::uint32_t draw_ref(SeededRandom& random) const;
    ring::Segment draw_segment(SeededRandom& random) const;
    std::uint32_t draw_descriptor_page(SeededRandom& random) const;
    ring::RawRequest draw_request(SeededRandom& random) const;

    /// Revokes a grant, or grants a page anew. Only by the thread that draws.
    void revoke_or_grant(SeededRandom& random);
    /// Rewrites a descriptor, or bytes of data; for a thread of its own.
    void rewrite(SeededRandom& random) const;

  private:
    const Territory territory_;
    replay::FrontendPages descriptors_;
    replay::FrontendPages data_;
    replay::FrontendPages read_only_;
    std::optional<xen::ShareHandle> grants_;
    std::deque<std::optional<xen::SharedPages>> revocable_;
    /// Of pages that are granted, and of some that were; read by the thread that rewrites, too.
    std::array<std::atomic<std::uint32_t>, 24> revocable_refs_{};
    std::size_t next_ref_ = 0;
};

}  // namespace blktap::attack
