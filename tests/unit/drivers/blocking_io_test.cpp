// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/shared/blocking_io.hpp"

#include <algorithm>
#include <array>

#include "tests/support/catch.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using blktap::testing::TemporaryDirectory;

TEST_CASE("blocking I/O: reads back what it wrote, at its offset", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const UniqueFd fd{::open(directory.make_file("file", 8192).c_str(), O_RDWR | O_CLOEXEC)};
    std::array<std::byte, 1024> data;
    data.fill(std::byte{7});
    REQUIRE_FALSE(write_at(fd.get(), data, 512));
    std::array<std::byte, 2048> back;
    REQUIRE(read_at(fd.get(), back, 0).value() == back.size());
    CHECK(back[511] == std::byte{0});
    CHECK(std::equal(data.begin(), data.end(), back.begin() + 512));
    CHECK(back[1536] == std::byte{0});
}

TEST_CASE("blocking I/O: a read stops at the end of the file", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const UniqueFd fd{::open(directory.make_file("file", 1000).c_str(), O_RDWR | O_CLOEXEC)};
    std::array<std::byte, 2048> data;
    CHECK(read_at(fd.get(), data, 0).value() == 1000);
    CHECK(read_at(fd.get(), data, 512).value() == 488);
    CHECK(read_at(fd.get(), data, 4096).value() == 0);
}

TEST_CASE("blocking I/O: behind a file's end are zeros, but a file that became shorter is an error",
          "[unit][drivers]") {
    const TemporaryDirectory directory;
    const UniqueFd fd{::open(directory.make_file("file", 1000).c_str(), O_RDWR | O_CLOEXEC)};
    std::array<std::byte, 1000> written;
    written.fill(std::byte{7});
    REQUIRE_FALSE(write_at(fd.get(), written, 0));
    std::array<std::byte, 1024> data;
    data.fill(std::byte{0xee});
    CHECK_FALSE(read_to_end(fd.get(), data, 0, 1000));
    CHECK(data[999] == std::byte{7});
    CHECK(std::all_of(data.begin() + 1000, data.end(), [](std::byte byte) { return byte == std::byte{0}; }));
    data.fill(std::byte{0xee});
    CHECK_FALSE(read_to_end(fd.get(), data, 512, 600));  // it has become longer
    CHECK(data[87] == std::byte{7});
    CHECK(data[88] == std::byte{0});
    CHECK_FALSE(read_to_end(fd.get(), data, 4096, 1000));
    CHECK(read_to_end(fd.get(), data, 0, 1001) == Errc::unexpected_end_of_file);
}

TEST_CASE("blocking I/O: errors are errno's", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const UniqueFd fd{::open(directory.make_file("file", 1024).c_str(), O_RDONLY | O_CLOEXEC)};
    std::array<std::byte, 512> data{};
    CHECK(write_at(fd.get(), data, 0) == std::errc::bad_file_descriptor);
    CHECK(read_at(-1, data, 0).error() == std::errc::bad_file_descriptor);
    const UniqueFd full{::open("/dev/full", O_WRONLY | O_CLOEXEC)};
    CHECK(write_at(full.get(), data, 0) == std::errc::no_space_on_device);
}

TEST_CASE("blocking I/O: a scattered write is one write, wherever its pieces end", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const UniqueFd fd{::open(directory.make_file("file", 8192).c_str(), O_RDWR | O_CLOEXEC)};
    std::vector<std::byte> written(3000);
    for (std::size_t i = 0; i < written.size(); ++i)
        written[i] = static_cast<std::byte>(i * 7);
    std::vector<iovec> pieces{{written.data(), 1}, {written.data() + 1, 0}, {written.data() + 1, 2999}};
    CHECK_FALSE(write_all_at(fd.get(), pieces, 100));
    std::vector<std::byte> read(written.size());
    REQUIRE(read_at(fd.get(), read, 100).value() == read.size());
    CHECK(read == written);
    CHECK_FALSE(write_all_at(fd.get(), {}, 0));
    CHECK(write_all_at(-1, pieces, 0) == std::errc::bad_file_descriptor);
}
