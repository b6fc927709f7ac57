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
#include "control/tapback/session/tapdisk_process.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/base/small_file.hpp"

namespace blktap::tapback {
namespace {

constexpr const char* table_file = "taps.state";

constexpr Nanoseconds find_delay = std::chrono::seconds(2);

/// The owner of a tapdisk's files until a disk has them.
std::string owner_of(std::uint32_t pid) {
    return "of process " + std::to_string(pid);
}

/// Whether this answer to "stats" says that the tapdisk has its image open.
bool says_open(const ipc::Reply& stats) {
    try {
        return stats.error_code.empty() && ipc::disk_state(stats.result).state == ipc::DiskState::State::open;
    } catch (const std::system_error&) {
        return false;
    }
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
    auto next = table_.next_deadline();
    if (!unfound_.empty()) next = std::min(next.value_or(Nanoseconds::max()), now() + find_delay);
    if (next) timer_.arm(std::max(Nanoseconds{0}, *next - now()));
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

void Taps::find_again(const Tap& tap) {
    const std::uint32_t pid = tap.pid;
    const bool ending = tap.ending;
    std::optional<ProcessId> known;
    if (tap.start) known = ProcessId{static_cast<pid_t>(pid), *tap.start};
    try {
        auto process = host_.tapdisks.find(known, path(tap.socket), hooks(pid));
        if (!process || static_cast<std::uint32_t>(process->pid()) != pid) {
            log::info("tap.gone", {{"pid", std::to_string(pid)}});
            return table_.remove(pid);
        }
        TapdiskHandle& found = *process;
        processes_[pid] = std::move(process);
        ending ? found.terminate() : ask(pid);
    } catch (const std::system_error& error) {
        ask_later(pid, error.what());
    }
}

void Taps::find_unfound() {
    for (const std::uint32_t pid : std::exchange(unfound_, {})) {
        const auto tap = table_.taps().find(pid);
        if (tap == table_.taps().end()) continue;
        if (!processes_.contains(pid)) {
            find_again(Tap(tap->second));
        } else if (!tap->second.ending) {
            ask(pid);
        }
    }
}

/// Asks a tapdisk of an earlier tapback for its state.
void Taps::ask(std::uint32_t pid) {
    TapdiskHandle& process = *processes_.at(pid);
    try {
        process.connect();
    } catch (const std::system_error& error) {
        return ask_later(pid, error.what());
    }
    process.call(ipc::Stats{}, {}, [this, pid](const ipc::Reply& reply) { restored(pid, reply); });
}

/// The tapdisk is asked again, not ended: it may have its image open, and a disk may name it already.
void Taps::ask_later(std::uint32_t pid, const std::string& reason) {
    log::warning("tap.unknown", {{"pid", std::to_string(pid)}, {"reason", reason}, {"state", "tries again"}});
    unfound_.insert(pid);
}

void Taps::restored(std::uint32_t pid, const ipc::Reply& stats) {
    Tap* const tap = table_.find(pid);
    if (tap == nullptr) return;
    if (tap->image && is_error(stats, Errc::peer_closed)) {
        ask_later(pid, stats.error_message);
        return save();
    }
    if (!tap->image || !says_open(stats)) return end(*tap);
    // A disk that gets the tapdisk gets its files too.
    const auto image = ipc::open_arguments(*tap->image, true);
    host_.files.take(owner_of(pid), image, path(tap->socket), static_cast<pid_t>(pid), [this, pid] {
        Tap* const kept = table_.find(pid);
        if (kept == nullptr) return;
        kept->open = true;
        log::info("tap.found", {{"pid", std::to_string(pid)}, {"image", kept->image->path}});
        wake_waiting();
    });
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
    // The hooks follow when the pid is known.
    auto process = host_.tapdisks.start(path(socket), {});
    const auto pid = static_cast<std::uint32_t>(process->pid());
    process->set_hooks(hooks(pid));
    processes_[pid] = std::move(process);
    table_.add(pid, processes_.at(pid)->id().start_ticks, socket, now());
    save();
    log::info("tap.spawned", {{"pid", std::to_string(pid)}});
    return {pid};
}

void Taps::attach(const ipc::TapArguments& name) {
    table_.attach(
        name, [this](std::uint32_t number) { return is_taken(number); }, now());
    save();
}

TapdiskHandle::Hooks Taps::hooks(std::uint32_t pid) {
    return {.open_file =
                [this, pid](FileRequest request) {
                    const Tap* const tap = table_.find(pid);
                    if (tap == nullptr || !tap->image)
                        throw_error(Errc::wrong_state, request.file().path + ": no image was asked for");
                    host_.files.open(owner_of(pid), ipc::open_arguments(*tap->image, true), std::move(request));
                },
            .ended = [this, pid] { ended(pid); },
            .lost =
                [this, pid](const std::string& reason) {
                    Tap* const tap = table_.find(pid);
                    // A disk may name a tapdisk with an image already; that disk will ask it.
                    if (tap == nullptr || tap->image) return;
                    log::warning("tap.lost", {{"pid", std::to_string(pid)}, {"reason", reason}, {"state", "ends it"}});
                    end(*tap);
                }};
}

void Taps::open(const ipc::TapOpen& arguments, Done done) {
    const std::uint32_t pid = arguments.tap.pid;
    if (unfound_.contains(pid))
        throw_error(std::make_error_code(std::errc::resource_unavailable_try_again), text_of(arguments.tap));
    table_.begin_open(arguments.tap, arguments.image, now());
    save();
    processes_.at(pid)->call(
        ipc::Open{ipc::open_arguments(arguments.image, true)}, {},
        [this, pid, done = std::move(done)](const ipc::Reply& reply) { opened(pid, reply, done); });
}

void Taps::opened(std::uint32_t pid, const ipc::Reply& reply, const Done& done) {
    if (Tap* const tap = table_.find(pid)) {
        tap->open = reply.error_code.empty();
        tap->deadline = now() + TapTable::patience;
        if (!tap->open) {
            tap->image.reset();
            host_.files.release(owner_of(pid));
        }
        save();
        wake_waiting();
        log::info("tap.open", {{"pid", std::to_string(pid)}, {"result", tap->open ? "open" : reply.error_message}});
    }
    ipc::Reply answer = error_reply(ipc::error_code_named(reply.error_code), reply.error_message);
    if (reply.error_code.empty()) {
        answer = {};
        answer.result = reply.result;
    }
    done(answer);
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
    const std::uint32_t pid = tap.pid;
    origin.image.read_only = read_only;
    vbd.image().pair(origin, tap.socket, processes_.at(pid));
    processes_.erase(pid);
    table_.remove(pid);
    host_.files.hand_over(owner_of(pid), vbd.address().name());
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
    // A tapdisk that is still looked for is ended when it is found.
    if (const auto process = processes_.find(tap.pid); process != processes_.end()) process->second->terminate();
    save();
}

void Taps::ended(std::uint32_t pid) {
    auto process = processes_.extract(pid);
    if (process.empty()) return;
    log::info("tap.ended", {{"pid", std::to_string(pid)}, {"reason", process.mapped()->end_reason()}});
    ::unlink(path(table_.taps().at(pid).socket).c_str());
    gone_.push_back(std::move(process.mapped()));
    table_.remove(pid);
    save();
    wake_waiting();
    timer_.arm(Nanoseconds{0});
    const auto [begin, last] = when_ended_.equal_range(pid);
    std::vector<std::function<void()>> calls;
    for (auto call = begin; call != last; ++call)
        calls.push_back(std::move(call->second));
    when_ended_.erase(pid);
    host_.files.forget(owner_of(pid), [calls = std::move(calls)] {
        for (const auto& call : calls)
            call();
    });
}

void Taps::tick() {
    gone_.clear();
    find_unfound();
    for (const std::uint32_t pid : table_.expire(now())) {
        log::warning("tap.unclaimed", {{"pid", std::to_string(pid)}, {"state", "ends it"}});
        end(*table_.find(pid));
    }
    save();
}

}  // namespace blktap::tapback
