// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/replay/copy.hpp"

#include <cstdio>
#include <memory>
#include <unistd.h>

#include "tests/replay/load/random.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/replay/backend/machine.hpp"

using namespace blktap;
using namespace blktap::replay;

namespace {

struct File {
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{std::tmpfile(), &std::fclose};
    int fd() const { return ::fileno(file.get()); }
    std::vector<std::byte> contents() const {
        std::vector<std::byte> bytes(static_cast<std::size_t>(::lseek(fd(), 0, SEEK_END)));
        REQUIRE(::pread(fd(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
        return bytes;
    }
};

std::vector<std::byte> noise(std::size_t size_bytes) {
    Random random(3);
    std::vector<std::byte> bytes(size_bytes);
    for (std::byte& byte : bytes)
        byte = static_cast<std::byte>(random.next());
    return bytes;
}

void run(Machine& machine, Traffic& traffic) {
    Session session(machine.backend, Machine::frontend());
    Pump pump(session, machine.clock, {4, ring::segments_direct_max});
    Statistics statistics;
    pump.run(traffic, statistics);
}

std::span<const std::byte> sectors(const std::vector<std::byte>& disk, SectorRange range) {
    return std::span(disk).subspan(range.offset_bytes(), range.length_bytes());
}

}  // namespace

TEST_CASE("read: a range comes out whole and in order", "[unit][replay]") {
    const auto range = GENERATE(SectorRange{0, 2048}, SectorRange{3, 1001}, SectorRange{2047, 1}, SectorRange{88, 88});
    Machine machine;
    machine.backend.disk = noise(machine.backend.disk.size());
    const File out;
    ReadTraffic traffic(range, 4, out.fd());
    run(machine, traffic);
    const auto contents = out.contents();
    CHECK(std::ranges::equal(contents, sectors(machine.backend.disk, range)));
}

TEST_CASE("read: a sector that cannot be read is a failure that names it", "[unit][replay]") {
    Machine machine;
    machine.backend.change_answer = [](ring::Response& response) { response.status = ring::Status::error; };
    const File out;
    ReadTraffic traffic({5, 8}, 4, out.fd());
    CHECK_THROWS_WITH(run(machine, traffic), Catch::Contains("sector 5"));
}

TEST_CASE("write: the input is at its place, the last sector filled up, the rest untouched", "[unit][replay]") {
    const std::size_t size_bytes = GENERATE(std::size_t{0}, 1u, 512u, 45056u, 45057u, 300'001u);
    Machine machine;
    const auto before = noise(machine.backend.disk.size());
    machine.backend.disk = before;
    const auto input = noise(size_bytes);
    const File in;
    REQUIRE(::pwrite(in.fd(), input.data(), input.size(), 0) == static_cast<ssize_t>(input.size()));
    bool flushed_last = false;
    machine.backend.change_answer = [&](ring::Response& response) { flushed_last = response.operation == 3; };

    WriteTraffic traffic({7, 2000}, in.fd());
    run(machine, traffic);
    std::vector<std::byte> expected = before;
    const auto start = expected.begin() + 7 * sector_size_bytes;
    const auto end = std::copy(input.begin(), input.end(), start);
    std::fill(end, start + static_cast<std::ptrdiff_t>(round_up(size_bytes, sector_size_bytes)), std::byte{0});
    CHECK(machine.backend.disk == expected);
    CHECK(flushed_last);
}

TEST_CASE("write: input beyond the range is left alone", "[unit][replay]") {
    Machine machine;
    const auto input = noise(100 * sector_size_bytes);
    const File in;
    REQUIRE(::pwrite(in.fd(), input.data(), input.size(), 0) == static_cast<ssize_t>(input.size()));
    WriteTraffic traffic({10, 90}, in.fd());
    run(machine, traffic);
    const std::vector<std::byte>& disk = machine.backend.disk;
    CHECK(std::ranges::equal(sectors(disk, {10, 90}), sectors(input, {0, 90})));
    CHECK(std::ranges::all_of(sectors(disk, {100, 100}), [](std::byte byte) { return byte == std::byte{0}; }));
}
