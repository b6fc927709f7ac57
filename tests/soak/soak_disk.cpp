// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/soak/soak_disk.hpp"

#include <array>

#include "tests/soak/disk_actions.hpp"

namespace blktap::soak {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t hanging_bytes = 24 * mib;

}  // namespace

SoakDisk::SoakDisk(Ground& ground, const DiskPlan& plan) : disk_(ground, plan) {
    thread_ = std::thread([this] { run(); });
}

SoakDisk::~SoakDisk() {
    if (thread_.joinable()) thread_.join();
}

void SoakDisk::run() {
    try {
        while (!disk_.ground.over) {
            if (!disk_.chain || disk_.chain->depth() > Chain::depth_max || disk_.random.below(4) == 0) begin_image();
            live();
        }
        return;
    } catch (const std::exception& error) {
        disk_.ground.findings.add("disk " + disk_.name(), error.what(), disk_.diary);
    }
    disk_.guest.reset();
}

void SoakDisk::begin_image() {
    constexpr std::array formats{"raw", "qcow2", "vhd"};
    const bool hanging = disk_.plan.place == Place::hanging;
    if (hanging && disk_.chain) return;  // it is the only file there is
    const std::string format = hanging ? "raw" : formats[disk_.random.below(formats.size())];
    const std::uint64_t size_bytes = hanging ? hanging_bytes : (8 + 4 * disk_.random.below(7)) * mib;
    disk_.diary.note("new image: " + format + ", " + std::to_string(size_bytes / mib) + " MiB");
    disk_.chain.reset();
    disk_.model.reset();
    const std::string name =
        "d" + std::to_string(disk_.plan.number) + "-" + std::to_string(disk_.random.below(1'000'000));
    disk_.chain.emplace(ChainPlan{name, format, size_bytes, disk_.plan.place, disk_.plan.hanging}, disk_.ground.storage,
                        disk_.ground.tap_ctl);
    disk_.ground.tally.did("new image, " + format);
}

void SoakDisk::live() {
    attach();
    if (disk_.random.below(3) == 0 && disk_.ground.actions.has(Action::kill_idle_tapdisk)) kill_idle_tapdisk(disk_);
    disk_.start_guest();
    be_served();
    leave();
    check_image();
}

void SoakDisk::attach() {
    const auto way = static_cast<Way>(disk_.random.below(ways));
    disk_.attachment = make_attachment(way, disk_.ground, disk_.requests, disk_.store);
    disk_.diary.note(std::string(disk_.attachment->name()) + ", " + disk_.chain->top().path);
    disk_.sectors = disk_.attachment->attach(disk_.chain->top());
    disk_.ground.tally.did(disk_.attachment->name());
    if (!disk_.model) {
        disk_.model.emplace(SectorRange{0, disk_.sectors}, disk_.plan.seed);
        disk_.model->erased({0, disk_.sectors});
    }
    const std::uint64_t known = disk_.model->range().count;
    if (known != disk_.sectors)
        throw Wrong("the disk has " + std::to_string(disk_.sectors) + " sectors, not " + std::to_string(known));
}

void SoakDisk::be_served() {
    for (std::uint64_t actions = 3 + disk_.random.below(12); actions > 0 && !disk_.ground.over; --actions) {
        disk_.rest(500);
        if (disk_.guest->state() != Guest::End::running) {
            if (disk_.guest_ended() != Guest::End::lost || !disk_.may_lose_guest()) throw Wrong("its guest has ended");
            come_again();
        }
        const auto row = disk_.ground.actions.choose(disk_.random);
        if (!row) return;  // this soak attaches and detaches only
        disk_.diary.note(row->name);
        disk_.guest->orders().disturbance = row->name;
        if (act(disk_, row->action)) disk_.ground.tally.did(row->name);
        disk_.guest->orders().disturbance = nullptr;
    }
}

void SoakDisk::come_again() {
    have_served_again(disk_, 0);
    disk_.start_guest();
}

void SoakDisk::leave() {
    const Actions& actions = disk_.ground.actions;
    const bool may_choose = !disk_.plan.local && !disk_.ground.over;
    const std::uint64_t choice = disk_.random.below(6);
    if (may_choose && choice < 2 && actions.has(Action::detach_in_use)) return leave_asked();
    if (may_choose && choice == 2 && actions.has(Action::destroy_domain)) return leave_crashed();
    while (!disk_.end_guest(true))
        come_again();
    disk_.diary.note("detach");
    disk_.attachment->detach();
    disk_.ground.tally.did("detach");
}

void SoakDisk::leave_asked() {
    disk_.diary.note("detach-in-use");
    disk_.guest->orders().disturbance = "detach-in-use";
    disk_.attachment->detach();
    disk_.guest_ended();
    disk_.ground.tally.did("detach-in-use");
}

void SoakDisk::leave_crashed() {
    disk_.diary.note("crash, and destroy-domain");
    disk_.guest->orders().crash = true;
    if (disk_.guest_ended() != Guest::End::crashed) throw Wrong("its guest did not crash");
    disk_.attachment->destroy_domain();
    disk_.ground.tally.did("destroy-domain");
}

/// Its files are let go of a moment after the disk is gone.
void SoakDisk::check_image() {
    std::string complaint;
    testing::wait_until(
        [&] {
            complaint = disk_.chain->complaint();
            return complaint.empty() || complaint.find("in use") == std::string::npos;
        },
        10s);
    if (!complaint.empty()) throw Wrong(complaint);
    disk_.ground.tally.did("image check");
}

}  // namespace blktap::soak
