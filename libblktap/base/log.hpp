// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The log: one line an event, "event key=value ...", to stderr (journald) or syslog. Control paths only: nothing on the
// path of a request logs, except once per change of a state.
//
// Tested by tests/unit/base/log_test.cpp.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace blktap::log {

enum class Level { debug, info, warning, error };
enum class Sink { standard_error, syslog };

/// One key=value. Numbers go through std::to_string at the call.
using Field = std::pair<std::string_view, std::string>;

/// Sets name, level and destination for this process; the default is info to stderr. On stderr a line begins with
/// "program[level] "; time and host are added by journald or syslog. Call before threads start.
void configure(std::string_view program, Level level, Sink sink);

/// For a process that may open nothing later: connects to syslog now, if that is the destination, and never again. When
/// syslog is started anew, it gets no more lines of this process. Context: as configure().
void keep_open(const std::string& syslog_socket = "/dev/log");

/// Sets the level of this process from now on. Context: any thread.
void set_level(Level level);

/// Writes "event key=value ...", one line, at once. A value with anything but printable ASCII, or with a space, '"',
/// '\' or '=', is quoted and escaped (\n, \xNN), and one of more than 1 KiB is cut ("..." follows its quote), so that
/// a hostile string cannot forge a line or a field. Leaves errno alone. Context: any thread.
void write(Level level, std::string_view event, std::initializer_list<Field> fields) noexcept;

inline void debug(std::string_view event, std::initializer_list<Field> fields = {}) noexcept {
    write(Level::debug, event, fields);
}
inline void info(std::string_view event, std::initializer_list<Field> fields = {}) noexcept {
    write(Level::info, event, fields);
}
inline void warning(std::string_view event, std::initializer_list<Field> fields = {}) noexcept {
    write(Level::warning, event, fields);
}
inline void error(std::string_view event, std::initializer_list<Field> fields = {}) noexcept {
    write(Level::error, event, fields);
}

}  // namespace blktap::log
