// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The qcow2 driver agrees with the model disk under random mixed requests, closed and opened again in between, for
// every sort of image that it writes; and qemu-img, which made the image, finds nothing wrong and reads the same.
// BLKTAP_SEED=n replays one run.
#include <fstream>

#include <nlohmann/json.hpp>

#include "drivers/qcow2/create.hpp"
#include "drivers/qcow2/examine.hpp"
#include "drivers/qcow2/open_image.hpp"
#include "tests/property/driver_comparison.hpp"
#include "tests/property/raw_contents.hpp"
#include "tests/support/images/loop_device.hpp"
#include "tests/support/images/qemu_img.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

void compare_with_qemu(const TemporaryDirectory& directory, const std::string& path, const ModelDisk& model) {
    CHECK(check_qcow2(path) == 0);
    const std::string raw = write_raw(directory, "model.raw", model);
    CHECK(run_qemu_img({"compare", "-f", "qcow2", "-F", "raw", path, raw}, "/dev/stderr") == 0);
}

struct Run {
    std::uint64_t seed = seed_of_this_run();
    bool discards = true;
    std::string options{};
};

/// Three lives of an image.
void compare(const TemporaryDirectory& directory, const std::string& path, ModelDisk& model, const Run& run) {
    compare_lives("qcow2:" + path + run.options, model, run.seed, run.discards,
                  [&] { compare_with_qemu(directory, path, model); });
}

/// Each of our extents is a part of one of qemu-img's, of which a layer's number is the depth.
void check_map(const std::string& path, const nlohmann::json& theirs) {
    LocalImageOpener files;
    const qcow2::OpenedImage image = qcow2::open_chain(path, Access::read_only, Caching::buffered, files);
    std::uint64_t at = 0;
    std::size_t index = 0;
    qcow2::map_disk(image.chain, [&](std::uint64_t offset, const qcow2::Extent& extent) {
        REQUIRE(offset == at);
        at += extent.length;
        const auto end = [&] {
            return theirs[index]["start"].get<std::uint64_t>() + theirs[index]["length"].get<std::uint64_t>();
        };
        while (end() <= offset)
            ++index;
        CAPTURE(offset, extent.length, theirs[index]);
        const bool data = extent.kind == qcow2::Extent::Kind::data;
        REQUIRE((data || extent.kind == qcow2::Extent::Kind::zero));
        REQUIRE(theirs[index]["data"] == data);
        if (!data) return;
        REQUIRE(at <= end());
        REQUIRE(theirs[index]["depth"] == extent.layer);
        const std::uint64_t skip = offset - theirs[index]["start"].get<std::uint64_t>();
        REQUIRE(theirs[index]["offset"].get<std::uint64_t>() + skip == extent.host_offset);
    });
    REQUIRE(at == image.chain.front().size_bytes);
}

}  // namespace

TEST_CASE("qcow2 driver: agrees with the model and with qemu-img", "[property][qcow2]") {
    if (!qemu_img_available()) {
        WARN("needs qemu-img");
        return;
    }
    const std::string options =
        GENERATE("cluster_size=65536", "cluster_size=512", "cluster_size=1024,refcount_bits=1", "cluster_size=4096",
                 "cluster_size=2M", "compat=0.10", "cluster_size=4096,refcount_bits=64", "refcount_bits=2",
                 "cluster_size=512,refcount_bits=8", "refcount_bits=32,lazy_refcounts=on", "preallocation=metadata",
                 "cluster_size=4096,preallocation=full", "extended_l2=on", "extended_l2=on,cluster_size=16384",
                 "extended_l2=on,cluster_size=2M", "extended_l2=on,preallocation=metadata");
    const TemporaryDirectory directory;
    CAPTURE(options);
    ModelDisk model{comparison_sectors};
    compare(directory, make_qcow2(directory.path("disk"), "4M", options), model, {});
}

TEST_CASE("qcow2 driver: a small cache of tables changes nothing", "[property][qcow2]") {
    if (!qemu_img_available()) {
        WARN("needs qemu-img");
        return;
    }
    const TemporaryDirectory directory;
    ModelDisk model{comparison_sectors};
    compare(directory, make_qcow2(directory.path("disk"), "4M", "cluster_size=512"), model,
            {.options = "?metadata-cache=64K"});
}

TEST_CASE("qcow2 driver: agrees with the model over backing files", "[property][qcow2]") {
    if (!qemu_img_available()) {
        WARN("needs qemu-img");
        return;
    }
    const TemporaryDirectory directory;
    const Run run{.discards = false};
    std::mt19937_64 random{run.seed};
    const std::string clusters =
        GENERATE("cluster_size=65536", "cluster_size=4096", "cluster_size=2M", "extended_l2=on,cluster_size=32768");
    const std::string middle_clusters = GENERATE("cluster_size=16384", "cluster_size=16384,extended_l2=on");
    CAPTURE(clusters, middle_clusters);
    // A raw file, shorter than the disk; a qcow2 image over it with other clusters; the disk over that.
    ModelDisk model = random_contents(random);
    const std::string base = write_raw(directory, "base.raw", model);
    const std::uint64_t cut = 1 + random() % comparison_sectors;
    REQUIRE(::truncate(base.c_str(), static_cast<off_t>(cut * sector_size_bytes)) == 0);
    model.zero({cut, comparison_sectors - cut});
    const std::string middle = make_qcow2(directory.path("middle"), "4M", middle_clusters, {"-b", base, "-F", "raw"});
    Run prelude = run;
    compare(directory, middle, model, prelude);
    compare(directory, make_qcow2(directory.path("disk"), "4M", clusters, {"-b", middle, "-F", "qcow2"}), model, run);
    CHECK(check_qcow2(middle) == 0);
}

TEST_CASE("qcow2 driver: compressed clusters are read, copied and replaced", "[property][qcow2]") {
    if (!qemu_img_available()) {
        WARN("needs qemu-img");
        return;
    }
    const TemporaryDirectory directory;
    const Run run;
    std::mt19937_64 random{run.seed};
    const std::string options =
        GENERATE("cluster_size=65536", "cluster_size=4096", "compression_type=zstd",
                 "cluster_size=2M,compression_type=zstd", "cluster_size=512", "extended_l2=on,cluster_size=16384");
    CAPTURE(options);
    ModelDisk model = random_contents(random);
    const std::string raw = write_raw(directory, "source.raw", model);
    const std::string path = directory.path("disk");
    qemu_img({"convert", "-q", "-c", "-f", "raw", "-O", "qcow2", "-o", options, raw, path});
    compare(directory, path, model, run);
}

TEST_CASE("qcow2 driver: agrees with the model on a block device with blocks of 4096 bytes",
          "[property][qcow2][root]") {
    if (!qemu_img_available() || !LoopDevice::available()) {
        WARN("needs qemu-img, root and loop devices");
        return;
    }
    const TemporaryDirectory directory;
    const std::string options = GENERATE("cluster_size=65536", "cluster_size=4096", "extended_l2=on");
    CAPTURE(options);
    // What was on the device before must never be seen.
    const std::string file = directory.make_file("device", 8 << 20);
    std::ofstream{file, std::ios::binary} << std::string(8 << 20, 'x');
    const LoopDevice device{file, 4096};
    ModelDisk model{comparison_sectors};
    compare(directory, make_qcow2(device.path(), "4M", options), model, {});
}

TEST_CASE("qcow2 driver: agrees with the model and with qemu-img on images that we made", "[property][qcow2]") {
    if (!qemu_img_available()) {
        WARN("needs qemu-img");
        return;
    }
    const TemporaryDirectory directory;
    std::mt19937_64 random{seed_of_this_run()};
    const bool over = GENERATE(false, true);
    qcow2::NewImage image{.path = directory.path("disk"), .size_bytes = 4 << 20};
    image.extended_l2 = GENERATE(false, true);
    image.cluster_bytes = image.extended_l2 ? 16384 : 4096;
    ModelDisk model{comparison_sectors};
    if (over) {
        model = random_contents(random);
        image.backing_file = write_raw(directory, "base.raw", model);
        image.backing_format = "raw";
    }
    CAPTURE(over, image.extended_l2);
    qcow2::create_image(image);
    compare(directory, image.path, model, {.discards = !over});
}

TEST_CASE("qcow2 driver: agrees with the model and with qemu-img where the data is in another file",
          "[property][qcow2]") {
    if (!qemu_img_available()) {
        WARN("needs qemu-img");
        return;
    }
    const TemporaryDirectory directory;
    std::mt19937_64 random{seed_of_this_run()};
    const std::string data = directory.path("data");
    const std::string path = directory.path("disk");
    ModelDisk model{comparison_sectors};
    const auto made = GENERATE(0, 1, 2, 3, 4, 5);
    CAPTURE(made);
    const bool over = made == 2;
    const bool raw = made == 1 || made == 5;
    if (over) {
        // What the data file holds before is nobody's.
        model = random_contents(random);
        const std::string base = write_raw(directory, "base.raw", model);
        make_qcow2(path, "4M", "cluster_size=16384,data_file=" + data, {"-b", base, "-F", "raw"});
        write_raw(directory, "data", random_contents(random));
    } else if (made < 4) {
        const char* const options[] = {"", ",data_file_raw=on", "", ",extended_l2=on,cluster_size=16384"};
        make_qcow2(path, "4M", "data_file=" + data + options[made]);
    } else {
        qcow2::create_image({.path = path, .size_bytes = 4 << 20, .data_file = data, .raw_data = raw});
    }
    compare(directory, path, model, {.discards = !over});
    if (!raw) return;
    CHECK(run_qemu_img({"compare", "-f", "raw", "-F", "raw", data, directory.path("model.raw")}, "/dev/stderr") == 0);
}

TEST_CASE("qcow2: the map of a disk is qemu-img's", "[property][qcow2]") {
    if (!qemu_img_available()) {
        WARN("needs qemu-img");
        return;
    }
    const TemporaryDirectory directory;
    const std::string options = GENERATE("cluster_size=65536", "extended_l2=on,cluster_size=16384");
    CAPTURE(options);
    ModelDisk model{comparison_sectors};
    const std::string base = make_qcow2(directory.path("base"), "4M", options);
    compare(directory, base, model, {});
    const std::string disk = make_qcow2(directory.path("disk"), "4M", options, {"-b", base, "-F", "qcow2"});
    compare(directory, disk, model, {.discards = false});
    const std::string output = directory.path("map.json");
    REQUIRE(run_qemu_img({"map", "-f", "qcow2", "--output=json", disk}, output) == 0);
    check_map(disk, nlohmann::json::parse(std::ifstream{output}));
}
