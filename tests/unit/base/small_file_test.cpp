// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/small_file.hpp"

#include <filesystem>
#include <fstream>
#include <sys/stat.h>

#include "tests/support/catch.hpp"
#include "tests/support/images/small_file_system.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/thrown.hpp"

namespace blktap {

TEST_CASE("small file: what was written is read, with the mode that was asked for", "[unit]") {
    const testing::TemporaryDirectory directory;
    const std::string path = directory.path("file");
    CHECK_FALSE(read_small_file(path));
    const std::string contents = std::string(10000, 'x') + std::string(1, '\0') + "end";
    const mode_t mask = ::umask(077);
    write_small_file(path, contents, 0755);
    ::umask(mask);
    CHECK(read_small_file(path) == contents);
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0755);
    write_small_file(path, "", 0644);
    CHECK(read_small_file(path) == "");
}

TEST_CASE("small file: nothing is left beside it, whatever happens", "[unit]") {
    const testing::TemporaryDirectory directory;
    std::filesystem::create_directory(directory.path("taken"));
    std::ofstream(directory.path("taken/inside")) << "x";
    CHECK(testing::thrown([&] { write_small_file(directory.path("taken"), "x", 0644); }).code() ==
          std::errc::is_a_directory);
    CHECK_FALSE(std::filesystem::exists(directory.path("taken.tapdisk-new")));
    // Left by a process that was killed.
    std::ofstream(directory.path("file.tapdisk-new")) << "old";
    write_small_file(directory.path("file"), "new", 0644);
    CHECK(read_small_file(directory.path("file")) == "new");
    CHECK_FALSE(std::filesystem::exists(directory.path("file.tapdisk-new")));
}

TEST_CASE("small file: a full file system is named as such, and nothing but the old file is left", "[unit]") {
    if (!testing::SmallFileSystem::available()) {
        WARN("needs the right to mount: skipped");
        return;
    }
    const testing::SmallFileSystem small{testing::SmallFileSystem::Kind::tmpfs, 1 << 20};
    const std::string path = small.path("record");
    const Outlives outlives = GENERATE(Outlives::process, Outlives::power);
    write_small_file(path, "old", 0600, outlives);
    small.fill();
    const std::system_error error = testing::thrown([&] { write_small_file(path, "new", 0600, outlives); });
    CHECK(error.code() == std::errc::no_space_on_device);
    CHECK_THAT(error.what(), Catch::Contains(path));
    CHECK(read_small_file(path) == "old");
    CHECK_FALSE(std::filesystem::exists(path + small_file_suffix));
}

TEST_CASE("small file: a large one is refused, and a directory is no file", "[unit]") {
    const testing::TemporaryDirectory directory;
    const std::string large = directory.make_file("large", (1 << 20) + 1);
    CHECK(testing::thrown([&] { read_small_file(large); }).code() == std::errc::file_too_large);
    CHECK(testing::thrown([&] { read_small_file(directory.path("")); }).code() == std::errc::is_a_directory);
}

}  // namespace blktap
