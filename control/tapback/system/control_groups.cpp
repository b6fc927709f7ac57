// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/system/control_groups.hpp"

#include <cerrno>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {
namespace {

constexpr const char* prefix = "tapdisk-";
/// Besides the tables of images: the program, pages of guests' data, logs, and the cache of a buffered image, which the
/// kernel makes smaller as it needs to.
constexpr std::uint64_t memory_besides_tables = std::uint64_t{1} << 30;
/// Twice the threads that its limit allows (tapdisk/sandbox).
constexpr unsigned processes_max = 32;
/// Each tapdisk has the same share, however many threads it has.
constexpr unsigned weight = 100;

/// Writes to a file that exists. Kernels take such a value in one piece, or not at all.
std::error_code write_value(const std::string& path, const std::string& value) noexcept {
    const UniqueFd file{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
    if (!file) return last_system_error();
    return ::write(file.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size()) ? std::error_code{}
                                                                                                 : last_system_error();
}

std::string memory_max(std::uint64_t budget_bytes) {
    return budget_bytes > UINT64_MAX - memory_besides_tables ? "max"
                                                             : std::to_string(budget_bytes + memory_besides_tables);
}

}  // namespace

ControlGroups::ControlGroups(std::string directory, std::uint64_t memory_budget_bytes)
    : memory_budget_bytes_(memory_budget_bytes) {
    if (directory.empty()) return;
    std::string missing;
    for (const char* controller : {"memory", "pids", "cpu"}) {
        const auto error = write_value(directory + "/cgroup.subtree_control", std::string("+") + controller);
        if (error == std::errc::no_such_file_or_directory && ::access(directory.c_str(), F_OK) != 0) {
            log::info("control_groups", {{"directory", directory},
                                         {"error", error.message()},
                                         {"state", "tapdisks share tapback's, without bounds of their own"}});
            return;
        }
        if (error) missing += (missing.empty() ? "" : ", ") + std::string(controller);
    }
    if (!missing.empty())
        log::info("control_groups",
                  {{"directory", directory}, {"missing", missing}, {"state", "tapdisks have no bound for these"}});
    directory_ = std::move(directory);
    remove_empty();
}

UniqueFd ControlGroups::make(const std::string& socket_path) const noexcept {
    if (directory_.empty()) return {};
    try {
        const std::string path = path_of(socket_path);
        std::error_code error;
        if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) error = last_system_error();
        // A controller that the host does not delegate has no file here.
        write_value(path + "/memory.max", memory_max(memory_budget_bytes_));
        write_value(path + "/pids.max", std::to_string(processes_max));
        write_value(path + "/cpu.weight", std::to_string(weight));
        UniqueFd entrance{::open((path + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC)};
        if (!entrance) {
            if (!error) error = last_system_error();
            log::warning("control_group",
                         {{"path", path}, {"error", error.message()}, {"state", "a tapdisk without bounds"}});
        }
        return entrance;
    } catch (const std::exception&) {
        return {};
    }
}

void ControlGroups::make_room(const std::string& socket_path, std::uint64_t memory_budget_bytes) const noexcept {
    if (directory_.empty() || memory_budget_bytes <= memory_budget_bytes_) return;
    try {
        write_value(path_of(socket_path) + "/memory.max", memory_max(memory_budget_bytes));
    } catch (const std::exception&) {
        // No memory: the tapdisk has what others have.
    }
}

void ControlGroups::remove(const std::string& socket_path) const noexcept {
    if (directory_.empty()) return;
    try {
        ::rmdir(path_of(socket_path).c_str());
    } catch (const std::exception&) {
        // The next tapback removes it.
    }
}

std::string ControlGroups::path_of(const std::string& socket_path) const {
    return directory_ + '/' + prefix + std::filesystem::path(socket_path).stem().string();
}

void ControlGroups::remove_empty() const {
    std::error_code error;
    for (std::filesystem::directory_iterator entry(directory_, error), end; !error && entry != end;
         entry.increment(error)) {
        if (entry->path().filename().string().starts_with(prefix)) ::rmdir(entry->path().c_str());
    }
}

}  // namespace blktap::tapback
