// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/mapping.hpp"

#include <algorithm>
#include <limits>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "libblktap/base/unique_fd.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"

namespace blktap {
namespace {

constexpr std::size_t size_bytes = 64 * 1024;

bool is_mapped(const void* address) {
    return ::msync(const_cast<void*>(address), 1, MS_ASYNC) == 0;  // ENOMEM where nothing is mapped
}

std::size_t resident_pages(const void* address, std::size_t bytes) {
    std::vector<unsigned char> pages(bytes / 4096);
    REQUIRE(::mincore(const_cast<void*>(address), bytes, pages.data()) == 0);
    return static_cast<std::size_t>(
        std::count_if(pages.begin(), pages.end(), [](auto page) { return (page & 1) != 0; }));
}

}  // namespace

TEST_CASE("mapping: anonymous memory is zero and takes no page before it is touched", "[unit][base]") {
    const Mapping mapping = Mapping::anonymous(size_bytes);
    CHECK(mapping.size_bytes() == size_bytes);
    CHECK(resident_pages(mapping.data(), size_bytes) == 0);
    CHECK(std::all_of(mapping.bytes().begin(), mapping.bytes().end(),
                      [](std::byte byte) { return byte == std::byte{0}; }));
}

TEST_CASE("mapping: trimming gives the memory back and zeros remain", "[unit][base]") {
    const Mapping mapping = Mapping::anonymous(size_bytes);
    std::fill(mapping.bytes().begin(), mapping.bytes().end(), std::byte{7});
    CHECK(resident_pages(mapping.data(), size_bytes) == size_bytes / 4096);
    mapping.trim();
    CHECK(resident_pages(mapping.data(), size_bytes) == 0);
    CHECK(mapping.data()[5] == std::byte{0});
}

TEST_CASE("mapping: trimming gives locked memory back too", "[unit][base]") {
    const Mapping mapping = Mapping::anonymous(size_bytes);
    REQUIRE(::mlock2(mapping.data(), size_bytes, MLOCK_ONFAULT) == 0);
    std::fill(mapping.bytes().begin(), mapping.bytes().end(), std::byte{7});
    CHECK(resident_pages(mapping.data(), size_bytes) == size_bytes / 4096);
    mapping.trim();
    CHECK(resident_pages(mapping.data(), size_bytes) == 0);
    CHECK(mapping.data()[5] == std::byte{0});
}

TEST_CASE("mapping: what is written to a shared file is in the file", "[unit][base]") {
    const UniqueFd file{::memfd_create("mapping", MFD_CLOEXEC)};
    REQUIRE(::ftruncate(file.get(), static_cast<off_t>(size_bytes)) == 0);
    const Mapping mapping = Mapping::shared_file(file.get(), size_bytes);
    mapping.data()[9] = std::byte{42};
    char byte = 0;
    REQUIRE(::pread(file.get(), &byte, 1, 9) == 1);
    CHECK(byte == 42);
}

TEST_CASE("mapping: unmaps when it dies, and moving hands the range over", "[unit][base]") {
    const void* kept = nullptr;
    {
        Mapping source = Mapping::anonymous(size_bytes);
        Mapping target = Mapping::anonymous(size_bytes);
        kept = source.data();
        const void* dropped = target.data();
        target = std::move(source);
        CHECK(target.data() == kept);
        CHECK(is_mapped(kept));
        CHECK_FALSE(is_mapped(dropped));
    }
    CHECK_FALSE(is_mapped(kept));
}

TEST_CASE("mapping: a range that cannot be had throws the reason", "[unit][base]") {
    const auto too_large = testing::thrown([] { Mapping::anonymous(std::numeric_limits<std::size_t>::max() / 2); });
    CHECK(too_large.code() == std::errc::not_enough_memory);
    const auto no_file = testing::thrown([] { Mapping::shared_file(-1, size_bytes); });
    CHECK(no_file.code() == std::errc::bad_file_descriptor);
}

TEST_CASE("lazy array: elements start as zero, keep what is stored, and are forgotten by trim", "[unit][base]") {
    struct Entry {
        std::uint64_t key;
        std::uint32_t value;
    };
    const LazyArray<Entry> array{5000};
    CHECK(array.size() == 5000);
    CHECK(array[4999].key == 0);
    array[4999] = {8, 9};
    CHECK(array.span().back().value == 9);
    array.trim();
    CHECK(array[4999].value == 0);
}

}  // namespace blktap
