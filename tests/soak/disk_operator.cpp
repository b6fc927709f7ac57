// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/soak/disk_operator.hpp"

#include <algorithm>
#include <array>

#include "libblktap/base/units.hpp"

namespace blktap::soak {
namespace {

bool is_no_space(const Answer& answer) {
    return answer.is_refused(std::errc::no_space_on_device);
}

/// Not now: a request whose answer was lost is still being done, another tapdisk is about to go on, or tapback has just
/// been started and looks for the disk.
bool is_under_way(const Answer& answer) {
    return answer.kind == Answer::Kind::refused &&
           (answer.code == Errc::wrong_state || answer.is_refused(std::errc::resource_unavailable_try_again));
}

[[noreturn]] void throw_refused(const std::string& what, const Answer& answer) {
    throw Wrong(what + " was refused: " + answer.message);
}

/// Any other state passes, of a tapback that has just been started and looks for the disk's tapdisk, for one.
bool is_settled(const std::string& state) {
    constexpr std::array states{"connected", "paused", "held", "closed"};
    return std::ranges::find(states, state) != states.end() || state.starts_with("waiting");
}

}  // namespace

Answer DiskOperator::ask(const std::string& request, const ipc::Json& arguments) {
    Answer answer = ground_.tapback.ask(request, arguments);
    if (answer.kind == Answer::Kind::lost) diary_.note(request + ": no answer");
    if (answer.kind == Answer::Kind::refused) diary_.note(request + ": " + answer.message);
    return answer;
}

ipc::Json DiskOperator::with(const std::string& name, const ipc::Json& value) const {
    ipc::Json arguments = vbd_;
    arguments[name] = value;
    return arguments;
}

ipc::VbdEntry DiskOperator::entry() const {
    const auto entry = ground_.tapback.entry(vbd_);
    if (!entry) throw Wrong("tapback does not know the disk any more");
    return *entry;
}

/// A plug whose answer was lost: done, or to be done again when what there is of it is gone.
bool DiskOperator::has_been_plugged() {
    std::optional<ipc::VbdEntry> found;
    testing::wait_until(
        [&] {
            found = ground_.tapback.entry(vbd_);
            return !found || found->description;
        },
        std::chrono::seconds(5));
    if (found && found->description) return true;
    if (found) unplug();
    return false;
}

std::uint64_t DiskOperator::plug(const ipc::ImageArguments& image) {
    std::uint64_t sectors = 0;
    wait_for("be plugged", [&] {
        const Answer answer = ask(ipc::Plug::name, with("image", image));
        if (is_no_space(answer)) return false;
        if (answer.kind == Answer::Kind::refused && !answer.is_refused(std::errc::file_exists))
            throw_refused("plug", answer);
        if (!answer.is_done() && !has_been_plugged()) return false;
        const auto now = entry();
        if (now.description) sectors = now.description->size_sectors;
        return sectors != 0;
    });
    return sectors;
}

void DiskOperator::unplug() {
    wait_for("be gone after unplug", [&] {
        const Answer answer = ask(ipc::Unplug::name, with("force", false));
        const bool goes_already = answer.kind == Answer::Kind::refused && answer.code == Errc::wrong_state;
        const bool takes_long = answer.is_refused(std::errc::timed_out);
        const bool is_unknown = answer.is_refused(std::errc::no_such_file_or_directory);
        if (answer.kind == Answer::Kind::refused && !goes_already && !takes_long && !is_unknown)
            throw_refused("unplug", answer);
        return is_unknown || is_gone();
    });
}

void DiskOperator::pause() {
    wait_for("be paused", [&] {
        const Answer answer = ask(ipc::VbdPause::name, vbd_);
        if (answer.is_done()) return true;
        const ipc::VbdEntry now = entry();
        if (now.state == "paused") return true;
        if (answer.kind == Answer::Kind::refused && !is_under_way(answer))
            throw Wrong("pause was refused in the state '" + now.state + "': " + answer.message);
        return false;
    });
}

void DiskOperator::resume(const std::optional<ipc::ImageArguments>& image) {
    wait_for("be resumed", [&] {
        const ipc::Json arguments = image ? with("image", *image) : ipc::Json(vbd_);
        const Answer answer = ask(ipc::VbdResume::name, arguments);
        if (answer.is_done()) return true;
        const ipc::VbdEntry now = entry();
        const bool is_there = !image || (now.image && now.image->path == image->path);
        if (is_there && now.state != "paused" && now.state != "held" && is_settled(now.state)) return true;
        if (answer.kind == Answer::Kind::refused && !is_no_space(answer) && !is_under_way(answer))
            throw Wrong("resume was refused in the state '" + now.state + "': " + answer.message);
        return false;
    });
}

std::uint64_t DiskOperator::resize(std::uint64_t size_bytes) {
    std::uint64_t sectors = 0;
    wait_for("be resized", [&] {
        const Answer answer = ask(ipc::VbdResize::name, with("size", size_bytes));
        const ipc::VbdEntry now = entry();
        if (!now.description) return false;
        sectors = now.description->size_sectors;
        if (answer.is_done() || is_no_space(answer) || sectors * sector_size_bytes >= size_bytes) return true;
        if (answer.kind == Answer::Kind::refused && !is_under_way(answer)) throw_refused("resize", answer);
        return false;
    });
    return sectors;
}

ipc::ImageArguments DiskOperator::snapshot(const std::string& overlay) {
    const auto outcome = ground_.tap_ctl.run(
        {"image", "snapshot", std::to_string(vbd_.domain) + "/" + std::to_string(vbd_.device), overlay});
    bool excused = false;
    for (const char* excuse : {"No space left", "tapback", "closed the connection", "its tapdisk has"})
        excused = excused || outcome.says(excuse);
    if (outcome.status != 0 && !excused) throw Wrong("tap-ctl image snapshot: " + outcome.said);
    resume();  // after a failure it may be paused
    const ipc::VbdEntry now = entry();
    if (!now.image) throw Wrong("after a snapshot the disk has no image");
    return *now.image;
}

void DiskOperator::upgrade() {
    const ipc::VbdEntry before = entry();
    wait_for("be upgraded", [&] {
        const Answer answer = ask(ipc::VbdUpgrade::name, vbd_);
        const ipc::VbdEntry now = entry();
        if (answer.is_done() || now.pid != before.pid) return true;
        // The assassin kills also the one that is only asked what it can do.
        const bool was_killed = answer.message.find("killed by signal 9") != std::string::npos;
        if (answer.kind == Answer::Kind::refused && !is_under_way(answer) && !was_killed)
            throw_refused("upgrade", answer);
        return false;
    });
}

bool DiskOperator::tells_failed_flush() const {
    return entry().problem.value_or("").find("a flush failed") != std::string::npos;
}

void DiskOperator::accept_loss() {
    pause();
    resume();
    wait_for("go on when its loss is accepted", [&] {
        const Answer answer = ask(ipc::VbdResume::name, with("accept-loss", true));
        if (answer.kind == Answer::Kind::refused && !is_under_way(answer)) throw_refused("resume", answer);
        return answer.is_done() && !tells_failed_flush();
    });
}

std::uint64_t DiskOperator::comes_back(std::uint32_t dead) {
    std::uint64_t sectors = 0;
    wait_for("be served again after its tapdisk was killed", [&] {
        const ipc::VbdEntry now = entry();
        if (now.pid == dead || !is_settled(now.state)) return false;
        // After too many deaths it waits for its operator.
        if (now.state == "held") {
            if (ask(ipc::VbdRecover::name, vbd_).is_done()) ground_.tally.did("recover a held disk");
            return false;
        }
        if (now.pid && now.description) sectors = now.description->size_sectors;
        return sectors != 0;
    });
    return sectors;
}

}  // namespace blktap::soak
