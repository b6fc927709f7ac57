// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Scene: what most tests begin with: a host, an xl, and a guest with one disk line.
#pragma once

#include <csignal>

#include "tests/control/host/guest.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"
#include "tests/support/process.hpp"

namespace blktap::control_test {

inline constexpr std::uint64_t image_size_bytes = 8u << 20;
inline constexpr std::uint32_t xvda = 51712;
inline constexpr std::uint32_t xvdb = 51728;

struct Scene {
    explicit Scene(Xl version) : xl(host, version) { xl.create_domain(disk.domain); }

    /// A disk of `domain` with an image of its own.
    Disk disk_of(std::uint16_t domain, std::uint32_t device) const {
        const std::string image = "image-" + std::to_string(domain) + '-' + std::to_string(device);
        return {.domain = domain, .device = device, .target = "raw:" + host.make_image(image, image_size_bytes)};
    }
    void attach(const Disk& which) {
        const auto outcome = xl.attach(which);
        INFO("tapback said:\n" << host.log() << "the scripts said:\n" << testing::read_file(host.path("scripts")));
        REQUIRE(outcome.error == "");
    }
    void detach(const Disk& which) {
        const auto outcome = xl.detach(which);
        INFO("tapback said:\n" << host.log());
        CHECK(outcome.error == "");
    }

    ControlHost host{};
    Toolstack xl;
    Disk disk = disk_of(5, xvda);
};

/// From now on a disk is held when its tapdisk dies; no other one goes on.
inline void hold_the_dead(ControlHost& host) {
    host.configure("deaths-per-minute = 1\n");
    host.replace_tapback();
}

/// Kills a tapdisk and tapback, one before the other; another tapback runs on return.
inline void kill_with_tapback(ControlHost& host, pid_t tapdisk, bool tapdisk_first) {
    if (!tapdisk_first) host.kill_tapback();
    REQUIRE(testing::send_signal(tapdisk, SIGKILL));
    tapdisk_first ? host.replace_tapback() : host.start_tapback();
}

/// From now on xl runs Xen's own script block-tap (4.19 and later); a disk's target is then a plain path.
inline void use_block_tap(Scene& scene) {
    scene.xl.script = BLKTAP_SOURCE_DIR "/tests/control/host/block-tap";
    scene.xl.script_environment = {"TOOLS=" BLKTAP_BIN_DIR, "LOCK=" + scene.host.path("lock")};
}

/// Both generations of xl, one after the other.
inline Xl any_xl() {
    const Xl version = GENERATE(Xl::v4_17, Xl::v4_19);
    return version;
}

}  // namespace blktap::control_test
