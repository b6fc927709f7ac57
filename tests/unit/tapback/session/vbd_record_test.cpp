// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/session/vbd_record.hpp"

#include <filesystem>
#include <fstream>

#include "tests/support/catch.hpp"
#include "tests/support/few_descriptors.hpp"
#include "tests/support/images/small_file_system.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using namespace blktap::tapback;

namespace {

const VbdRecord example{
    {ipc::VbdAddress::Kind::vbd, 5, 51712}, {"raw", "/images/a", true, {{"buffered", "yes"}}}, true};

}  // namespace

TEST_CASE("record: what was written is read, until it is removed", "[unit]") {
    const testing::TemporaryDirectory directory;
    const std::string path = directory.path("");
    write_record(path, example);
    CHECK(read_records(path) == std::vector<VbdRecord>{example});
    VbdRecord changed = example;
    changed.image.path = "/images/b";
    write_record(path, changed);
    CHECK(read_records(path) == std::vector<VbdRecord>{changed});
    changed.life = "0123456789abcdef0123456789abcdef";
    changed.socket = "tap-3.sock";
    changed.rings = ipc::ConnectArguments{.domain = 5, .persistent = true, .queues = {{{8, 9}, 3}, {{10, 11}, 4}}};
    changed.tap = ipc::TapArguments{4711, 3};
    changed.next = ipc::ImageArguments{"qcow2", "/images/c", false, {}};
    changed.deaths = {5, ~std::uint64_t{0}};
    changed.held = "its tapdisk died";
    write_record(path, changed);
    CHECK(read_records(path) == std::vector<VbdRecord>{changed});
    remove_record(path, example.backend);
    remove_record(path, example.backend);
    CHECK(read_records(path).empty());
    CHECK(std::filesystem::is_empty(path));
}

TEST_CASE("record: one that cannot be read is left, and hides no other", "[unit]") {
    const testing::TemporaryDirectory directory;
    const std::string path = directory.path("");
    write_record(path, example);
    const std::string image = R"("image":{"format":"raw","path":"/a"},"plugged":false)";
    const std::string no_times = R"({"version":1,"backend":"backend/vbd/7/51712",)" + image + R"(,"deaths":["now"]})";
    for (const std::string& text : std::vector<std::string>{
             "", "{", "{\"version\": 2}", "{\"version\": 1, \"backend\": \"backend/vif/1/0\"}", no_times}) {
        std::ofstream(path + "/7-51712.json") << text;
        CHECK(read_records(path) == std::vector<VbdRecord>{example});
        CHECK(std::filesystem::exists(path + "/7-51712.json"));
    }
}

TEST_CASE("record: what a writer left that did not get to its end is removed, and is no record", "[unit]") {
    const testing::TemporaryDirectory directory;
    const std::string path = directory.path("");
    write_record(path, example);
    for (const char* name : {"/5-51712.json.tapdisk-new", "/5-51728.json.new", "/taps.state.new"})
        std::ofstream(path + name) << "{";
    CHECK(read_records(path) == std::vector<VbdRecord>{example});
    std::filesystem::remove(path + "/5-51712.json");
    CHECK(std::filesystem::is_empty(path));
}

TEST_CASE("record: without a descriptor to read it with, a record is not taken for a broken one", "[unit]") {
    const testing::TemporaryDirectory directory;
    write_record(directory.path(""), example);
    // Room for the directory alone.
    const testing::FewDescriptors few{1};
    CHECK(testing::thrown([&] { read_records(directory.path("")); }).code() == std::errc::too_many_files_open);
}

TEST_CASE("record: on a full file system the reason is told, and nothing is left beside the old one", "[unit]") {
    if (!testing::SmallFileSystem::available()) {
        WARN("needs the right to mount: skipped");
        return;
    }
    const testing::SmallFileSystem small{testing::SmallFileSystem::Kind::tmpfs, 1 << 20};
    small.fill();
    CHECK(testing::thrown([&] { write_record(small.path(""), example); }).code() == std::errc::no_space_on_device);
    small.free_space();
    CHECK(std::filesystem::is_empty(small.path("")));
}
