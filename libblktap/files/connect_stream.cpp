// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/files/connect_stream.hpp"

#include <cerrno>
#include <cstring>
#include <memory>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "libblktap/base/error.hpp"

namespace blktap {
namespace {

constexpr std::string_view unix_prefix = "unix:";

[[noreturn]] void refuse(const std::string& address, const std::string& reason) {
    throw_reason(std::make_error_code(std::errc::invalid_argument), address + ": " + reason);
}

/// Returns an empty descriptor on an error, with errno set.
UniqueFd connect_to(int family, int protocol, const sockaddr* address, socklen_t length) noexcept {
    UniqueFd fd{::socket(family, SOCK_STREAM | SOCK_CLOEXEC, protocol)};
    if (!fd || ::connect(fd.get(), address, length) != 0) return {};
    return fd;
}

UniqueFd connect_to_path(const std::string& address) {
    const std::string path = address.substr(unix_prefix.size());
    sockaddr_un socket{};
    socket.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof socket.sun_path) refuse(address, "no path, or too long a path");
    std::memcpy(socket.sun_path, path.c_str(), path.size() + 1);
    UniqueFd fd = connect_to(AF_UNIX, 0, reinterpret_cast<const sockaddr*>(&socket), sizeof socket);
    if (!fd) throw_system_error(address);
    return fd;
}

struct HostAndPort {
    std::string host, port;
};

HostAndPort split(const std::string& address) {
    const std::size_t colon = address.rfind(':');
    HostAndPort result;
    if (colon != std::string::npos) result = {address.substr(0, colon), address.substr(colon + 1)};
    const bool bracketed = result.host.size() > 2 && result.host.front() == '[' && result.host.back() == ']';
    if (bracketed) result.host = result.host.substr(1, result.host.size() - 2);
    const bool ambiguous = !bracketed && result.host.find(':') != std::string::npos;
    if (result.host.empty() || result.port.empty() || ambiguous)
        refuse(address, "neither unix:PATH nor HOST:PORT (an IPv6 address in brackets)");
    return result;
}

}  // namespace

UniqueFd connect_stream(const std::string& address) {
    if (address.starts_with(unix_prefix)) return connect_to_path(address);
    const auto [host, port] = split(address);
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int failed = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
    if (failed == EAI_SYSTEM) throw_system_error(address);
    if (failed != 0) {
        throw_reason(std::make_error_code(std::errc::address_not_available), address + ": " + ::gai_strerror(failed));
    }
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list{found, &::freeaddrinfo};
    for (const addrinfo* each = list.get(); each != nullptr; each = each->ai_next) {
        if (UniqueFd fd = connect_to(each->ai_family, each->ai_protocol, each->ai_addr, each->ai_addrlen)) return fd;
    }
    throw_system_error(address);
}

}  // namespace blktap
