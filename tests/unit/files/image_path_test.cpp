// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/files/image_path.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using namespace blktap::testing;

TEST_CASE("image path: a name is tidied without changing what it leads to", "[unit][drivers]") {
    CHECK(tidied("/a/./b//c") == "/a/b/c");
    CHECK(tidied("./c") == "c");
    CHECK(tidied("/a/../c") == "/a/../c");
    CHECK(tidied("../c") == "../c");
}

TEST_CASE("image path: a relative name begins where the image is", "[unit][drivers]") {
    CHECK(path_beside("/vm/disk", "base") == "/vm/base");
    CHECK(path_beside("/vm/disk", "./base") == "/vm/base");
    CHECK(path_beside("/vm/disk", "../base") == "/vm/../base");
    CHECK(path_beside("/vm/disk", "/other/base") == "/other/base");
    CHECK(path_beside("disk", "base") == "base");
}

TEST_CASE("image path: of 'file:/path', as QEMU's programs write it, the prefix is none of the path",
          "[unit][drivers]") {
    CHECK(path_beside("/vm/disk", "file:/other/base") == "/other/base");
    CHECK(path_beside("/vm/disk", "file:///other/base") == "/other/base");
    CHECK(path_beside("/vm/disk", "./file:/base") == "/vm/file:/base");
    CHECK(path_beside("/vm/disk", "profile:/base") == "/vm/profile:/base");
    CHECK_FALSE(depends_on_working_directory("file:/other/base"));
    CHECK(depends_on_working_directory("file:base"));
    CHECK(depends_on_working_directory("file:"));
    CHECK_FALSE(depends_on_working_directory("files"));
}

TEST_CASE("image path: behind a link to a folder, '..' is what the kernel finds there", "[unit][drivers]") {
    const TemporaryDirectory directory;
    std::filesystem::create_directories(directory.path("real/folder"));
    std::filesystem::create_directory_symlink("real/folder", directory.path("link"));
    directory.make_file("base", 512);
    directory.make_file("real/base", 1024);
    CHECK(std::filesystem::file_size(path_beside(directory.path("link/disk"), "../base")) == 1024);
}

TEST_CASE("image path: below a folder is what has all of its names in front", "[unit][drivers]") {
    CHECK(is_below("/srv/vm/disk", "/srv/vm"));
    CHECK(is_below("/srv/vm/sub/disk", "/srv/vm"));
    CHECK(is_below("/srv/vm", "/srv/vm"));
    CHECK(is_below("/srv/vm", "/"));
    CHECK_FALSE(is_below("/srv/vm-old/disk", "/srv/vm"));
    CHECK_FALSE(is_below("/srv", "/srv/vm"));
}
