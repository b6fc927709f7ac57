// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd/disk_status.hpp"

#include "libblktap/base/log.hpp"

namespace blktap::tapback {
namespace {

using Link = Situation::Link;
using Tapdisk = Situation::Tapdisk;

/// Returns the name of the state of a disk whose rings are not connected.
std::string describe_waiting(const Situation& now, const Serving& serving) {
    switch (now.tapdisk) {
        case Tapdisk::none:
            return serving.has_image ? "held" : "waiting for the image";
        case Tapdisk::starting:
            return "opening the image";
        case Tapdisk::ending:
            return "closing the image";
        case Tapdisk::open:
            break;
    }
    return serving.is_paced ? "waiting, because its guest reconnects too often" : "waiting for the guest";
}

/// Writes a text for people; a failure does not affect the disk.
template <class Write>
void try_to_tell(const ipc::VbdAddress& disk, Write write) {
    try {
        write();
    } catch (const std::system_error& error) {
        log::warning("vbd.hotplug-error", {{"vbd", disk.name()}, {"reason", error.what()}});
    }
}

}  // namespace

std::string describe(const Situation& now, const Serving& serving) {
    const bool is_to_end = now.tapdisk == Tapdisk::ending || serving.session == Session::upgrading;
    const bool lost = serving.is_cut_off && !is_to_end;
    if (serving.session == Session::lost || lost) return "unreachable";
    if (serving.session == Session::upgrading) return "upgrading";
    if (is_reviving(serving.session)) return "recovering";
    if (now.backend == Xenbus::closed) return "closed";
    if (now.paused && now.tapdisk == Tapdisk::open) return "paused";
    if (now.link == Link::busy) return "connecting or disconnecting";
    if (now.link == Link::none) return describe_waiting(now, serving);
    return now.backend == Xenbus::closing || now.frontend == Xenbus::closing ? "closing" : "connected";
}

DiskStatus::DiskStatus(Places places, const ipc::VbdAddress& disk, BackendDirectory& directory,
                       const DiskSession& session, std::function<void()> changed)
    : store_(places.store),
      disk_(disk),
      directory_(directory),
      session_(session),
      problems_(places.loop, places.problem_hook, disk.name(), std::move(changed)) {}

// The texts.

bool DiskStatus::set_problem(const std::string& problem) {
    if (!problems_.set_reason(problem)) return false;
    // The script that waits for this image is about to fail: xl prints this error.
    if (!problem.empty() && session_.state() == Session::opening && store_.store())
        try_to_tell(disk_, [&] { directory_.write_hotplug_error(problem); });
    return true;
}

void DiskStatus::image_opened() {
    problems_.set_held(false);
    if (store_.store()) try_to_tell(disk_, [this] { directory_.remove_hotplug_error(); });
}

void DiskStatus::set_paced(bool is_paced) {
    const bool begins = is_paced && !paced_;
    paced_ = is_paced;
    if (begins) log::warning("vbd.paced", {{"vbd", disk_.name()}, {"state", "reconnects too often, and waits"}});
}

std::string DiskStatus::name_of(const Situation& now) const {
    const TapdiskHandle* const tapdisk = session_.tapdisk();
    return describe(now, {.session = session_.state(),
                          .is_cut_off = tapdisk != nullptr && !tapdisk->is_connected(),
                          .has_image = session_.image().has_value(),
                          .is_paced = paced_});
}

std::string DiskStatus::text(const Situation& now) const {
    const std::string reason = problems_.text();
    return name_of(now) + (reason.empty() ? "" : ": " + reason);
}

// Where they are written.

std::string DiskStatus::put(const StoreNodes& nodes, const Situation& now) const {
    std::string told = text(now);
    directory_.put_status(nodes, told);
    return told;
}

void DiskStatus::was_put(const std::string& text) {
    directory_.status_is(text);
    problems_.tell();
}

void DiskStatus::write(const Situation& now) {
    if (!store_.store() || !now.owned || directory_.is_store_lost()) return;
    directory_.write_status(text(now));
    problems_.tell();
}

bool DiskStatus::write_problems(const Situation& now) {
    if (!problems_.is_told()) {
        write(now);
        return true;
    }
    return !now.owned || directory_.is_store_lost() || text(now) == directory_.status();
}

/// A plain disk line names no script: xl runs Xen's "block", which the wrapper replaced.
bool DiskStatus::came_by_takeover() const {
    if (disk_.kind != ipc::VbdAddress::Kind::vbd || !store_.store()) return false;
    const std::string script = directory_.read("script").value_or("");
    return script.substr(script.rfind('/') + 1) == "block";
}

ipc::VbdEntry DiskStatus::entry(const Situation& now, bool whole) const {
    ipc::VbdEntry entry;
    entry.backend = disk_;
    entry.state = name_of(now);
    entry.backend_state = static_cast<std::uint32_t>(now.backend);
    entry.frontend_state = static_cast<std::uint32_t>(now.frontend);
    if (const TapdiskHandle* const tapdisk = session_.tapdisk()) entry.pid = static_cast<std::uint32_t>(tapdisk->pid());
    entry.image = session_.image();
    if (std::string problem = problems_.text(); !problem.empty()) entry.problem = std::move(problem);
    if (const VbdTap* const tap = session_.tap()) entry.minor = tap->name.minor;
    entry.takeover = came_by_takeover();
    if (whole) {
        entry.description = session_.description();
    } else if (entry.image) {
        entry.image->options.clear();
    }
    return entry;
}

}  // namespace blktap::tapback
