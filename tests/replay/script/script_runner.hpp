// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// `ring-replay script`: runs replay scripts against a backend. The first difference ends a script, with its place.
//
// Tested by tests/unit/replay/script_runner_test.cpp.
#pragma once

#include "tests/replay/failure.hpp"
#include "tests/replay/script/script.hpp"
#include "tests/replay/script/script_data.hpp"
#include "tests/replay/target.hpp"

namespace blktap::replay {

/// Runs all files, the rest too after one fails; one line each. Errors: throws ScriptError, std::runtime_error for a
/// requirement that the disk does not meet.
Exit run_scripts(const Target& target, const std::vector<std::string>& files);

/// One run of one script in one ring layout.
class ScriptRunner {
  public:
    /// How long nothing must come for "nothing comes" to be believed.
    static constexpr Nanoseconds quiet_time = std::chrono::milliseconds(300);

    /// Connects. Lifetime: all must outlive this. Errors: what Session throws; std::runtime_error "FILE:LINE: requires
    /// ...".
    ScriptRunner(const Target& target, Connection& connection, const Script& script, ring::Protocol protocol);
    /// Errors: throws Failure "FILE:LINE: expected X, got Y".
    void run();

  private:
    void connect();
    void run_statement(const ScriptStatement& statement);
    void run_requests(const ScriptStatement& statement);
    void collect(std::vector<const PlacedRequest*>& expected);
    void match(std::vector<const PlacedRequest*>& expected, const ring::Response& response, unsigned queue);
    void force_producer(const ScriptStatement& statement);
    void expect_quiet(unsigned line);
    void check_stopped(const ScriptStatement& statement);
    std::optional<std::pair<unsigned, ring::Response>> take(unsigned line);
    void sleep(unsigned line, const std::string& expectation, Nanoseconds limit);
    [[noreturn]] void fail(unsigned line, const std::string& what) const;

    const Target& target_;
    Connection& connection_;
    const Script& script_;
    const ring::Protocol protocol_;
    const MonotonicClock clock_;
    std::optional<Session> session_;
    std::optional<ScriptPages> pages_;
};

}  // namespace blktap::replay
