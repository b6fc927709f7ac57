// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/service_manager.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>

#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap::tapback {
namespace {

std::error_code send_to(std::string_view name, std::string_view message) noexcept {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (name.size() >= sizeof address.sun_path) return std::make_error_code(std::errc::filename_too_long);
    std::ranges::copy(name, address.sun_path);
    if (name.front() == '@') address.sun_path[0] = '\0';  // an abstract name: not in the file system
    const UniqueFd socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    if (!socket) return last_system_error();
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    const ssize_t sent = ::sendto(socket.get(), message.data(), message.size(), MSG_NOSIGNAL,
                                  reinterpret_cast<const sockaddr*>(&address), size);
    return sent < 0 ? last_system_error() : std::error_code{};
}

}  // namespace

void notify_ready() noexcept {
    const char* const value = std::getenv("NOTIFY_SOCKET");
    if (value == nullptr || *value == '\0') return;
    const std::string name = value;
    ::unsetenv("NOTIFY_SOCKET");
    if (const auto error = send_to(name, "READY=1")) {
        log::warning("service_manager.notify", {{"socket", name}, {"reason", error.message()}});
    }
}

}  // namespace blktap::tapback
