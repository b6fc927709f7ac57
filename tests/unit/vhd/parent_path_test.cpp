// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/metadata/parent_path.hpp"

#include "drivers/vhd/metadata/header.hpp"
#include "tests/support/catch.hpp"

using namespace blktap::vhd;

namespace {

ParentName windows(std::uint32_t platform, const std::string& text) {
    const std::string encoded = to_utf16(text, false);
    const auto bytes = std::as_bytes(std::span{encoded});
    return {platform, {bytes.begin(), bytes.end()}};
}

ParentName url(const std::string& text) {
    const auto bytes = std::as_bytes(std::span{text});
    return {platform_url, {bytes.begin(), bytes.end()}};
}

}  // namespace

TEST_CASE("vhd parent: Windows' names become paths", "[unit][vhd]") {
    CHECK(decode_parent(windows(platform_windows_relative, ".\\base.vhd")) == "./base.vhd");
    CHECK(decode_parent(windows(platform_windows_relative, "..\\a\\base.vhd")) == "../a/base.vhd");
    CHECK(decode_parent(windows(platform_windows_absolute, "C:\\vm\\base.vhd")) == "/vm/base.vhd");
    CHECK(decode_parent(windows(platform_windows_absolute, "\\srv\\base.vhd")) == "/srv/base.vhd");
    CHECK(decode_parent(windows(platform_windows_absolute, "C:")) == std::nullopt);
    CHECK(decode_parent({platform_windows_relative, {}}) == std::nullopt);
}

TEST_CASE("vhd parent: file URLs become paths, XenServer's relative ones too", "[unit][vhd]") {
    CHECK(decode_parent(url("file:///srv/base.vhd")) == "/srv/base.vhd");
    CHECK(decode_parent(url("file://./base.vhd")) == "./base.vhd");
    CHECK(decode_parent(url("file://localhost/srv/base.vhd")) == "/srv/base.vhd");
    CHECK(decode_parent(url(std::string("file://./base.vhd\0\0", 18))) == "./base.vhd");
    CHECK(decode_parent(url("http://x/base.vhd")) == std::nullopt);
    CHECK(decode_parent({0x57693272, {}}) == std::nullopt);  // "Wi2r", which nobody knows
}

TEST_CASE("vhd parent: what is encoded is decoded", "[unit][vhd]") {
    const std::uint32_t platform = GENERATE(platform_url, platform_windows_relative, platform_windows_absolute);
    const std::string path = GENERATE("./base.vhd", "/srv/vm/b%20 c.vhd", "../x");
    CHECK(decode_parent({platform, encode_parent(platform, path)}) == path);
}

TEST_CASE("vhd parent: relative names come first, and each path once", "[unit][vhd]") {
    const std::vector<ParentName> names{windows(platform_windows_absolute, "/srv/vm/base.vhd"),
                                        windows(platform_windows_absolute, "/old/base.vhd"), url("file://./base.vhd"),
                                        windows(platform_windows_relative, ".\\base.vhd")};
    CHECK(parent_paths("/new/disk.vhd", names) ==
          std::vector<std::string>{"/new/base.vhd", "/srv/vm/base.vhd", "/old/base.vhd"});
    CHECK(parent_paths("disk.vhd", {url("file://base.vhd")}) == std::vector<std::string>{"base.vhd"});
    CHECK(parent_paths("/srv/disk.vhd", {}).empty());
}
