// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Vbd taken away on request, and who has a say in it: the guest that is to close it, and for a disk of this domain
// whoever uses it here.
#include "control/tapback/backend_nodes.hpp"
#include "control/tapback/tapdisk_process.hpp"
#include "control/tapback/vbd.hpp"

namespace blktap::tapback {
namespace {

constexpr Nanoseconds unplug_patience = std::chrono::seconds(10);  // as long as xl waits for a guest
// By force. A Linux frontend closes when it is told to, and then waits for no answer that does not come.
constexpr Nanoseconds force_patience = std::chrono::seconds(1);

}  // namespace

bool Vbd::is_own_domain() const {
    return host_.session.store() && store().read("domid").value_or("0") == std::to_string(address_.domain);
}

/// Answers `done` with EBUSY where this domain itself uses the disk, or calls `go_on`.
void Vbd::check_use(const char* request, std::function<void()> go_on, const Done& done) {
    if (use_check_ && use_check_->running())
        throw_error(Errc::wrong_state, address_.name() + ": being taken away already");
    const std::string name = address_.name() + " (" + ipc::device_name(address_.device) + ')';
    const auto judge = [=, go_on = std::move(go_on)](const auto& use) {
        if (!use) {
            done(error_reply(std::make_error_code(std::errc::timed_out),
                             std::string(request) + ": " + name + ": whether it is in use does not become known"));
        } else if (!use->empty()) {
            done(error_reply(std::make_error_code(std::errc::device_or_resource_busy), name + ": " + *use));
        } else {
            try {
                go_on();
            } catch (const std::system_error& error) {
                done(error_reply(error.code(), error.what()));
            }
        }
    };
    use_check_.emplace(host_.loop, host_.files.start_process(), default_device_places(), address_.device, judge);
}

void Vbd::detach(Done done) {
    const auto give_up = [this, done] {
        released_ = true;
        all_changed();
        when_finished_.emplace_back([done] { done({}); });
        host_.mark(address_);
    };
    // xl's script comes when its guest has closed the disk; who calls it without that takes it from under the kernel.
    const bool uncalled = now_.link == Situation::Link::up && now_.owned && now_.online;
    if (!uncalled || released_ || !is_own_domain()) return give_up();
    check_use("detach", give_up, done);
}

void Vbd::unplug(bool force, Done done) {
    if (!plugged_) throw_error(Errc::wrong_state, address_.name() + ": not made by plug; its toolstack takes it away");
    if (unplug_done_) throw_error(Errc::wrong_state, address_.name() + ": being unplugged already");
    if (force || !is_own_domain()) {
        take_away(force);
        unplug_done_ = std::move(done);
        return;
    }
    const auto refused = [this](const ipc::Reply& reply) {
        if (unplug_done_) std::exchange(unplug_done_, nullptr)(reply);
    };
    check_use(
        "unplug", [this] { take_away(false); }, refused);
    unplug_done_ = std::move(done);
}

/// The nodes stay until everything is answered and given back: a kernel whose device's nodes are gone waits for the
/// answers before it does anything else.
void Vbd::take_away(bool force) {
    directory_.transact([&](const StoreTransaction& nodes) {
        nodes.write(node("online"), "0");
        if (nodes.read(node("state")) != "6") write_state(nodes, directory_.path(), Xenbus::closing);
    });
    forced_ = force;
    now_.forced = false;
    unplug_timer_.arm(force ? force_patience : unplug_patience);
    all_changed();
    host_.mark(address_);
}

void Vbd::unplug_takes_long() {
    if (forced_ && !std::exchange(now_.forced, true)) {
        unplug_timer_.arm(unplug_patience);
        return host_.mark(address_);
    }
    const bool answered = now_.link != Situation::Link::busy && now_.tapdisk != Situation::Tapdisk::ending;
    if (unplug_done_)
        std::exchange(unplug_done_, nullptr)(error_reply(
            std::make_error_code(std::errc::timed_out),
            answered ? "the guest does not let it go" : "its storage does not answer; the disk goes when it does"));
}

/// Whether the frontend's nodes are gone, and this domain's kernel is still busy with the end of the device.
bool Vbd::kernel_waits() const {
    if (now_.link != Situation::Link::up || domain_dead_) return false;
    if (now_.owned && now_.frontend != Xenbus::unknown) return false;
    if (!is_own_domain() || store().read(tapback::frontend_path(address_) + "/state")) return false;
    if (!OwnDevice(default_device_places(), address_.device).present()) return false;
    host_.mark_later(address_);
    return true;
}

}  // namespace blktap::tapback
