// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The crash checker: random traffic on a qcow2 image, whose every write to the file is logged. Then the log is cut at
// many points, once as by a loss of power (sectors that no fdatasync covered are there or not, each for itself), once
// as by the death of the process (what was written is there), and each image that results must be one:
//
//   - qemu-img check finds no error; leaked clusters are allowed
//   - after a loss of power, what a flush covered is there; after a death, what was answered
//   - every other sector holds what was once written there, or zeros if it was new: never another sector's data
//
// BLKTAP_SEED=n replays a run, BLKTAP_CRASH_POINTS=n cuts in more places.
#include "tests/crash/crash_checker.hpp"
#include "tests/support/images/image_files.hpp"
#include "tests/support/images/qemu_img.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

/// `options`: with which it is opened.
void examine(const std::string& path, const std::string& options, const History& history, std::size_t kept,
             std::size_t now) {
    const auto require_consistent = [&] {
        const int status = check_qcow2(path);
        REQUIRE((status == 0 || status == 3));
    };
    require_consistent();
    std::vector<std::byte> after_first_life;
    for (int life = 0; life < 2; ++life) {
        DriverHarness harness;
        {
            const auto driver = harness.open("qcow2:" + path + options);
            check_disk(*driver, harness, history, kept, now);
        }
        // The first may give the image a longer refcount table, or a longer file. The second finds nothing to do.
        if (life == 0) after_first_life = load_file(path);
    }
    REQUIRE(load_file(path) == after_first_life);
    require_consistent();
}

void check_qcow2_crashes(const std::string& path, const ModelDisk& before, Habits habits,
                         const std::string& data_file = {}) {
    const std::string options = data_file.empty() ? "" : "?data-file=" + data_file + crashed_suffix;
    const auto judge = [&](const std::string& crashed, const History& history, std::size_t kept, std::size_t now) {
        examine(crashed, options, history, kept, now);
    };
    check_crashes("qcow2", path, before, habits, 0, judge, data_file);
}

}  // namespace

TEST_CASE("qcow2 driver: a crash at any moment leaves an image with everything that was promised", "[crash][qcow2]") {
    if (!qemu_img_available()) {
        WARN("needs qemu-img");
        return;
    }
    const TemporaryDirectory directory;
    const std::string options = GENERATE("cluster_size=65536", "cluster_size=4096", "cluster_size=512,refcount_bits=8",
                                         "compat=0.10,cluster_size=4096", "cluster_size=4096,refcount_bits=1",
                                         "extended_l2=on,cluster_size=16384", "extended_l2=on");
    CAPTURE(options);
    check_qcow2_crashes(make_qcow2(directory.path("disk"), "2M", options), ModelDisk{disk_sectors}, {});
}

TEST_CASE("qcow2 driver: a crash while old contents are copied loses none of them", "[crash][qcow2]") {
    if (!qemu_img_available()) {
        WARN("needs qemu-img");
        return;
    }
    const TemporaryDirectory directory;
    ModelDisk model{disk_sectors};
    for (std::uint64_t first = 0; first + 100 < disk_sectors; first += 300)
        model.write({first, 100}, first + 1);
    const std::string raw = directory.make_file("base", disk_sectors * sector_size_bytes);
    std::vector<std::byte> bytes(disk_sectors * sector_size_bytes);
    for (std::uint64_t sector = 0; sector < disk_sectors; ++sector)
        ModelDisk::fill({sector, 1}, model.stamp(sector), std::span(bytes).subspan(sector * 512, 512));
    store_file(raw, bytes);
    const std::string path = directory.path("disk");
    const std::string options = GENERATE("cluster_size=16384", "cluster_size=16384,extended_l2=on");
    CAPTURE(options);
    if (GENERATE(true, false)) {
        make_qcow2(path, "2M", options, {"-b", raw, "-F", "raw"});
        check_qcow2_crashes(path, model, {.discards = false});
    } else {
        qemu_img({"convert", "-q", "-c", "-f", "raw", "-O", "qcow2", "-o", options, raw, path});
        check_qcow2_crashes(path, model, {});
    }
}

TEST_CASE("qcow2 driver: a crash while tables move for a larger disk leaves a disk of either size", "[crash][qcow2]") {
    if (!qemu_img_available()) {
        WARN("needs qemu-img");
        return;
    }
    const TemporaryDirectory directory;
    const std::string options =
        GENERATE("cluster_size=512", "cluster_size=512,refcount_bits=64", "cluster_size=1024,refcount_bits=8");
    CAPTURE(options);
    const std::string path = make_qcow2(directory.path("disk"), "2M", options);
    check_qcow2_crashes(path, ModelDisk{disk_sectors}, {.grows = true});
}

TEST_CASE("qcow2 driver: a crash while a disk that was made smaller grows shows nothing of what was there",
          "[crash][qcow2]") {
    if (!qemu_img_available()) {
        WARN("needs qemu-img");
        return;
    }
    const TemporaryDirectory directory;
    const std::string options = GENERATE("cluster_size=4096", "compat=0.10", "cluster_size=16384,extended_l2=on");
    CAPTURE(options);
    const std::string path = make_qcow2(directory.path("disk"), "4M", options);
    {
        DriverHarness harness;
        ModelDisk larger{2 * disk_sectors};
        REQUIRE_FALSE(write_stamp(harness, *harness.open("qcow2:" + path), larger, {disk_sectors, disk_sectors}, 1));
    }
    FileBytes{path}.put<std::uint64_t>(24, disk_sectors * sector_size_bytes);
    check_qcow2_crashes(path, ModelDisk{disk_sectors}, {.grows = true});
}

TEST_CASE("qcow2 driver: a crash of an image with a data file leaves both as they were promised", "[crash][qcow2]") {
    if (!qemu_img_available()) {
        WARN("needs qemu-img");
        return;
    }
    const TemporaryDirectory directory;
    const std::string options = GENERATE("cluster_size=4096", "cluster_size=16384,extended_l2=on");
    CAPTURE(options);
    const std::string data = directory.path("data");
    const std::string path = make_qcow2(directory.path("disk"), "2M", options + ",data_file=" + data);
    check_qcow2_crashes(path, ModelDisk{disk_sectors}, {}, data);
}
