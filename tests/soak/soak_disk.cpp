// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/soak/soak_disk.hpp"

#include <array>
#include <csignal>

namespace blktap::soak {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t mib = 1u << 20;
constexpr std::uint64_t hanging_bytes = 24 * mib;
constexpr std::uint64_t size_max_bytes = 64 * mib;
constexpr std::size_t depth_max = 6;

}  // namespace

SoakDisk::SoakDisk(Ground& ground, DiskPlan plan)
    : ground_(ground),
      plan_(std::move(plan)),
      name_(std::to_string(plan_.vbd.domain) + "/" + std::to_string(plan_.vbd.device)),
      random_(plan_.seed),
      operator_(ground, plan_.vbd) {
    thread_ = std::thread([this] { run(); });
}

SoakDisk::~SoakDisk() {
    if (thread_.joinable()) thread_.join();
}

void SoakDisk::run() {
    try {
        while (!ground_.over) {
            if (!chain_ || chain_->depth() > depth_max || random_.below(4) == 0) begin_image();
            live();
        }
        return;
    } catch (const std::exception& error) {
        ground_.findings.add("disk " + name_, error.what(), diary_);
    }
    guest_.reset();
}

void SoakDisk::begin_image() {
    constexpr std::array formats{"raw", "qcow2", "vhd"};
    const bool hanging = plan_.place == Place::hanging;
    const std::string format = hanging ? "raw" : formats[random_.below(formats.size())];
    const std::uint64_t size_bytes = hanging ? hanging_bytes : (8 + 4 * random_.below(7)) * mib;
    diary_.note("new image: " + format + ", " + std::to_string(size_bytes / mib) + " MiB");
    const bool first = !chain_;
    if (hanging && !first) return;  // it is the only file there is
    chain_.reset();
    model_.reset();
    chain_.emplace(ChainPlan{"d" + std::to_string(plan_.number) + "-" + std::to_string(random_.below(1'000'000)),
                             format, size_bytes, plan_.place, plan_.hanging},
                   ground_.storage, ground_.tap_ctl);
    ground_.tally.did("new image, " + format);
}

void SoakDisk::live() {
    diary_.note("plug " + chain_->top().path);
    sectors_ = operator_.plug(chain_->top());
    ground_.tally.did("plug");
    if (!model_) {
        model_.emplace(SectorRange{0, sectors_}, plan_.seed);
        model_->erased({0, sectors_});
    }
    if (model_->range().count != sectors_)
        throw Wrong("the disk has " + std::to_string(sectors_) + " sectors, not " +
                    std::to_string(model_->range().count));
    if (random_.below(3) == 0 && ground_.actions.has(Action::kill_idle_tapdisk)) kill_idle_tapdisk();
    start_guest();
    be_served();
    leave();
    check_image();
}

void SoakDisk::be_served() {
    for (std::uint64_t actions = 3 + random_.below(12); actions > 0 && !ground_.over; --actions) {
        rest(500);
        require_guest();
        const auto row = ground_.actions.choose(random_);
        if (!row) continue;
        diary_.note(row->name);
        guest_->orders().disturbance = row->name;
        act(*row);
        guest_->orders().disturbance = nullptr;
        ground_.tally.did(row->name);
    }
}

void SoakDisk::act(const ActionRow& row) {
    switch (row.action) {
        case Action::pause:
            operator_.pause();
            rest(400);
            return operator_.resume();
        case Action::rename:
            return move(&Chain::rename_top);
        case Action::replace_by_copy:
            return move(&Chain::copy_top);
        case Action::snapshot:
            return take_snapshot();
        case Action::resize:
            return resize();
        case Action::look:
            return look();
        case Action::kill_tapdisk:
            return kill_tapdisk();
        case Action::kill_idle_tapdisk:
        case Action::unplug_in_use:
        case Action::kill_tapback:
            return;
    }
}

void SoakDisk::move(void (Chain::*how)()) {
    operator_.pause();
    if (chain_->may_move()) ((*chain_).*how)();
    diary_.note("resume " + chain_->top().path);
    operator_.resume(chain_->top());
}

void SoakDisk::take_snapshot() {
    if (!chain_->may_move() || chain_->depth() > depth_max) return;
    const std::string overlay = chain_->next_layer(random_.below(2) == 0);
    diary_.note("overlay " + overlay);
    chain_->now_has(operator_.snapshot(overlay));
    diary_.note("has " + chain_->top().path);
}

void SoakDisk::resize() {
    const std::uint64_t size_bytes = sectors_ * sector_size_bytes + (1 + random_.below(4)) * mib;
    if (!chain_->may_move() || size_bytes > size_max_bytes) return;
    sectors_ = operator_.resize(size_bytes);
    diary_.note("has " + std::to_string(sectors_) + " sectors");
    guest_->orders().sectors = sectors_;
}

void SoakDisk::look() {
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"list"}, {"list", "--tapdisks"}, {"info", name_}, {"stats", name_}, {"status"}}) {
        const auto outcome = ground_.tap_ctl.run(words);
        if (outcome.status != 0 && !outcome.says("tapback"))
            throw Wrong("tap-ctl " + words.front() + ": status " + std::to_string(outcome.status) + ", " +
                        outcome.said);
    }
}

/// The guest sees a pause, and nothing else.
void SoakDisk::kill_tapdisk() {
    const ipc::VbdEntry before = operator_.entry();
    if (plan_.local || !before.pid) return;
    ::kill(static_cast<pid_t>(*before.pid), SIGKILL);
    wait_for("have another tapdisk after a kill", [&] {
        const auto now = operator_.entry();
        return now.pid && now.pid != before.pid && now.state == "connected";
    });
}

/// A plugged disk is not attached again by a request: it is unplugged, and plugged.
void SoakDisk::kill_idle_tapdisk() {
    const ipc::VbdEntry before = operator_.entry();
    if (!before.pid) return;
    diary_.note("kill its idle tapdisk " + std::to_string(*before.pid));
    ::kill(static_cast<pid_t>(*before.pid), SIGKILL);
    ground_.tally.did("kill-idle-tapdisk");
    operator_.unplug();
    if (operator_.plug(chain_->top()) != sectors_) throw Wrong("another size after its tapdisk was killed");
}

void SoakDisk::start_guest() {
    GuestPlan guest;
    guest.domain = plan_.vbd.domain;
    guest.frontend = plan_.frontend;
    if (plan_.local)
        guest.tapdisk = ground_.run_directory + "/" + std::to_string(plan_.vbd.domain) + "-" +
                        std::to_string(plan_.vbd.device) + ".sock";
    guest.seed = random_.next();
    guest.sectors = sectors_;
    diary_.note("guest");
    guest_.emplace(guest, *model_, ground_.tally);
    wait_for("serve its guest", [&] { return guest_->is_served() || guest_->state() != Guest::End::running; });
}

void SoakDisk::require_guest() {
    if (guest_->state() == Guest::End::running) return;
    guest_->wait();
    throw Wrong("its guest has ended: " + guest_->failure());
}

void SoakDisk::leave() {
    const bool in_use =
        !plan_.local && !ground_.over && ground_.actions.has(Action::unplug_in_use) && random_.below(3) == 0;
    if (in_use) {
        diary_.note("unplug-in-use");
        guest_->orders().disturbance = "unplug-in-use";
        operator_.unplug();
        ground_.tally.did("unplug-in-use");
    } else {
        diary_.note("guest is told to leave");
        guest_->orders().read_back = true;
        guest_->orders().leave = true;
    }
    const Guest::End end = guest_->wait();
    if (end == Guest::End::failed) throw Wrong("its guest: " + guest_->failure());
    if (sectors_ > model_->range().count) model_->grow(sectors_);
    guest_.reset();
    if (in_use) return;
    diary_.note("unplug");
    operator_.unplug();
    ground_.tally.did("unplug");
}

void SoakDisk::check_image() {
    std::string complaint;
    const bool fine = testing::wait_until(
        [&] {
            complaint = chain_->complaint();
            return complaint.empty() || complaint.find("in use") == std::string::npos;
        },
        10s);
    if (!fine || !complaint.empty()) throw Wrong(complaint);
    ground_.tally.did("image check");
}

void SoakDisk::rest(unsigned milliseconds_max) {
    const MonotonicClock clock;
    const Nanoseconds until = clock.now() + random_.below(milliseconds_max) * 1ms;
    while (!ground_.over && clock.now() < until)
        std::this_thread::sleep_for(2ms);
}

}  // namespace blktap::soak
