// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A thousand disks on one tapback: all serve, each costs tapback a few descriptors, and what attaching one takes is
// printed: the lower quartiles of the first tenth of them and of the last. BLKTAP_SCALE_VBDS=N takes another number.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iomanip>
#include <sstream>

#include "tests/control/host/scene.hpp"

using namespace blktap;
using namespace blktap::control_test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint16_t disks_per_domain = 16;

std::size_t wanted_vbds() {
    const char* const text = std::getenv("BLKTAP_SCALE_VBDS");
    return text == nullptr ? 1024 : std::strtoul(text, nullptr, 10);
}

/// The time that a quarter of them stayed below: what it costs when nobody else wants the processors.
Nanoseconds lower_quartile(std::vector<Nanoseconds> times) {
    const auto quarter = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 4);
    std::nth_element(times.begin(), quarter, times.end());
    return *quarter;
}

double milliseconds(Nanoseconds time) {
    return std::chrono::duration<double, std::milli>(time).count();
}

/// Of the first and of the last tenth.
std::string first_and_last(const std::vector<Nanoseconds>& times) {
    const auto tenth = static_cast<std::ptrdiff_t>(std::max<std::size_t>(times.size() / 10, 1));
    std::ostringstream text;
    text << std::setprecision(3) << milliseconds(lower_quartile({times.begin(), times.begin() + tenth})) << " to "
         << milliseconds(lower_quartile({times.end() - tenth, times.end()})) << " ms";
    return text.str();
}

}  // namespace

TEST_CASE("scale: a thousand disks on one tapback", "[control][slow]") {
    const std::size_t count = wanted_vbds();
    const Xl version = Xl::v4_19;
    ControlHost host;
    Toolstack xl(host, version);
    const std::size_t descriptors_before = testing::descriptors_of(host.tapback_pid());
    const MonotonicClock clock;
    std::vector<Disk> disks;
    std::vector<Nanoseconds> whole;   // from the toolstack's first node on
    std::vector<Nanoseconds> script;  // from the start of block-tapdisk on: what is ours

    for (std::size_t i = 0; i < count; ++i) {
        Disk disk;
        disk.domain = static_cast<std::uint16_t>(1 + i / disks_per_domain);
        disk.device = static_cast<std::uint32_t>(xvda + i % disks_per_domain * 16);
        if (i % disks_per_domain == 0) xl.create_domain(disk.domain);
        disk.target = "raw:" + host.make_image("image-" + std::to_string(i), 1u << 20);
        const Nanoseconds began = clock.now();
        xl.write_nodes(disk);
        const auto offered = xl.wait_for_offers(disk);
        if (!offered.okay()) FAIL("disk " << i << ": " << offered.error << '\n' << host.log());
        const Nanoseconds script_began = clock.now();
        const auto outcome = xl.run_script(disk, "add");
        script.push_back(clock.now() - script_began);
        whole.push_back(clock.now() - began);
        if (!outcome.okay()) FAIL("disk " << i << ": " << outcome.error << '\n' << host.log());
        disks.push_back(disk);
    }
    const std::size_t descriptors = testing::descriptors_of(host.tapback_pid()) - descriptors_before;
    WARN(count << " disks: attach " << first_and_last(whole) << ", block-tapdisk's part of it "
               << first_and_last(script) << "; descriptors a disk in tapback "
               << static_cast<double>(descriptors) / static_cast<double>(count));
    // The times are a measurement to read, not a verdict: other programs of the machine are in them.
    CHECK(descriptors <= 4 * count);
    CHECK(host.tapdisks().size() == count);

    for (const Disk& disk : disks) {
        Guest guest(host, disk, verified_load({"--requests", "20"}));
        const int status = guest.wait();
        if (status == 0) continue;
        FAIL("disk " << disk.domain << '/' << disk.device << ": " << guest.output() << "frontend "
                     << xl.frontend_node(disk, "state") << ", backend " << xl.backend_node(disk, "state") << ", "
                     << host.entry(disk.domain, disk.device).dump());
    }
    for (std::size_t domain = 1; domain <= (count + disks_per_domain - 1) / disks_per_domain; ++domain)
        xl.destroy_domain(static_cast<std::uint16_t>(domain));
}
