// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The contract of FormatTools, for every format.
#include "drivers/tools.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "drivers/formats/formats.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

constexpr std::uint64_t disk_bytes = 8 << 20;
const TellProgress nobody = [](std::uint64_t, std::uint64_t) {};

/// Makes a base of `format` for an image of another one.
void make_base(const std::string& path, std::string_view format) {
    if (const FormatTools* const tools = find_tools(format)) {
        tools->create({.path = path, .size_bytes = disk_bytes});
    } else {
        REQUIRE(format == plain_format().name);
        std::ofstream{path}.close();
        std::filesystem::resize_file(path, disk_bytes);
    }
}

}  // namespace

TEST_CASE("tools: they are of formats that are described, and in the order of their names", "[unit][drivers]") {
    REQUIRE_FALSE(all_tools().empty());
    for (const FormatTools* const tools : all_tools()) {
        CHECK(find_format(tools->format->name) == tools->format);
        CHECK(find_tools(tools->format->name) == tools);
        CHECK_FALSE(tools->cluster_help.empty());
        for (const std::string_view base : tools->bases)
            CHECK(find_format(base) != nullptr);
    }
    CHECK(std::ranges::is_sorted(all_tools(), {}, [](const FormatTools* tools) { return tools->format->name; }));
    CHECK(find_tools("") == nullptr);
    CHECK(find_tools(plain_format().name) == nullptr);
}

TEST_CASE("tools: an image that was made is described, sound, and all of it zeros", "[unit][drivers]") {
    for (const FormatTools* const tools : all_tools()) {
        INFO(tools->format->name);
        const TemporaryDirectory directory;
        const std::string path = directory.path("disk");
        tools->create({.path = path, .size_bytes = disk_bytes});

        const std::vector<ImageLayer> chain = tools->describe(path);
        REQUIRE(chain.size() == 1);
        CHECK(chain[0].path == path);
        CHECK(chain[0].format == tools->format->name);
        CHECK(chain[0].size_bytes == disk_bytes);
        CHECK(chain[0].stored_bytes < disk_bytes);
        CHECK_FALSE(chain[0].facts.empty());

        const CheckReport report = tools->check(path, nobody);
        CHECK(report.soundness == Soundness::sound);
        CHECK_THAT(report.text, Catch::StartsWith("nothing is wrong"));

        std::uint64_t end = 0;
        tools->map(path, nobody, [&](const DiskPiece& piece) {
            CHECK(piece.offset == end);
            CHECK(piece.what == "zero");
            CHECK(piece.file.empty());
            end += piece.length;
        });
        CHECK(end == disk_bytes);
    }
}

TEST_CASE("tools: an image is made over each format that may be its base, and finds it", "[unit][drivers]") {
    for (const FormatTools* const tools : all_tools()) {
        for (const std::string_view format : tools->bases) {
            INFO(tools->format->name << " over " << format);
            const TemporaryDirectory directory;
            make_base(directory.path("base"), format);
            const std::string path = directory.path("disk");
            tools->create({.path = path, .size_bytes = disk_bytes, .base = "base", .base_format = std::string(format)});
            const std::vector<ImageLayer> chain = tools->describe(path);
            REQUIRE(chain.size() == 2);
            CHECK(std::filesystem::equivalent(chain[1].path, directory.path("base")));
            CHECK(chain[1].format == format);
        }
    }
}

TEST_CASE("tools: an image that cannot be made leaves no file, and none is written over", "[unit][drivers]") {
    for (const FormatTools* const tools : all_tools()) {
        INFO(tools->format->name);
        const TemporaryDirectory directory;
        const std::string path = directory.path("disk");
        for (const std::string_view format : tools->bases) {
            const WantedImage baseless{
                .path = path, .size_bytes = disk_bytes, .base = "gone", .base_format = std::string(format)};
            CHECK_THAT(thrown([&] { tools->create(baseless); }).what(), Catch::Contains("gone"));
            CHECK_FALSE(std::filesystem::exists(path));
        }
        const WantedImage odd{.path = path, .size_bytes = disk_bytes, .base = "base", .base_format = "no-format"};
        CHECK(thrown([&] { tools->create(odd); }).code() == std::errc::invalid_argument);
        CHECK_FALSE(std::filesystem::exists(path));

        std::ofstream{path} << "somebody's";
        const auto refused = thrown([&] { tools->create({.path = path, .size_bytes = disk_bytes}); });
        CHECK(refused.code() == std::errc::file_exists);
        CHECK(read_file(path) == "somebody's");
    }
}

TEST_CASE("tools: which file an image names for its data is told where the format has such files", "[unit][drivers]") {
    for (const FormatTools* const tools : all_tools()) {
        INFO(tools->format->name);
        CHECK((tools->named_data_file != nullptr) == !tools->format->data_file_option.empty());
        CHECK((tools->named_data_file != nullptr) == tools->can.have_data_file);
        if (tools->named_data_file == nullptr) continue;
        const TemporaryDirectory directory;
        tools->create({.path = directory.path("plain"), .size_bytes = disk_bytes});
        CHECK(tools->named_data_file(directory.path("plain")).empty());
        tools->create({.path = directory.path("disk"), .size_bytes = disk_bytes, .data_file = directory.path("data")});
        CHECK(tools->named_data_file(directory.path("disk")) == directory.path("data"));
        CHECK_THROWS_AS(tools->named_data_file(directory.path("gone")), std::system_error);
    }
}
