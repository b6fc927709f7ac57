// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Vbd's tapdisk found again: after a restart, and when the connection to it was lost. A tapdisk that lives and cannot
// be asked serves its guest as before: it is not taken for one that ended, and is ended when the disk is given up.
#include <algorithm>
#include <unistd.h>

#include "control/tapback/kept_files.hpp"
#include "control/tapback/vbd.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {
namespace {

using Tapdisk = Situation::Tapdisk;
using Link = Situation::Link;

constexpr Nanoseconds find_delay_min = std::chrono::seconds(1);
constexpr Nanoseconds find_delay_max = std::chrono::seconds(16);

/// Whether a tapdisk says that this is its image.
bool has_image(const ipc::DiskState& disk, const ipc::ImageArguments& image) {
    return disk.image && disk.image->format == image.format && disk.image->path == image.path;
}

}  // namespace

void Vbd::find_tapdisk() {
    try {
        tapdisk_ = TapdiskProcess::find(host_.loop, process_, socket_path(), hooks());
    } catch (const std::system_error& error) {
        return unreachable(std::string("its tapdisk cannot be looked for: ") + error.what());
    }
    host_.mark(address_);
    if (tapdisk_) {
        if (std::exchange(process_, tapdisk_->id()) != tapdisk_->id()) try_to_record();
        return ask_tapdisk();
    }
    now_.tapdisk = Tapdisk::none;
    now_.link = Link::none;
    unreachable_ = false;
    if (may_start_anew()) {
        tapdisk_gone_ = start_anew_ = true;
    } else {
        set_problem("its tapdisk ended while tapback was away");
        now_.abandoned = ::access(file(".recovery").c_str(), F_OK) == 0;
    }
}

/// It is looked for, or asked, again later; until then nothing is decided, because it may serve the guest.
void Vbd::unreachable(const std::string& reason) {
    now_.tapdisk = Tapdisk::starting;
    now_.link = Link::busy;
    unreachable_ = true;
    set_problem(reason);
    find_timer_.arm(find_delay_);
    find_delay_ = std::min(find_delay_ * 2, find_delay_max);
    host_.mark(address_);
}

void Vbd::lost_tapdisk(const std::string& reason) {
    if (now_.tapdisk == Tapdisk::ending || now_.tapdisk == Tapdisk::none) return;
    if (now_.tapdisk == Tapdisk::starting && !unreachable_ && !is_finding_) return;  // whoever waits for it ends it
    unreachable("its tapdisk, process " + std::to_string(tapdisk_->pid()) + ", runs but cannot be asked: " + reason);
}

void Vbd::find_again() {
    if (now_.tapdisk != Tapdisk::starting) return;
    if (tapdisk_) return ask_tapdisk();
    find_tapdisk();
}

void Vbd::ask_tapdisk() {
    now_.tapdisk = Tapdisk::starting;
    now_.link = Link::busy;
    is_finding_ = true;
    now_.paused = false;  // until it says so, or somebody pauses it meanwhile, whose answer comes after this one
    try {
        tapdisk_->connect();
    } catch (const std::system_error& error) {
        return lost_tapdisk(error.what());
    }
    tapdisk_->call(ipc::Stats{}, {}, [this](const ipc::Reply& reply) { found_tapdisk(reply); });
}

void Vbd::found_tapdisk(const ipc::Reply& stats) {
    if (now_.tapdisk != Tapdisk::starting) return;  // given up meanwhile
    // No answer says nothing of the disk; that the connection is lost, or the process, is told by its hook.
    if (!stats.error_code.empty()) {
        if (ipc::error_code_named(stats.error_code) != Errc::peer_closed) lost_tapdisk(stats.error_message);
        return;
    }
    const ipc::DiskState disk = ipc::disk_state(stats.result);
    is_finding_ = false;
    find_delay_ = find_delay_min;
    if (std::exchange(unreachable_, false)) {
        problem_.clear();
        problem_told_ = false;
    }
    now_.link = Link::none;
    host_.mark(address_);
    // The script that asked for an ordinary disk had an error for its answer; block-tap has long gone by.
    if (disk.state == ipc::DiskState::State::closed) return tap_ ? open_image([](const ipc::Reply&) {}) : end_tapdisk();
    if (next_ && tapback::has_image(disk, *next_)) image_ = next_;
    if (std::exchange(next_, std::nullopt)) try_to_record();
    now_.paused = now_.paused || disk.state == ipc::DiskState::State::paused;
    if (disk.connected) {
        now_.link = Link::up;
        stale_.frontend = true;  // are they its rings still?
    } else {
        rings_.reset();
    }
    if (disk.image && disk.image->device) description_ = disk.image->device;
    if (tap_ && image_ && image_->read_only && description_ && !description_->read_only && now_.link == Link::none)
        return open_for_reading();
    now_.tapdisk = Tapdisk::open;
    watch_problems();
    keep_files();
    log::info("vbd.found", {{"vbd", address_.name()}, {"pid", std::to_string(tapdisk_->pid())}});
}

/// Once: where descriptors are short, the message that brings them costs the connection.
void Vbd::keep_files() {
    if (now_.paused || !image_ || host_.files.count(address_.name()) != 0 || std::exchange(asked_for_files_, true))
        return;
    keep_files_of(*tapdisk_, host_.files, address_.name(), *image_, [] {});
}

// Xen's block-tap script opens every image for writing, and the disk's mode comes later.
void Vbd::open_for_reading() {
    tapdisk_->call(ipc::Close{}, {}, [this](const ipc::Reply& reply) {
        host_.files.release(address_.name());
        if (now_.tapdisk != Tapdisk::starting) return;  // given up meanwhile
        if (!reply.error_code.empty() && ipc::error_code_named(reply.error_code) == Errc::wrong_state) {
            // An earlier tapback asked for the same, and it is not done yet.
            ask_again_ = true;
            return host_.mark_later(address_);
        }
        if (!reply.error_code.empty()) return opened(reply, [](const ipc::Reply&) {});
        open_image([](const ipc::Reply&) {});
    });
}

}  // namespace blktap::tapback
