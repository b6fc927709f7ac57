// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/session/stray_tapdisks.hpp"

#include <algorithm>
#include <filesystem>
#include <unistd.h>

#include "libblktap/base/log.hpp"

namespace blktap::tapback {
namespace {

bool is_number(const std::string& text) {
    return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

/// "5-51712.sock" or "tap-3.sock"; a tapdisk's own default, "tapdisk-4711.sock", is not tapback's.
bool is_name_of_ours(const std::string& name) {
    constexpr std::string_view ending = ".sock";
    const std::size_t dash = name.find('-');
    if (!name.ends_with(ending) || dash == std::string::npos) return false;
    const std::string first = name.substr(0, dash);
    const std::string second = name.substr(dash + 1, name.size() - ending.size() - dash - 1);
    return (first == "tap" || is_number(first)) && is_number(second);
}

}  // namespace

void StrayTapdisks::end(const std::string& directory, const Known& known) {
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        const std::string name = entry.path().filename();
        if (is_name_of_ours(name) && !known(name)) look(entry.path());
    }
}

void StrayTapdisks::look(const std::string& socket_path) {
    try {
        const auto id = identify(ipc::MessageSocket::connect_to(socket_path).peer_pid());
        if (!id) return;
        search_.ask(id->pid, socket_path, [this, id = *id, socket_path](bool yes) {
            if (yes) return end(id, socket_path);
            log::warning("tapdisk.foreign", {{"socket", socket_path},
                                             {"pid", std::to_string(id.pid)},
                                             {"state", "not started by tapback: left alone"}});
        });
    } catch (const std::system_error& error) {
        if (error.code() == std::errc::connection_refused) ::unlink(socket_path.c_str());
        if (error.code() != std::errc::connection_refused)
            log::warning("tapdisk.stray", {{"socket", socket_path}, {"reason", error.what()}});
    }
}

void StrayTapdisks::end(const ProcessId& id, const std::string& socket_path) {
    try {
        auto process = TapdiskProcess::find(
            loop_, search_, id, socket_path,
            {.open_file = [](const FileRequest& request) { throw_error(Errc::wrong_state, request.file().path); },
             .ended = [socket_path] { ::unlink(socket_path.c_str()); }});
        if (!process) return;
        log::warning("tapdisk.stray",
                     {{"socket", socket_path}, {"pid", std::to_string(id.pid)}, {"state", "is ended"}});
        process->terminate();
        ending_.push_back(std::move(process));
    } catch (const std::system_error& error) {
        log::warning("tapdisk.stray", {{"socket", socket_path}, {"reason", error.what()}});
    }
}

}  // namespace blktap::tapback
