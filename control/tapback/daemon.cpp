// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/daemon.hpp"

#include <algorithm>
#include <filesystem>
#include <unistd.h>

#include "control/tapback/list_page.hpp"
#include "control/tapback/system/guest_width.hpp"
#include "control/tapback/xenbus/backend_nodes.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/base/version.hpp"

namespace blktap::tapback {
namespace {

constexpr Nanoseconds tick_interval = std::chrono::seconds(2);
constexpr int looks_per_turn = 64;  // then clients and tapdisks are served

/// Whether a change of this node of a backend directory matters: changes of nodes that tapback writes do not.
bool matters(const std::string& below) {
    return below.empty() || below == "state" || below == "online" || below == "frontend" || below == "tapdisk" ||
           below == owner_node || below == "pid" || below == "minor";
}

}  // namespace

Daemon::Daemon(EventLoop& loop, const Options& options)
    : loop_(loop),
      storage_(loop, storage::settings_of(options)),
      tapdisks_(loop, search_, tapdisk_command(options),
                options.sandbox == Options::Sandbox::off ? Place::with_us : Place::own_namespace,
                ControlGroups(options.control_group, options.memory_budget_bytes)),
      problem_hook_(loop, options.problem_hook),
      session_(loop, store_hooks()),
      host_{.loop = loop,
            .options = options,
            .tapdisks = tapdisks_,
            .files = files_,
            .problem_hook = problem_hook_,
            .session = session_,
            .mark = [this](const auto& vbd) { mark(vbd); },
            .mark_later = [this](const auto& vbd) { later_.insert(vbd.name()); },
            .mark_status = [this](const auto& vbd) { untold_.insert(vbd.name()); }},
      strays_(loop, search_),
      taps_(host_),
      vacated_({.release = [this](const std::string& name) { waiting_.release(name); },
                .look =
                    [this](const ipc::VbdAddress& place) {
                        try {
                            find_or_refuse({ipc::VbdAddress::Kind::vbd3, place.domain, place.device});
                        } catch (const std::system_error&) {
                            session_.check_lost();
                            throw;
                        }
                    },
                .is_store_lost = [this] { return session_.store() == nullptr; }}),
      waiting_(loop),
      tick_(loop, [this] { tick(); }) {
    restore();
    session_.connect();
    tick_.arm(tick_interval);
}

// The VBDs.

Vbd* Daemon::find(const std::string& name) const {
    const auto found = vbds_.find(name);
    return found == vbds_.end() ? nullptr : found->second.get();
}

Vbd* Daemon::find(const ipc::VbdAddress& backend) const {
    Vbd* const vbd = find(backend.name());
    return vbd != nullptr && vbd->address() == backend ? vbd : nullptr;
}

void Daemon::require_no_other_kind(const ipc::VbdAddress& backend) const {
    const Vbd* const known = find(backend.name());
    if (known == nullptr || known->address() == backend) return;
    throw_error(std::make_error_code(std::errc::device_or_resource_busy),
                backend.backend_path() + ": " + known->address().backend_path() + " serves this device");
}

Vbd& Daemon::find_or_add(const ipc::VbdAddress& backend) {
    require_no_other_kind(backend);
    if (Vbd* const known = find(backend.name())) return *known;
    auto& added = vbds_[backend.name()];
    added = std::make_unique<Vbd>(host_, backend);
    mark(backend);
    return *added;
}

Vbd& Daemon::vbd(const ipc::VbdArguments& name) {
    const std::string text = std::to_string(name.domain) + '/' + std::to_string(name.device);
    Vbd* const found = find(text);
    if (found == nullptr)
        throw_error(std::make_error_code(std::errc::no_such_file_or_directory), text + ": not a disk of tapback's");
    return *found;
}

void Daemon::restore() {
    const auto records = read_records(host_.options.run_directory);
    taps_.restore(records);
    std::set<std::string> sockets;
    for (const VbdRecord& record : records) {
        auto& vbd = vbds_[record.backend.name()];
        vbd = std::make_unique<Vbd>(host_, record);
        taps_.add(*vbd);
        sockets.insert(record.socket);
        mark(record.backend);
    }
    strays_.end(host_.options.run_directory, [&](const std::string& socket) {
        const std::string stem = socket.substr(0, socket.rfind('.'));
        return sockets.contains(socket) || taps_.has_socket(socket) ||
               std::filesystem::exists(host_.options.run_directory + '/' + stem + ".json");
    });
}

/// Calls `work`; after a failure of xenstored it is retried at the next tick.
void Daemon::guard(const std::string& name, const std::function<void(Vbd&)>& work) {
    Vbd* const vbd = find(name);
    if (vbd == nullptr) return;
    try {
        work(*vbd);
    } catch (const std::system_error& error) {
        vbd->all_changed();
        later_.insert(name);
        if (session_.store() != nullptr && session_.check_lost()) return;
        log::warning("vbd.look", {{"vbd", name}, {"reason", error.what()}, {"state", "looks again"}});
    }
    if (!vbd->finished()) return;
    vacated_.add(vbd->address());
    taps_.forget(*vbd);
    vbds_.erase(name);
}

void Daemon::look(const std::string& name) {
    guard(name, [this](Vbd& vbd) {
        vbd.look();
        taps_.look(vbd);
        // The directory at its path belongs to no disk until this one has ended.
        const bool waits = vbd.directory().is_replaced() && vbd.address().kind == ipc::VbdAddress::Kind::vbd3;
        if (waits && session_.store() != nullptr) close_when_asked(store(), vbd.address());
    });
}

EventLoop::Next Daemon::turn() {
    session_.take_events();
    for (int i = 0; i < looks_per_turn && !marked_.empty(); ++i) {
        // Round robin: disks that are marked again at once must not keep the others waiting.
        const auto next = marked_.upper_bound(last_looked_);
        last_looked_ = marked_.extract(next == marked_.end() ? marked_.begin() : next).value();
        look(last_looked_);
    }
    vacated_.look();
    return marked_.empty() ? EventLoop::Next::sleep : EventLoop::Next::turn_again;
}

// xenstored.

StoreSession::Hooks Daemon::store_hooks() {
    return {.found = [this](bool remembers) { store_found(remembers); },
            .lost =
                [this] {
                    for (const auto& [name, vbd] : vbds_)
                        vbd->store_lost();
                },
            .all_seen =
                [this] {
                    return std::ranges::none_of(
                        vbds_, [](const auto& entry) { return entry.second->directory().is_store_lost(); });
                },
            .domains_changed = [this] { check_domains(); },
            .frontend_changed =
                [this](const ipc::VbdAddress& backend) {
                    Vbd* const vbd = find(backend);
                    if (vbd == nullptr) return;
                    vbd->frontend_changed();
                    mark(backend);
                },
            .backend_changed = [this](const ipc::BackendNode& node) { backend_changed(node); },
            .directory_changed = [this](const std::string& path) { directory_changed(path); }};
}

void Daemon::store_found(bool remembers) {
    for (const auto& [name, vbd] : vbds_) {
        if (remembers) {
            vbd->store_found();
        } else {
            vbd->store_lost();
        }
    }
    scan();
    for (const auto& [name, vbd] : vbds_)
        marked_.insert(name);
}

void Daemon::backend_changed(const ipc::BackendNode& node) {
    const bool ours = matters(node.below);
    if (ours && node.vbd.kind == ipc::VbdAddress::Kind::vbd3) find_or_refuse(node.vbd);
    Vbd* const vbd = find(node.vbd);
    if (vbd == nullptr) return;
    // A change of the mark is tapback's own, unless a tool restores the nodes of a lost xenstored.
    if (!ours && !(node.below == life_node && vbd->directory().is_store_lost())) return;
    vbd->node_changed(node.below);
    mark(node.vbd);
}

/// A whole domain's directory was removed at once.
void Daemon::directory_changed(const std::string& path) {
    for (const auto& [name, vbd] : vbds_) {
        if (!vbd->address().backend_path().starts_with(path + '/')) continue;
        vbd->all_changed();
        mark(vbd->address());
    }
}

/// Handles a new directory of the kind that needs no claim. If the frontend's device is served as the other kind, this
/// directory never is; its toolstack still waits for its end.
void Daemon::find_or_refuse(const ipc::VbdAddress& backend) {
    const std::string directory = backend.backend_path();
    Vbd* const known = find(backend.name());
    if (known != nullptr && known->address() == backend) return;
    if (!store().read(directory + "/frontend")) return;
    if (known == nullptr) {
        find_or_add(backend);
    } else {
        close_when_asked(store(), backend);
    }
}

void Daemon::scan() {
    scan(ipc::VbdAddress::Kind::vbd3);
    scan(ipc::VbdAddress::Kind::vbd);
}

void Daemon::scan(ipc::VbdAddress::Kind kind) {
    const std::string top = kind == ipc::VbdAddress::Kind::vbd ? "backend/vbd" : "backend/vbd3";
    for (const std::string& domain : store().list(top)) {
        for (const std::string& device : store().list(top + '/' + domain)) {
            const auto node = ipc::parse_backend_path(top + '/' + domain + '/' + device);
            if (!node || find(node->vbd.name()) != nullptr) continue;
            const std::string directory = node->vbd.backend_path();
            const bool ours = kind == ipc::VbdAddress::Kind::vbd3
                                  ? store().read(directory + "/frontend").has_value()
                                  : store().read(directory + '/' + owner_node) == owner_name;
            if (ours) find_or_add(node->vbd);
        }
    }
}

void Daemon::check_domains() {
    std::map<std::uint16_t, bool> known;
    for (const auto& [name, vbd] : vbds_) {
        const std::uint16_t domain = vbd->address().domain;
        if (!known.contains(domain)) {
            // A restarted xenstored knows no domains; the hypervisor does.
            known[domain] =
                store().is_domain_known(domain) || domain_exists(domain).value_or(vbd->directory().is_store_lost());
        }
    }
    // The answers above may have meant "cannot be asked".
    if (session_.check_lost()) return;
    for (const auto& [name, vbd] : vbds_)
        if (!known[vbd->address().domain]) vbd->domain_died();
}

void Daemon::tick() {
    tick_.arm(tick_interval);
    session_.tick();
    for (const std::string& name : std::exchange(untold_, {}))
        guard(name, [](Vbd& vbd) { vbd.write_status(); });
    marked_.merge(std::exchange(later_, {}));
}

// Requests.

/// Calls `go_on`, at once or when the earlier disk of that name, whose directory is gone, has ended; an exception of
/// `go_on` becomes an error reply. If the earlier disk does not end, `done` gets the reason.
void Daemon::when_vacant(const ipc::VbdAddress& backend, std::function<void()> go_on, const Done& done) {
    const std::string name = backend.name();
    Vbd* const earlier = find(name);
    if (earlier == nullptr || earlier->has_directory() || !earlier->directory().is_gone()) return go_on();
    marked_.insert(name);
    log::info("vbd.waits", {{"backend", backend.backend_path()}, {"state", "until the disk before it has ended"}});
    const auto image = earlier->entry(false).image;
    waiting_.add(
        name,
        [go_on = std::move(go_on), done] {
            try {
                go_on();
            } catch (const std::system_error& error) {
                done(error_reply(error.code(), error.what()));
            }
        },
        [done, text = backend.backend_path() + ": the disk that was removed before" +
                      (image ? ", of " + image->path + ',' : "") +
                      " has not ended: its storage or its tapdisk does not answer"] {
            done(error_reply(std::make_error_code(std::errc::timed_out), text));
        });
}

void Daemon::claim(const ipc::VbdAddress& backend, Done done) {
    const auto claim_now = [this, backend, done] {
        require_no_other_kind(backend);
        const std::string life = write_claim(store(), backend);
        find_or_add(backend);
        log::info("vbd.claimed", {{"backend", backend.backend_path()}});
        ipc::Reply reply;
        reply.result = ipc::ClaimResult{life};
        done(reply);
    };
    when_vacant(backend, claim_now, done);
}

void Daemon::attach(const ipc::Attach& arguments, Done done) {
    when_vacant(
        arguments.backend, [this, arguments, done] { attach_now(arguments, done); }, done);
}

void Daemon::attach_now(const ipc::Attach& arguments, Done done) {
    const ipc::VbdAddress& backend = arguments.backend;
    if (find(backend) == nullptr) {
        const std::string path = backend.backend_path();
        if (!store().read(path + "/frontend"))
            throw_error(std::make_error_code(std::errc::no_such_file_or_directory), path);
        if (backend.kind == ipc::VbdAddress::Kind::vbd && store().read(path + '/' + owner_node) != owner_name)
            throw_error(Errc::wrong_state, path + ": not claimed");
    }
    find_or_add(backend).image().attach(arguments.image, arguments.life, std::move(done));
}

void Daemon::detach(const ipc::VbdAddress& backend, Done done) {
    Vbd* const vbd = find(backend);
    if (vbd == nullptr) return done({});
    vbd->detach(std::move(done));
}

bool Daemon::owns(const ipc::VbdAddress& backend) const {
    return find(backend) != nullptr;
}

ipc::ListResult Daemon::list(const std::string& after) const {
    ipc::ListResult result;
    ListPage page(result.vbds);
    for (auto next = vbds_.upper_bound(after); next != vbds_.end() && !result.more; ++next)
        result.more = !page.add(next->second->entry(false));
    if (host_.options.sandbox != Options::Sandbox::on) result.sandbox = sandbox_name(host_.options.sandbox);
    return result;
}

void Daemon::plug(const ipc::Plug& arguments, Done done) {
    const ipc::VbdAddress address{ipc::VbdAddress::Kind::vbd3, arguments.vbd.domain, arguments.vbd.device};
    when_vacant(
        address, [this, arguments, done] { plug_now(arguments, done); }, done);
}

void Daemon::plug_now(const ipc::Plug& arguments, Done done) {
    const ipc::VbdAddress address{ipc::VbdAddress::Kind::vbd3, arguments.vbd.domain, arguments.vbd.device};
    if (!store().is_domain_known(address.domain)) {
        throw_error(std::make_error_code(std::errc::no_such_file_or_directory),
                    "domain " + std::to_string(address.domain));
    }
    if (find(address.name()) != nullptr)
        throw_error(std::make_error_code(std::errc::file_exists), address.name() + ": the domain has that device");
    auto& vbd = vbds_[address.name()];
    const std::string life = new_life();
    vbd = std::make_unique<Vbd>(host_, address, Vbd::Plugged::yes, life);
    try {
        make_nodes(store(), address, life, arguments.image.read_only);
        vbd->image().attach(arguments.image, life, [this, address, done](const ipc::Reply& reply) {
            Vbd* const plugged = find(address);
            if (reply.error_code.empty() || plugged == nullptr) return done(reply);
            plugged->detach([done, code = ipc::error_code_named(reply.error_code),
                             message = reply.error_message](const ipc::Reply&) { done(error_reply(code, message)); });
        });
    } catch (const std::system_error& error) {
        vbds_.erase(address.name());
        remove_record(host_.options.run_directory, address);
        if (error.code() != std::errc::file_exists) remove_nodes(store(), address, life);
        throw;
    }
}

void Daemon::unplug(const ipc::Unplug& arguments, Done done) {
    vbd(arguments.vbd).unplug(arguments.force, std::move(done));
}

ipc::StatusResult Daemon::status() const {
    ipc::StatusResult result;
    result.version = version;
    result.pid = static_cast<std::uint32_t>(::getpid());
    result.vbds = vbds_.size();
    result.xenstore = session_.store() != nullptr && session_.store()->answers();
    return result;
}

}  // namespace blktap::tapback
