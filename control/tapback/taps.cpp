// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/taps.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <unistd.h>

#include "control/tapback/list_page.hpp"
#include "control/tapback/named_tap.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/base/small_file.hpp"

namespace blktap::tapback {
namespace {

constexpr const char* table_file = "taps.state";

/// The owner of a tapdisk's files until a disk has them.
std::string owner_of(const std::string& socket) {
    return "of " + socket.substr(0, socket.rfind('.'));
}

std::string text_of(const ipc::TapArguments& name) {
    return "tapdisk " + std::to_string(name.pid) + ", number " + std::to_string(name.minor);
}

}  // namespace

Taps::Taps(Host& host) : host_(host), timer_(host.loop, [this] { tick(); }) {}

Taps::~Taps() = default;

// The file that outlives this tapback.

void Taps::save() {
    const std::string file = path(table_file);
    try {
        if (table_.empty()) {
            ::unlink(file.c_str());
        } else {
            write_small_file(file, table_.to_json().dump() + '\n', 0600, Outlives::process);
        }
    } catch (const std::system_error& error) {
        log::error("taps", {{"reason", error.what()}, {"state", "the next tapback will end what it does not find"}});
    }
    if (const auto next = table_.next_deadline()) timer_.arm(std::max(Nanoseconds{0}, *next - now()));
}

void Taps::restore(const std::vector<VbdRecord>& records) {
    std::ifstream file(path(table_file));
    if (!file) return;
    std::stringstream text;
    text << file.rdbuf();
    try {
        table_ = TapTable::from_json(ipc::Json::parse(text.str(), nullptr, false), now());
    } catch (const std::exception& error) {
        log::error("taps", {{"file", path(table_file)}, {"reason", error.what()}, {"state", "begins anew"}});
    }
    // A disk's record is written before its tapdisk leaves this file.
    for (const VbdRecord& record : records)
        if (const auto pid = table_.pid_of(record.socket)) table_.remove(*pid);
    for (const auto& [pid, tap] : std::map(table_.taps()))
        find_again(tap);
    save();
}

/// Has its session find the tapdisk again.
void Taps::find_again(const Tap& tap) {
    VbdRecord record;
    if (tap.image) record.image = *tap.image;
    if (tap.start) record.process = ProcessId{static_cast<pid_t>(tap.pid), *tap.start};
    DiskSession& session = add_session(tap.socket);
    session.restore(record);
    if (!sessions_.contains(tap.socket)) return;  // it has ended
    if (tap.ending) session.end();                // now, or when it is found
    const TapdiskHandle* const found = session.tapdisk();
    if (found == nullptr || static_cast<std::uint32_t>(found->pid()) == tap.pid) return;
    log::info("tap.gone", {{"pid", std::to_string(tap.pid)}});
    sessions_.erase(tap.socket);
    table_.remove(tap.pid);
}

// The sessions.

DiskSession& Taps::add_session(const std::string& socket) {
    auto& session = sessions_[socket];
    session = std::make_unique<DiskSession>(
        DiskSession::Places{host_.loop, host_.tapdisks, host_.files, host_.options.run_directory},
        DiskSession::Owner{owner_of(socket), socket}, hooks(socket));
    return *session;
}

/// The table has what another tapback needs, and is written with each request.
DiskSession::Hooks Taps::hooks(const std::string& socket) {
    const auto say = [socket](const std::string& problem) {
        if (!problem.empty()) log::warning("tap.problem", {{"socket", socket}, {"reason", problem}});
    };
    return {.changed = [this, socket] { changed(socket); },
            .write_record = [] {},
            .try_to_record = [] {},
            .remove_record = [] {},
            .problem = say,
            .may_revive = [] { return false; },
            .opened = [this, socket] { is_open(socket); },
            .found = [](bool, bool) {},
            .problems = [](const ipc::Problems&) {},
            .ended = [this, socket](DiskSession::End) { ended(socket); },
            .files_kept = [this, socket] { is_open(socket); }};
}

Tap* Taps::tap_of(const std::string& socket) {
    const auto pid = table_.pid_of(socket);
    return pid ? table_.find(*pid) : nullptr;
}

void Taps::changed(const std::string& socket) {
    const auto session = sessions_.find(socket);
    if (session == sessions_.end()) return;
    const Session state = session->second->state();
    Tap* const tap = tap_of(socket);
    // One that is to end could not be looked for until now.
    if (tap == nullptr && table_.pid_of(socket) && state == Session::asking) return session->second->end();
    if (tap == nullptr || state != Session::ending) return;
    tap->ending = true;
    save();
}

/// The image is open, and tapback has its files: a disk that gets the tapdisk gets them too.
void Taps::is_open(const std::string& socket) {
    Tap* const tap = tap_of(socket);
    if (tap == nullptr) return;
    tap->open = true;
    log::info("tap.open", {{"pid", std::to_string(tap->pid)}, {"image", tap->image->path}});
    wake_waiting();
}

// Requests.

bool Taps::is_taken(std::uint32_t minor) const {
    for (const auto& [name, vbd] : paired_)
        if (vbd->image().tap()->name.minor == minor) return true;
    return false;
}

ipc::TapMinor Taps::allocate() {
    const std::uint32_t minor = table_.allocate([this](std::uint32_t number) { return is_taken(number); }, now());
    save();
    return {minor};
}

ipc::TapPid Taps::spawn() {
    table_.require_room();
    const std::string socket =
        table_.free_socket([this](const std::string& name) { return std::filesystem::exists(path(name)); });
    DiskSession& session = add_session(socket);
    try {
        session.start_idle();
    } catch (const std::system_error&) {
        sessions_.erase(socket);
        throw;
    }
    const ProcessId& process = session.tapdisk()->id();
    const auto pid = static_cast<std::uint32_t>(process.pid);
    table_.add(pid, process.start_ticks, socket, now());
    save();
    log::info("tap.spawned", {{"pid", std::to_string(pid)}});
    return {pid};
}

void Taps::attach(const ipc::TapArguments& name) {
    table_.attach(
        name, [this](std::uint32_t number) { return is_taken(number); }, now());
    save();
}

void Taps::open(const ipc::TapOpen& arguments, Done done) {
    const std::uint32_t pid = arguments.tap.pid;
    Tap& tap = table_.begin_open(arguments.tap, arguments.image, now());
    save();
    try {
        session_of(tap).open_image(arguments.image, [this, pid, done = std::move(done)](const ipc::Reply& reply) {
            opened(pid, reply);
            done(reply);
        });
    } catch (const std::system_error&) {
        tap.image.reset();
        save();
        throw;
    }
}

void Taps::opened(std::uint32_t pid, const ipc::Reply& reply) {
    Tap* const tap = table_.find(pid);
    if (tap == nullptr) return;
    tap->deadline = now() + TapTable::patience;
    if (!reply.error_code.empty()) tap->image.reset();
    save();
    wake_waiting();
}

void Taps::destroy(const ipc::TapArguments& name, Done done) {
    if (Tap* const tap = table_.find(name)) {
        when_ended_.emplace(name.pid, [done = std::move(done)] { done({}); });
        return end(*tap);
    }
    std::vector<Vbd*> users;
    for (const auto& [vbd_name, vbd] : paired_)
        if (vbd->image().tap()->name == name) users.push_back(vbd);
    // No user: the tapdisk ended when its disk was closed, which "detach" also does.
    const auto left = std::make_shared<std::size_t>(users.size());
    if (users.empty()) return done({});
    for (Vbd* const vbd : users) {
        vbd->detach([left, done](const ipc::Reply&) {
            if (--*left == 0) done({});
        });
    }
}

void Taps::free(const ipc::TapMinor& minor) {
    table_.free(minor.minor);
    if (is_taken(minor.minor)) {
        throw_error(std::make_error_code(std::errc::device_or_resource_busy),
                    "number " + std::to_string(minor.minor) + ": a disk's tapdisk has it");
    }
    save();
}

std::vector<ipc::TapEntry> Taps::entries() const {
    std::map<std::pair<std::uint32_t, std::uint32_t>, ipc::TapEntry> of_disks;
    for (const auto& [name, vbd] : paired_) {
        if (vbd->directory().is_gone()) continue;  // the script must not give a new disk a tapdisk that will end
        const VbdTap& tap = *vbd->image().tap();
        of_disks[{tap.name.pid, tap.name.minor}] = {tap.name.pid, tap.name.minor, tap.image};
    }
    std::vector<ipc::TapEntry> entries;
    for (const auto& [name, entry] : of_disks)
        entries.push_back(entry);
    for (const auto& [pid, tap] : table_.taps())
        if (!tap.ending) entries.push_back({pid, tap.minor, tap.image});
    for (const auto& [minor, deadline] : table_.numbers())
        entries.push_back({std::nullopt, minor, std::nullopt});
    return entries;
}

ipc::TapListResult Taps::list(const ipc::TapList& arguments) const {
    ipc::TapListResult result;
    ListPage page(result.taps);
    const auto all = entries();
    for (std::size_t i = arguments.after; i < all.size() && !result.more; ++i)
        result.more = !page.add(all[i]);
    return result;
}

// Disks.

Vbd* Taps::user_of(const ipc::TapArguments& name) const {
    Vbd* user = nullptr;
    for (const auto& [vbd_name, vbd] : paired_)
        if (vbd->image().tap()->name == name && (user == nullptr || user->image().is_opening())) user = vbd;
    return user;
}

void Taps::look(Vbd& vbd) {
    if (vbd.image().tap()) {
        if (!vbd.image().is_opening()) wake_waiting();
        return;
    }
    if ((table_.empty() && paired_.empty()) || !host_.session.store() || !vbd.image().wants_tap()) return;
    const auto named = read_named_tap(vbd.directory());
    if (!named) return;
    Tap* const tap = table_.find(named->name);
    if (tap != nullptr) {
        if (tap->open) return pair(vbd, *tap, named->read_only);
        waiting_.insert(vbd.address());
    } else if (Vbd* const first = user_of(named->name)) {
        share(vbd, *first, named->read_only);
    } else {
        vbd.report(text_of(named->name) + ": not known to tapback");
    }
}

void Taps::pair(Vbd& vbd, Tap& tap, bool read_only) {
    VbdTap origin{{tap.pid, *tap.minor}, *tap.image};
    if (origin.image.read_only && !read_only)
        return vbd.report(text_of(origin.name) + ": opened for reading only, and the disk is to be written");
    origin.image.read_only = read_only;
    auto& session = sessions_.at(tap.socket);
    vbd.image().pair(origin, *session);
    host_.files.hand_over(owner_of(tap.socket), vbd.address().name());
    gone_.push_back(std::move(session));
    sessions_.erase(tap.socket);
    table_.remove(tap.pid);
    paired_[vbd.address().name()] = &vbd;
    save();
}

void Taps::share(Vbd& vbd, Vbd& first, bool read_only) {
    const VbdTap& tap = *first.image().tap();
    if (!read_only || !tap.image.read_only) {
        return vbd.report(text_of(tap.name) + ": serves " + first.address().name() +
                          ", and only disks that read share an image");
    }
    if (first.image().is_opening()) {
        waiting_.insert(vbd.address());
        return;
    }
    vbd.image().share(tap);
    paired_[vbd.address().name()] = &vbd;
}

void Taps::wake_waiting() {
    for (const ipc::VbdAddress& vbd : std::exchange(waiting_, {}))
        host_.mark(vbd);
}

void Taps::add(Vbd& vbd) {
    if (vbd.image().tap()) paired_[vbd.address().name()] = &vbd;
}

void Taps::forget(const Vbd& vbd) {
    paired_.erase(vbd.address().name());
    waiting_.erase(vbd.address());
    wake_waiting();
}

// The end.

void Taps::end(Tap& tap) {
    tap.ending = true;
    save();
    session_of(tap).end();
}

void Taps::ended(const std::string& socket) {
    const std::uint32_t pid = table_.pid_of(socket).value();
    log::info("tap.ended", {{"pid", std::to_string(pid)}});
    auto session = sessions_.extract(socket);
    gone_.push_back(std::move(session.mapped()));
    table_.remove(pid);
    save();
    wake_waiting();
    timer_.arm(Nanoseconds{0});
    const auto [begin, last] = when_ended_.equal_range(pid);
    std::vector<std::function<void()>> calls;
    for (auto call = begin; call != last; ++call)
        calls.push_back(std::move(call->second));
    when_ended_.erase(pid);
    for (const auto& call : calls)
        call();
}

void Taps::tick() {
    gone_.clear();
    for (const std::uint32_t pid : table_.expire(now())) {
        log::warning("tap.unclaimed", {{"pid", std::to_string(pid)}, {"state", "ends it"}});
        end(*table_.find(pid));
    }
    save();
}

}  // namespace blktap::tapback
