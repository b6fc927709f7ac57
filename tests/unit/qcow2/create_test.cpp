// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/create.hpp"

#include "tests/unit/qcow2/qcow2_fixture.hpp"

using namespace blktap;
using namespace blktap::qcow2;
using namespace blktap::testing;

TEST_CASE("qcow2 create: qemu-img finds nothing wrong with a new image, and it can be used", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::uint64_t cluster = GENERATE(4096u, 65536u, 2u << 20);
    const std::string path = directory.path("disk");
    create_image({path, 40 << 20, cluster});
    CHECK(check_qcow2(path) == 0);
    ModelDisk model{81920};
    {
        DriverHarness harness;
        const auto driver = harness.open("qcow2:" + path);
        CHECK(driver->info().size_sectors == 81920);
        CHECK(driver->info().discard_granularity_bytes == cluster);
        REQUIRE_FALSE(write_stamp(harness, *driver, model, {100, 70000}, 1));
        CHECK_FALSE(find_difference(harness, *driver, model));
    }
    CHECK(check_qcow2(path) == 0);
}

TEST_CASE("qcow2 create: an image begins as its backing file", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    ModelDisk model{2048};
    DriverHarness harness;
    {
        create_image({directory.path("base"), 1 << 20});
        const auto base = harness.open("qcow2:" + directory.path("base"));
        REQUIRE_FALSE(write_stamp(harness, *base, model, {10, 100}, 1));
    }
    const std::string path = directory.path("overlay");
    create_image({path, 1 << 20, 65536, "base", "qcow2"});
    CHECK(check_qcow2(path) == 0);
    const auto driver = harness.open("qcow2:" + path);
    CHECK_FALSE(find_difference(harness, *driver, model));
    REQUIRE_FALSE(write_stamp(harness, *driver, model, {50, 1}, 2));
    CHECK_FALSE(find_difference(harness, *driver, model));
}

TEST_CASE("qcow2 create: large disks have tables that fit, or are refused", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    create_image({directory.path("large"), 64ULL << 40});
    CHECK(check_qcow2(directory.path("large")) == 0);
    CHECK(thrown([&] {
              create_image({directory.path("too-large"), 1ULL << 62});
          }).code() == std::errc::invalid_argument);
}

TEST_CASE("qcow2 create: the largest disk that its clusters allow is told, and can be made", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = directory.path("disk");
    const auto too_large = [&](std::uint64_t cluster_bytes, bool extended) {
        const NewImage image{
            .path = path, .size_bytes = 1ULL << 62, .cluster_bytes = cluster_bytes, .extended_l2 = extended};
        return std::string{thrown([&] { create_image(image); }).what()};
    };
    CHECK_THAT(too_large(65536, false), Catch::EndsWith("with clusters of 64K a disk has at most 2048T"));
    CHECK_THAT(too_large(65536, true), Catch::EndsWith("a disk has at most 1024T"));
    CHECK_THAT(too_large(4096, false), Catch::EndsWith("with clusters of 4K a disk has at most 2045G"));
    create_image({path, 2048ULL << 40});
    ::unlink(path.c_str());
    create_image({path, 2045ULL << 30, 4096});
    CHECK(check_qcow2(path) == 0);
    CHECK_THAT(thrown([&] { create_image({directory.path("odd"), 1000}); }).what(), Catch::Contains("as 1024 is"));
}

TEST_CASE("qcow2 create: what is impossible is refused, and no file is left", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = directory.path("disk");
    for (const NewImage& image :
         {NewImage{path, 0}, NewImage{path, 1000}, NewImage{path, 1 << 20, 2048}, NewImage{path, 1 << 20, 5000},
          NewImage{path, 1 << 20, 4 << 20}, NewImage{path, 1 << 20, 65536, "base", "vmdk"},
          NewImage{path, 1 << 20, 65536, "base"}, NewImage{path, 1 << 20, 65536, std::string(2000, 'b'), "raw"}}) {
        const auto error = thrown([&] { create_image(image); });
        CHECK(error.code() == std::errc::invalid_argument);
        CHECK_THAT(error.what(), Catch::StartsWith(path));
        CHECK(::access(path.c_str(), F_OK) != 0);
    }
    create_image({path, 1 << 20});
    CHECK(thrown([&] { create_image({path, 1 << 20}); }).code() == std::errc::file_exists);
}
