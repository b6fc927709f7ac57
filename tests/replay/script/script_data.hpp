// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The data of a script's requests: the granted pages, their contents before a request, and the contents that they must
// have afterwards.
//
// Tested by tests/unit/replay/script_data_test.cpp.
#pragma once

#include <optional>

#include "tests/replay/frontend/frontend.hpp"
#include "tests/replay/script/script.hpp"
#include "tests/replay/stamp.hpp"

namespace blktap::replay {

/// A sector of the pattern `name`: 32 times the name, filled up with blanks to 8 bytes, and the sector's number as 8
/// bytes little-endian; so data in the wrong place is seen, in a hex dump too. "zeros" is zeros.
void write_pattern(SectorBytes sector, const std::string& name, std::uint64_t number) noexcept;
/// What a sector holds, for people: "A of sector 8", "zeros", "poison", or its first bytes.
std::string describe_pattern(ConstSectorBytes sector);

struct ScriptPage {
    std::span<std::byte> bytes{};  ///< empty: not a page of ours
    xen::GrantRef ref = 0;
};

/// The pages of one script, as many as its largest statement needs, used again by every statement.
class ScriptPages {
  public:
    /// Errors: throws std::system_error (gntalloc's limit).
    ScriptPages(Frontend& frontend, const Script& script);
    /// All pages are free again.
    void reset() noexcept { writable_used_ = read_only_used_ = 0; }
    ScriptPage take_writable() noexcept { return page(writable_, writable_used_++); }
    ScriptPage take_read_only() noexcept { return page(read_only_, read_only_used_++); }

  private:
    static ScriptPage page(const FrontendPages& pages, std::size_t index) noexcept;
    FrontendPages writable_;
    FrontendPages read_only_;
    std::size_t writable_used_ = 0;
    std::size_t read_only_used_ = 0;
};

/// A request in its pages, as it goes into the ring.
class PlacedRequest {
  public:
    /// Takes pages and fills them. Lifetime: `request` and the pages must outlive this.
    PlacedRequest(const ScriptRequest& request, ScriptPages& pages);

    const ScriptRequest& script() const noexcept { return *script_; }
    const ring::RawRequest& raw() const noexcept { return raw_; }
    /// After an okay answer: what is wrong with the data, in the words "expected X, got Y"; nullopt when it is right or
    /// nothing was expected.
    std::optional<std::string> check_data() const;

  private:
    void put_segments(std::span<ring::Segment> out, std::size_t first) const noexcept;
    void put_descriptors(ScriptPages& pages) noexcept;
    void fill() noexcept;

    const ScriptRequest* script_;
    std::vector<ScriptPage> pages_;  ///< one per segment
    ring::RawRequest raw_{};
};

}  // namespace blktap::replay
