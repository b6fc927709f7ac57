// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TapbackCalls: requests to a tapback that may be killed in the middle of them. An answer that is lost says nothing:
// the request may have been done.
#pragma once

#include <optional>
#include <string>

#include "libblktap/ipc/tapback_messages.hpp"
#include "tests/support/process.hpp"

namespace blktap::soak {

/// What went wrong, in words.
class Wrong : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

struct Answer {
    enum class Kind { done, refused, lost };
    Kind kind = Kind::lost;
    std::error_code code{};  ///< of a refusal
    std::string message{};   ///< of a refusal
    ipc::Json result{};

    bool is_done() const noexcept { return kind == Kind::done; }
    bool is_refused(std::errc error) const noexcept { return kind == Kind::refused && code == error; }
};

class TapbackCalls {
  public:
    explicit TapbackCalls(std::string socket) : socket_(std::move(socket)) {}

    /// Errors: throws Wrong: no answer within a minute, from a tapback that lives.
    Answer ask(const std::string& request, const ipc::Json& arguments) const;
    /// Asks again as long as answers are lost. Only for what may be done twice.
    Answer insist(const std::string& request, const ipc::Json& arguments) const;
    /// nullopt: tapback knows no such disk. Errors: as ask(), and Wrong for a refusal.
    std::optional<ipc::VbdEntry> entry(const ipc::VbdArguments& disk) const;

  private:
    std::string socket_;
};

/// How long a disk may take for anything while nothing is in its way.
inline constexpr std::chrono::seconds patience{60};

/// Waits. Errors: throws Wrong "... did not WHAT within 60 s".
template <class Condition>
void wait_for(const std::string& what, Condition condition) {
    if (!testing::wait_until(condition, patience)) throw Wrong("did not " + what + " within 60 s");
}

}  // namespace blktap::soak
