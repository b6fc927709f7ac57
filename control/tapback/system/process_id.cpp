// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/system/process_id.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <poll.h>
#include <vector>

#include "control/tapback/system/child_process.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/small_file.hpp"

namespace blktap::tapback {
namespace {

bool has_ended(const UniqueFd& pidfd) noexcept {
    pollfd entry{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, 0) > 0;
}

bool is_no_process(const std::system_error& error) noexcept {
    return error.code() == std::errc::no_such_process || error.code() == std::errc::no_such_file_or_directory;
}

/// A file of /proc/PID; nullopt: there is no such process.
std::optional<std::string> read_of(pid_t pid, const char* name) {
    try {
        return read_small_file("/proc/" + std::to_string(pid) + '/' + name);
    } catch (const std::system_error& error) {
        if (is_no_process(error)) return std::nullopt;
        throw;
    }
}

std::vector<std::string> arguments_of(pid_t pid) {
    const std::string text = read_of(pid, "cmdline").value_or("");
    std::vector<std::string> arguments;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find('\0', begin), text.size());
        arguments.push_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    return arguments;
}

/// nullopt: not a whole number.
template <class Number>
std::optional<Number> to_number(std::string_view text) {
    Number number{};
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || rest != text.data() + text.size()) return std::nullopt;
    return number;
}

}  // namespace

std::optional<ProcessId> identify(pid_t pid) {
    constexpr int start_field = 22;
    constexpr int first_field_after_name = 3;
    const auto text = read_of(pid, "stat");
    if (!text) return std::nullopt;
    // The second field is a name in parentheses. The process chooses it, and it may hold parentheses and spaces.
    std::size_t begin = text->rfind(')') + 2;
    for (int field = first_field_after_name; field < start_field && begin < text->size(); ++field)
        begin = std::min(text->find(' ', begin), text->size()) + 1;
    const std::size_t end = text->find(' ', std::min(begin, text->size()));
    if (end == std::string::npos) throw_error(Errc::bad_message, "/proc/" + std::to_string(pid) + "/stat");
    const auto start = to_number<std::uint64_t>(std::string_view(*text).substr(begin, end - begin));
    if (!start) throw_error(Errc::bad_message, "/proc/" + std::to_string(pid) + "/stat");
    return ProcessId{pid, *start};
}

std::optional<UniqueFd> open_process(const ProcessId& process) {
    try {
        // The descriptor first: after that, what is read by this pid cannot be another process's.
        UniqueFd pidfd = open_pidfd(process.pid);
        if (identify(process.pid) != process || has_ended(pidfd)) return std::nullopt;
        return pidfd;
    } catch (const std::system_error& error) {
        if (is_no_process(error)) return std::nullopt;
        throw;
    }
}

bool was_started_for(pid_t pid, const std::string& socket_path) {
    const auto arguments = arguments_of(pid);
    const std::size_t count = arguments.size();
    return count > 4 && arguments[count - 4] == "--control" && arguments[count - 3] == socket_path &&
           arguments[count - 2] == "--client-fd";
}

std::optional<pid_t> find_started_for(const std::string& socket_path) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const auto pid = to_number<pid_t>(entry.path().filename().string());
        if (pid && was_started_for(*pid, socket_path)) return pid;
    }
    return std::nullopt;
}

}  // namespace blktap::tapback
