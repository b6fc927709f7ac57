// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/session/tapdisk_search.hpp"

#include "control/tapback/storage/storage_messages.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {

TapdiskSearch::TapdiskSearch(EventLoop& loop, StartProcess start)
    : loop_(loop), start_(std::move(start)), idle_timer_(loop, [this] {
          if (link_ && link_->jobs() == 0) link_.reset();
      }) {}

TapdiskSearch::~TapdiskSearch() = default;

void TapdiskSearch::look(pid_t pid, const std::string& socket_path, Found found) {
    if (!link_ || link_->lost()) link_ = std::make_unique<StorageLink>(loop_, start_());
    link_->add(
        storage::FindTapdisk{socket_path, static_cast<std::uint32_t>(pid)}, -1,
        [](const ipc::Request& question) { throw_error(Errc::unknown_request, '"' + question.name + '"'); },
        [this, found = std::move(found)](const ipc::Reply& reply) {
            idle_timer_.arm(Nanoseconds{0});
            if (!reply.error_code.empty()) return found(std::nullopt, reply.error_message);
            const auto result = reply.result.get<storage::FindTapdisk::Result>();
            found(result.pid == 0 ? std::nullopt : std::optional(static_cast<pid_t>(result.pid)), {});
        });
}

std::optional<pid_t> TapdiskSearch::find(const std::string& socket_path) {
    if (!results_.contains(socket_path)) {
        look(0, socket_path, [this, socket_path](std::optional<pid_t> pid, const std::string& problem) {
            if (problem.empty()) {
                results_[socket_path] = {true, pid};
            } else {
                log::warning("tapdisk.search",
                             {{"socket", socket_path}, {"reason", problem}, {"state", "tries again"}});
                results_.erase(socket_path);
            }
        });
        results_.try_emplace(socket_path);
    }
    const auto result = results_.find(socket_path);
    if (result == results_.end() || !result->second.known) {
        throw_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                    socket_path + ": the process that served there is being looked for");
    }
    // The next find() searches anew: the process may be another one then.
    return results_.extract(result).mapped().pid;
}

void TapdiskSearch::ask(pid_t pid, const std::string& socket_path, Done done) {
    look(pid, socket_path,
         [done = std::move(done), socket_path](std::optional<pid_t> found, const std::string& problem) {
             if (!problem.empty()) log::warning("tapdisk.search", {{"socket", socket_path}, {"reason", problem}});
             done(found.has_value());
         });
}

}  // namespace blktap::tapback
