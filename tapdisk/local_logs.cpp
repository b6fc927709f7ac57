// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/local_logs.hpp"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "libblktap/base/log.hpp"
#include "tapdisk/ring/connection.hpp"

namespace blktap {
namespace {

/// More than the log of ipc::local_queues_max of the largest rings has.
constexpr off_t log_max_bytes = off_t{1} << 20;

bool is_same_file(const UniqueFd& a, const UniqueFd& b) noexcept {
    struct stat of_a {};
    struct stat of_b {};
    return ::fstat(a.get(), &of_a) == 0 && ::fstat(b.get(), &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
           of_a.st_ino == of_b.st_ino;
}

UniqueFd duplicate(const UniqueFd& fd) {
    UniqueFd copy{::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)};
    if (!copy) throw_system_error("the recovery log of a local ring");
    return copy;
}

void empty(const UniqueFd& file) noexcept {
    struct stat status {};
    if (::fstat(file.get(), &status) == 0 && status.st_size == 0) return;
    if (::ftruncate(file.get(), 0) != 0) log::warning("ring.log", {{"reason", std::generic_category().message(errno)}});
}

/// Returns the log in `file`, whose bytes may be hostile; nullopt: there is none, or none that can be adopted.
std::optional<LogContents> log_in(const UniqueFd& file) {
    struct stat status {};
    if (::fstat(file.get(), &status) != 0 || status.st_size == 0 || status.st_size > log_max_bytes) return std::nullopt;
    std::vector<std::byte> bytes(static_cast<std::size_t>(status.st_size));
    if (::pread(file.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return std::nullopt;
    auto contents = read_log(bytes);
    if (!contents || contents.value().version != log_layout::version) return std::nullopt;
    if (contents.value().identity.boot != identity_of({}).boot) return std::nullopt;
    return std::move(contents).value();
}

}  // namespace

LocalLogs::LocalLogs(EventLoop& loop, Hooks hooks)
    : loop_(loop), hooks_(std::move(hooks)), timer_(loop, [this] { hooks_.complete(); }) {}

bool LocalLogs::has(const UniqueFd& file) const noexcept {
    return std::ranges::any_of(slots_, [&](const Slot& slot) { return is_same_file(slot.file, file); });
}

/// Returns false, and leaves the file, if it is here already, or there are enough.
bool LocalLogs::add(UniqueFd& file) {
    if (slots_.size() == ipc::local_logs_max || has(file)) return false;
    slots_.push_back({std::move(file)});
    return true;
}

void LocalLogs::keep(std::vector<UniqueFd> files) {
    for (UniqueFd& file : files)
        if (add(file)) empty(slots_.back().file);
}

std::vector<StorageHealth::Kept> LocalLogs::await(std::vector<UniqueFd> files) {
    deadline_ = loop_.clock().now() + patience;
    std::vector<StorageHealth::Kept> kept;
    for (UniqueFd& file : files) {
        if (!add(file)) continue;
        Slot& slot = slots_.back();
        const auto contents = log_in(slot.file);
        if (!contents) {
            empty(slot.file);
            continue;
        }
        slot.awaited = {contents->identity, contents->unanswered.size()};
        kept.push_back(contents->health);
        // The accepted loss is of that tapdisk's sequences, which go on only when its rings come back.
        kept.back().lost_until = 0;
    }
    return kept;
}

UniqueFd LocalLogs::file_for(const ipc::ConnectArguments& rings) {
    const LogIdentity identity = identity_of(rings);
    auto found = std::ranges::find_if(
        slots_, [&](const Slot& slot) { return slot.awaited && slot.awaited->identity == identity; });
    if (found == slots_.end()) found = std::ranges::find_if(slots_, [this](const Slot& slot) { return is_free(slot); });
    // A ring that has not come back must not keep others from having a log.
    if (found == slots_.end())
        found = std::ranges::find_if(slots_, [](const Slot& slot) { return slot.awaited.has_value(); });
    if (found == slots_.end()) return {};
    found->awaited.reset();
    return duplicate(found->file);
}

UniqueFd LocalLogs::find(const ipc::ConnectArguments& rings) const {
    const LogIdentity identity = identity_of(rings);
    const auto found = std::ranges::find_if(
        slots_, [&](const Slot& slot) { return slot.awaited && slot.awaited->identity == identity; });
    if (found == slots_.end()) {
        throw_error(Errc::wrong_state, "adopt: the ring \"" + rings.connection +
                                           "\" is not awaited (any more): its program connects anew");
    }
    return duplicate(found->file);
}

void LocalLogs::look() {
    for (Slot& slot : slots_) {
        if (hooks_.in_use(slot.file)) {
            slot.awaited.reset();
        } else if (!slot.awaited) {
            empty(slot.file);
        }
    }
    if (timer_.armed() && std::ranges::none_of(slots_, is_owing)) timer_.arm(Nanoseconds{0});
}

bool LocalLogs::wait() {
    const Nanoseconds left = deadline_ - loop_.clock().now();
    if (left <= Nanoseconds{0} || std::ranges::none_of(slots_, is_owing)) return false;
    timer_.arm(left);
    return true;
}

void LocalLogs::give_up() {
    for (Slot& slot : slots_) {
        if (!is_owing(slot)) continue;
        const std::size_t unanswered = std::exchange(slot.awaited, std::nullopt)->unanswered;
        ++given_up_.rings;
        given_up_.requests += unanswered;
        log::error("ring.not_back", {{"domain", "local"},
                                     {"unanswered", std::to_string(unanswered)},
                                     {"state", "given up: whether they were done is not known"}});
        empty(slot.file);
    }
}

ipc::Json LocalLogs::stats() const {
    const auto awaited = std::ranges::count_if(slots_, [](const Slot& slot) { return slot.awaited.has_value(); });
    return {{"logs", slots_.size()},
            {"awaited", awaited},
            {"given-up", given_up_.rings},
            {"lost-requests", given_up_.requests}};
}

}  // namespace blktap
