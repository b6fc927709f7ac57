// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/resize.hpp"

#include <filesystem>

#include "tests/support/images/image_trials.hpp"
#include "tests/support/sim_aio_kernel.hpp"
#include "tests/unit/qcow2/qcow2_fixture.hpp"

using namespace blktap;
using namespace blktap::testing;
using Kind = ImageRequest::Kind;

TEST_CASE("qcow2 resize: the disk is larger, also for qemu-img, and its new part is zeros that can be written",
          "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string options = GENERATE("", "compat=0.10", "cluster_size=4096");
    const std::string path = make_qcow2(directory.path("disk"), "1M", options);
    ModelDisk model{65536};
    {
        DriverHarness harness;
        const auto driver = harness.open("qcow2:" + path);
        REQUIRE_FALSE(write_stamp(harness, *driver, model, {100, 1000}, 1));
        REQUIRE_FALSE(resize(harness, *driver, 65536));
        CHECK(driver->info().size_sectors == 65536);
        CHECK_FALSE(find_difference(harness, *driver, model));
        REQUIRE_FALSE(write_stamp(harness, *driver, model, {65000, 536}, 2));
        REQUIRE_FALSE(write_stamp(harness, *driver, model, {2000, 100}, 3));
        CHECK_FALSE(harness.flush(*driver));
    }
    CHECK(check_qcow2(path) == 0);
    DriverHarness harness;
    const auto driver = harness.open("qcow2:" + path);
    CHECK(driver->info().size_sectors == 65536);
    CHECK_FALSE(find_difference(harness, *driver, model));
}

TEST_CASE("qcow2 resize: writes go on meanwhile", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = make_qcow2(directory.path("disk"), "16M", "cluster_size=4096");
    ModelDisk model{1 << 18};
    {
        DriverHarness harness;
        const auto driver = harness.open("qcow2:" + path);
        grow_during_writes(harness, *driver, model, {.sectors = 1 << 18});
    }
    CHECK(check_qcow2(path) == 0);
}

TEST_CASE("qcow2 resize: tables that have no room move, and the image has nothing left of the old ones",
          "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string options = GENERATE("cluster_size=512", "cluster_size=512,refcount_bits=64",
                                         "cluster_size=512,compat=0.10", "cluster_size=16384,extended_l2=on");
    CAPTURE(options);
    const std::string path = make_qcow2(directory.path("disk"), "1M", options);
    ModelDisk model{1 << 18};  // 128 MiB
    {
        DriverHarness harness;
        const auto driver = harness.open("qcow2:" + path);
        for (std::uint64_t sectors = 2048; sectors <= model.size_sectors(); sectors *= 8) {
            if (sectors > 2048) REQUIRE_FALSE(resize(harness, *driver, sectors));
            REQUIRE(driver->info().size_sectors == sectors);
            REQUIRE_FALSE(write_stamp(harness, *driver, model, {sectors - 300, 300}, sectors));
            REQUIRE_FALSE(write_stamp(harness, *driver, model, {sectors / 4, 50}, sectors + 1));
            REQUIRE_FALSE(harness.flush(*driver));
        }
        REQUIRE_FALSE(resize(harness, *driver, model.size_sectors()));
        CHECK_FALSE(find_difference(harness, *driver, model));
    }
    CHECK(check_qcow2(path) == 0);
    DriverHarness harness;
    const auto driver = harness.open("qcow2:" + path);
    CHECK(driver->info().size_sectors == model.size_sectors());
    CHECK_FALSE(find_difference(harness, *driver, model));
}

TEST_CASE("qcow2 resize: tables that move do not stop writes", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = make_qcow2(directory.path("disk"), "16M", "cluster_size=512");
    ModelDisk model{1 << 18};
    {
        DriverHarness harness;
        const auto driver = harness.open("qcow2:" + path);
        grow_during_writes(harness, *driver, model, {.sectors = 1 << 18, .distance = 30, .writes_a_step = 1});
    }
    CHECK(check_qcow2(path) == 0);
}

namespace {

/// An image with clusters of 512 bytes, every other one of its first 64 KiB written, so that discards take many groups.
void make_scattered(const std::string& path, ModelDisk& model) {
    make_qcow2(path, "1M", "cluster_size=512");
    DriverHarness harness;
    const auto driver = harness.open("qcow2:" + path);
    for (std::uint64_t sector = 0; sector < 128; sector += 2)
        REQUIRE_FALSE(write_stamp(harness, *driver, model, {sector, 1}, 1));
}

/// Repeated as a guest's request is that waits for space.
std::error_code start_again(DriverHarness& harness, ImageDriver& driver, TestRequest& request) {
    request.answered = false;
    return harness.run(driver, request);
}

}  // namespace

TEST_CASE("qcow2 resize: tables do not move while a group waits for space, whichever write finds none",
          "[unit][qcow2]") {
    constexpr std::uint64_t larger = 1 << 14;  // 8 MiB: the L1 table moves
    const TemporaryDirectory directory;
    ModelDisk scattered{larger};
    make_scattered(directory.path("fresh"), scattered);
    for (std::uint64_t n = 1;; ++n) {
        CAPTURE(n);
        const std::string path = directory.path("disk");
        std::filesystem::copy_file(directory.path("fresh"), path, std::filesystem::copy_options::overwrite_existing);
        ModelDisk model = scattered;
        SimAioKernel kernel;
        kernel.complete_at_submit();
        kernel.result_error(n, ENOSPC);
        {
            DriverHarness harness{kernel};
            const auto driver = harness.open("qcow2:" + path);
            // Groups follow each other without a pause while there is more to discard; the resize comes between them,
            // and in each of them is a write for which a new table is made.
            std::vector<std::unique_ptr<TestRequest>> requests;
            for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{64}}) {
                requests.push_back(std::make_unique<TestRequest>(Kind::discard, SectorRange{first, 64}));
                model.zero({first, 64});
                requests.back()->start_on(*driver);
            }
            TestRequest growing{Kind::read, {}};
            growing.resize_on(*driver, larger);
            std::vector<Mapping> memory;
            for (std::uint64_t i = 0; i < 20; ++i) {
                const SectorRange range{256 + 64 * i, 1};
                memory.push_back(Mapping::anonymous(range.length_bytes()));
                ModelDisk::fill(range, i + 2, memory.back().bytes());
                model.write(range, i + 2);
                requests.push_back(std::make_unique<TestRequest>(Kind::write, range, memory.back().bytes().first(512)));
                requests.back()->start_on(*driver);
                harness.step();
            }
            harness.finish(growing);
            for (const auto& request : requests) {
                harness.finish(*request);
                for (int i = 0; i < 3 && request->error; ++i)
                    start_again(harness, *driver, *request);
                REQUIRE_FALSE(request->error);
            }
            if (growing.error) REQUIRE_FALSE(resize(harness, *driver, larger));
            if (harness.flush(*driver)) REQUIRE_FALSE(harness.flush(*driver));
        }
        REQUIRE(check_qcow2(path) == 0);
        DriverHarness harness;
        const auto driver = harness.open("qcow2:" + path);
        REQUIRE_FALSE(find_difference(harness, *driver, model));
        if (kernel.faults() == 0) break;
    }
}

TEST_CASE("qcow2 resize: what no image can be, or is smaller, is refused and changes nothing", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = make_qcow2(directory.path("disk"), "1M");
    DriverHarness harness;
    const auto driver = harness.open("qcow2:" + path);
    CHECK(resize(harness, *driver, 100) == std::errc::invalid_argument);
    CHECK(resize(harness, *driver, 1ULL << 60) == std::errc::invalid_argument);
    CHECK(resize(harness, *driver, 1ULL << 53) == std::errc::operation_not_supported);  // 4 EiB: 128 MiB of L1
    CHECK(driver->info().size_sectors == 2048);
    CHECK_FALSE(resize(harness, *driver, 3ULL << 31));
    CHECK(resize(harness, *harness.open("qcow2:" + make_qcow2(directory.path("other"), "1M"), Access::read_only),
                 4096) == std::errc::invalid_argument);
}

TEST_CASE("qcow2 resize: what an image that was made smaller has behind its end does not come to light",
          "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string options = GENERATE("cluster_size=65536", "cluster_size=512", "compat=0.10", "cluster_size=2M",
                                         "cluster_size=16384,extended_l2=on");
    const auto way = GENERATE(0, 1, 2);
    CAPTURE(options, way);
    constexpr std::uint64_t end = 7813;  // inside of a cluster
    std::string path = directory.path("disk");
    ModelDisk model{16384};
    if (way == 1) {  // over a backing file that is smaller still
        if (options == "cluster_size=16384,extended_l2=on") return;
        make_qcow2(directory.path("base"), "1M");
        make_qcow2(path, "8M", options, {"-b", "base", "-F", "qcow2"});
    } else {
        make_qcow2(path, "8M", options);
    }
    DriverHarness harness;
    REQUIRE_FALSE(write_stamp(harness, *harness.open("qcow2:" + path), model, {0, 16384}, 1));
    if (way == 2) {  // compressed
        const std::string packed = directory.path("packed");
        qemu_img({"convert", "-q", "-c", "-O", "qcow2", "-o", options, path, packed});
        path = packed;
    }
    ImageBytes{path}.put<std::uint64_t>(24, end * 512);
    model.zero({end, 16384 - end});
    {
        const auto driver = harness.open("qcow2:" + path);
        REQUIRE_FALSE(resize(harness, *driver, end + 3));
        REQUIRE_FALSE(resize(harness, *driver, 16384));
        CHECK_FALSE(find_difference(harness, *driver, model));
        CHECK_FALSE(harness.flush(*driver));
    }
    CHECK(check_qcow2(path) == 0);
    CHECK_FALSE(find_difference(harness, *harness.open("qcow2:" + path), model));
}

TEST_CASE("qcow2 resize: clusters that nobody has behind the end are not allocated for it", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = make_qcow2(directory.path("disk"), "4000256");
    DriverHarness harness;
    REQUIRE_FALSE(resize(harness, *harness.open("qcow2:" + path), 16384));
    CHECK(ImageBytes{path}.l2_offset() == 0);
}

TEST_CASE("qcow2 resize: what a larger backing file has behind the disk's end does not come to light",
          "[unit][qcow2]") {
    const TemporaryDirectory directory;
    make_qcow2(directory.path("base"), "2M");
    const std::string same = make_qcow2(directory.path("same"), "2M", "", {"-b", "base", "-F", "qcow2"});
    const std::string less = make_qcow2(directory.path("less"), "1M", "", {"-b", "base", "-F", "qcow2"});
    ModelDisk model{8192};
    DriverHarness harness;
    REQUIRE_FALSE(write_stamp(harness, *harness.open("qcow2:" + directory.path("base")), model, {3000, 8}, 1));
    const auto hiding = harness.open("qcow2:" + less);
    CHECK(resize(harness, *hiding, 3072) == std::errc::operation_not_supported);
    CHECK(hiding->info().size_sectors == 2048);
    CHECK_FALSE(resize(harness, *hiding, 2048));
    const auto whole = harness.open("qcow2:" + same);
    CHECK_FALSE(resize(harness, *whole, 8192));
    CHECK_FALSE(find_difference(harness, *whole, model));
}
