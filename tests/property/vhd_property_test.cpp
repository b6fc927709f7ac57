// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The VHD driver agrees with the model disk under random mixed requests, closed and opened again in between, for every
// sort of image that it writes; and qemu-img reads the same. BLKTAP_SEED=n replays one run.
#include <fstream>

#include "tests/property/driver_comparison.hpp"
#include "tests/property/raw_contents.hpp"
#include "tests/support/qemu_img.hpp"

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
    for (std::uint64_t life = 0; life < 3; ++life) {
        DriverHarness harness;
        {
            const auto driver = harness.open("vhd:" + path + run.options);
            Comparison comparison{harness, *driver, model, run.seed + life};
            if (!run.discards) comparison.without_discard();
            comparison.run(700);
            CHECK_FALSE(harness.flush(*driver));
        }
        if (run.qemu_reads) compare_with_qemu(directory, path, model);
    }
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
