// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/log.hpp"

#include <algorithm>
#include <errno.h>
#include <memory>
#include <mutex>
#include <sys/socket.h>
#include <sys/un.h>

#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>

#include "libblktap/base/unique_fd.hpp"

namespace blktap::log {
namespace {

/// Longer values are cut: journald breaks lines at 48 KiB, and the rest would pass for a line of its own.
constexpr std::size_t value_size_max = 1024;

spdlog::level::level_enum to_spdlog(Level level) noexcept {
    switch (level) {
        case Level::debug:
            return spdlog::level::debug;
        case Level::info:
            return spdlog::level::info;
        case Level::warning:
            return spdlog::level::warn;
        case Level::error:
            break;
    }
    return spdlog::level::err;
}

/// Syslog through a socket of our own: the C library's function connects again whenever it sees fit.
class ConnectedSyslog final : public spdlog::sinks::base_sink<std::mutex> {
  public:
    ConnectedSyslog(std::string program, const std::string& path)
        : program_(std::move(program)), socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) socket_.reset();
    }

  private:
    static int priority(spdlog::level::level_enum level) noexcept {
        switch (level) {
            case spdlog::level::err:
                return LOG_DAEMON | LOG_ERR;
            case spdlog::level::warn:
                return LOG_DAEMON | LOG_WARNING;
            case spdlog::level::debug:
                return LOG_DAEMON | LOG_DEBUG;
            default:
                return LOG_DAEMON | LOG_INFO;
        }
    }
    void sink_it_(const spdlog::details::log_msg& message) override {
        // Without a time, which syslog adds: the C library reads files to know it.
        const std::string text = '<' + std::to_string(priority(message.level)) + '>' + program_ + ": " +
                                 std::string(message.payload.data(), message.payload.size());
        iovec data{.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
        msghdr datagram{};
        datagram.msg_iov = &data;
        datagram.msg_iovlen = 1;
        [[maybe_unused]] const auto sent = ::sendmsg(socket_.get(), &datagram, MSG_NOSIGNAL);
    }
    void flush_() override {}

    const std::string program_;
    UniqueFd socket_;
};

spdlog::sink_ptr make_sink(const std::string& program, Sink sink) {
    if (sink == Sink::syslog) {
        return std::make_shared<spdlog::sinks::syslog_sink_mt>(program, LOG_PID, LOG_DAEMON, false);
    }
    return std::make_shared<spdlog::sinks::stderr_sink_mt>();
}

std::unique_ptr<spdlog::logger> make_logger(const std::string& program, Level level, Sink sink) {
    auto logger = std::make_unique<spdlog::logger>(program, make_sink(program, sink));
    logger->set_pattern("%n[%l] %v");  // no time: journald and syslog add their own
    logger->set_level(to_spdlog(level));
    logger->flush_on(spdlog::level::trace);
    return logger;
}

std::unique_ptr<spdlog::logger>& current() {
    static auto logger = make_logger(program_invocation_short_name, Level::info, Sink::standard_error);
    return logger;
}

bool is_printable(char character) noexcept {
    return character >= ' ' && character <= '~';
}

bool stands_bare(char character) noexcept {
    return is_printable(character) && character != ' ' && character != '"' && character != '\\' && character != '=';
}

void append_escaped(std::string& line, char character) {
    if (character == '"' || character == '\\') {
        line += {'\\', character};
    } else if (character == '\n') {
        line += "\\n";
    } else if (is_printable(character)) {
        line += character;
    } else {
        constexpr char digits[] = "0123456789abcdef";
        const auto byte = static_cast<unsigned char>(character);
        line += {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    }
}

void append_value(std::string& line, std::string_view value) {
    const std::string_view kept = value.substr(0, value_size_max);
    if (!kept.empty() && kept.size() == value.size() && std::all_of(kept.begin(), kept.end(), stands_bare)) {
        line += kept;
        return;
    }
    line += '"';
    for (const char character : kept)
        append_escaped(line, character);
    line += kept.size() < value.size() ? "\"..." : "\"";
}

}  // namespace

void configure(std::string_view program, Level level, Sink sink) {
    current() = make_logger(std::string{program}, level, sink);
}

void keep_open(const std::string& syslog_socket) {
    spdlog::logger& logger = *current();
    if (std::dynamic_pointer_cast<spdlog::sinks::syslog_sink_mt>(logger.sinks().front()))
        logger.sinks().front() = std::make_shared<ConnectedSyslog>(logger.name(), syslog_socket);
}

void set_level(Level level) {
    current()->set_level(to_spdlog(level));
}

void write(Level level, std::string_view event, std::initializer_list<Field> fields) noexcept {
    const int errno_of_caller = errno;
    try {
        spdlog::logger& logger = *current();
        if (logger.should_log(to_spdlog(level))) {
            std::string line{event};
            for (const auto& [key, value] : fields) {
                line.append(" ").append(key).append("=");
                append_value(line, value);
            }
            logger.log(to_spdlog(level), spdlog::string_view_t{line});
        }
    } catch (...) {
        // Out of memory, for example: the line is lost, the disk is served on.
    }
    errno = errno_of_caller;
}

}  // namespace blktap::log
