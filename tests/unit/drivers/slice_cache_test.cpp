// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/shared/slice_cache.hpp"

#include "tests/support/catch.hpp"

using namespace blktap;

namespace {

std::uint32_t insert_loaded(SliceCache& cache, const SliceCache::Key& key) {
    const std::uint32_t slot = cache.insert(key);
    REQUIRE(slot != SliceCache::none);
    cache.loaded(slot);
    return slot;
}

}  // namespace

TEST_CASE("slice cache: finds what was inserted, of each layer its own", "[unit][qcow2]") {
    SliceCache cache{1 << 20};
    CHECK(cache.find({0, 4096}) == SliceCache::none);
    const std::uint32_t slot = cache.insert({0, 4096});
    CHECK_FALSE(cache.ready(slot));
    cache.loaded(slot);
    CHECK(cache.ready(slot));
    CHECK(cache.find({0, 4096}) == slot);
    CHECK(cache.find({1, 4096}) == SliceCache::none);
    cache.forget(slot);
    CHECK(cache.find({0, 4096}) == SliceCache::none);
}

TEST_CASE("slice cache: holds no more than it may, and forgets what was not used", "[unit][qcow2]") {
    SliceCache cache{16 * 4096};
    REQUIRE(cache.slot_count() == 16);
    for (std::uint64_t i = 0; i < 16; ++i)
        insert_loaded(cache, {0, i * 4096});
    insert_loaded(cache, {0, 100 * 4096});  // takes the marks of all away
    for (std::uint64_t i = 8; i < 16; ++i)
        cache.find({0, i * 4096});
    for (std::uint64_t i = 0; i < 7; ++i)
        insert_loaded(cache, {0, (200 + i) * 4096});
    for (std::uint64_t i = 8; i < 16; ++i)
        CHECK(cache.find({0, i * 4096}) != SliceCache::none);
    for (std::uint64_t i = 0; i < 8; ++i)
        CHECK(cache.find({0, i * 4096}) == SliceCache::none);
}

TEST_CASE("slice cache: what is pinned or being loaded stays", "[unit][qcow2]") {
    SliceCache cache{16 * 4096};
    for (std::uint64_t i = 0; i < 8; ++i)
        cache.pin(insert_loaded(cache, {0, i * 4096}));
    for (std::uint64_t i = 8; i < 16; ++i)
        REQUIRE(cache.insert({0, i * 4096}) != SliceCache::none);
    CHECK(cache.insert({0, 1 << 20}) == SliceCache::none);
    const std::uint32_t first = cache.find({0, 0});
    cache.unpin(first);
    CHECK(cache.insert({0, 1 << 20}) == first);
    CHECK(cache.find({0, 0}) == SliceCache::none);
}
