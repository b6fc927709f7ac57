// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The VHD driver agrees with the model disk under random mixed requests, closed and opened again in between, for every
// sort of image that it writes; and qemu-img reads the same. BLKTAP_SEED=n replays one run.
#include "drivers/vhd/create.hpp"
#include "tests/property/driver_comparison.hpp"
#include "tests/property/raw_contents.hpp"
#include "tests/support/images/qemu_img.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

void compare_with_qemu(const TemporaryDirectory& directory, const std::string& path, const ModelDisk& model) {
    const std::string raw = write_raw(directory, "model.raw", model);
    CHECK(run_qemu_img({"compare", "-f", "vpc", "-F", "raw", path, raw}, "/dev/stderr") == 0);
}

struct Run {
    std::uint64_t seed = seed_of_this_run();
    bool discards = true;
    bool qemu_reads = true;
    std::string options{};
};

/// Three lives of an image.
void compare(const TemporaryDirectory& directory, const std::string& path, ModelDisk& model, const Run& run) {
    compare_lives("vhd:" + path + run.options, model, run.seed, run.discards, [&] {
        if (run.qemu_reads) compare_with_qemu(directory, path, model);
    });
}

}  // namespace

TEST_CASE("vhd driver: agrees with the model and with qemu-img on qemu-img's images", "[property][vhd]") {
    if (!qemu_img_available()) {
        WARN("needs qemu-img");
        return;
    }
    const std::string options = GENERATE("", "force_size=on", "subformat=fixed", "subformat=fixed,force_size=on");
    const TemporaryDirectory directory;
    CAPTURE(options);
    ModelDisk model{comparison_sectors};
    compare(directory, make_vhd(directory.path("disk"), "4M", options), model, {});
}

TEST_CASE("vhd driver: goes on with what qemu-img has written", "[property][vhd]") {
    if (!qemu_img_available()) {
        WARN("needs qemu-img");
        return;
    }
    const TemporaryDirectory directory;
    const Run run;
    std::mt19937_64 random{run.seed};
    const std::string options = GENERATE("force_size=on", "subformat=fixed,force_size=on");
    CAPTURE(options);
    ModelDisk model = random_contents(random);
    const std::string raw = write_raw(directory, "source.raw", model);
    const std::string path = directory.path("disk");
    qemu_img({"convert", "-q", "-f", "raw", "-O", "vpc", "-o", options, raw, path});
    compare(directory, path, model, run);
}

TEST_CASE("vhd driver: agrees with the model and with qemu-img on images of ours", "[property][vhd]") {
    const TemporaryDirectory directory;
    const std::uint64_t block_bytes = GENERATE(2U << 20, 4096U, 65536U, 64U << 20);
    CAPTURE(block_bytes);
    const std::string path = directory.path("disk");
    vhd::create_image({.path = path, .size_bytes = comparison_sectors * 512, .block_bytes = block_bytes});
    ModelDisk model{comparison_sectors};
    Run run;
    run.qemu_reads = qemu_img_available();
    compare(directory, path, model, run);
}

TEST_CASE("vhd driver: agrees with the model over parents, also with few bitmaps in memory", "[property][vhd]") {
    const TemporaryDirectory directory;
    Run run{.discards = false, .qemu_reads = false};
    std::mt19937_64 random{run.seed};
    const std::uint64_t block_bytes = GENERATE(2U << 20, 4096U);
    CAPTURE(block_bytes);
    // A raw file, shorter than the disk; an image over it with other blocks; the disk over that.
    ModelDisk model = random_contents(random);
    const std::string base = write_raw(directory, "base.raw", model);
    const std::uint64_t cut = 1 + random() % comparison_sectors;
    REQUIRE(::truncate(base.c_str(), static_cast<off_t>(cut * sector_size_bytes)) == 0);
    model.zero({cut, comparison_sectors - cut});
    const std::uint64_t size_bytes = comparison_sectors * sector_size_bytes;
    const std::string middle = directory.path("middle");
    vhd::create_image(
        {.path = middle, .size_bytes = size_bytes, .block_bytes = 8192, .parent = "base.raw", .parent_is_raw = true});
    run.options = "?metadata-cache=4K";
    compare(directory, middle, model, run);
    const std::string path = directory.path("disk");
    vhd::create_image({.path = path, .size_bytes = size_bytes, .block_bytes = block_bytes, .parent = "middle"});
    compare(directory, path, model, run);
}

TEST_CASE("vhd driver: a disk that is made larger again and again agrees with the model", "[property][vhd]") {
    const TemporaryDirectory directory;
    Run run;
    std::mt19937_64 random{run.seed};
    const bool fixed = GENERATE(true, false);
    const std::string path = directory.path("disk");
    const std::uint64_t block_bytes = fixed ? vhd::block_bytes_usual : 8192;
    const std::uint64_t size_bytes = comparison_sectors * sector_size_bytes;
    vhd::create_image({.path = path, .size_bytes = size_bytes, .fixed = fixed, .block_bytes = block_bytes});
    ModelDisk model{comparison_sectors};
    std::uint64_t sectors = comparison_sectors;
    for (std::uint64_t life = 0; life < 4; ++life) {
        {
            DriverHarness harness;
            const auto driver = harness.open("vhd:" + path);
            REQUIRE(driver->info().size_sectors == sectors);
            sectors += 1 + random() % 20000;
            TestRequest larger{ImageRequest::Kind::read, {}};
            larger.resize_on(*driver, sectors);
            Comparison{harness, *driver, model, run.seed + life}.run(300);
            harness.finish(larger);
            REQUIRE_FALSE(larger.error);
        }
        if (qemu_img_available()) compare_with_qemu(directory, path, model);
    }
}
