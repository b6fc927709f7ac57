// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/sandbox/violation_report.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstring>
#include <string_view>
#include <unistd.h>

#include "libblktap/base/call_names.hpp"

namespace blktap::sandbox {
namespace {

/// A line in memory of its own: the signal may have interrupted an allocation.
class Line {
  public:
    void add(std::string_view text) noexcept {
        const std::size_t count = std::min(text.size(), text_.size() - size_);
        std::memcpy(text_.data() + size_, text.data(), count);
        size_ += count;
    }
    void add(long number) noexcept {
        std::array<char, 24> digits{};
        const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
        add(std::string_view(digits.data(), static_cast<std::size_t>(end - digits.data())));
    }
    void write() const noexcept { [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text_.data(), size_); }

  private:
    std::array<char, 256> text_{};
    std::size_t size_ = 0;
};

void report(int, siginfo_t* info, void*) {
    Line line;
    line.add("tapdisk[error] sandbox.violation call=");
    line.add(call_name(info->si_syscall));
    line.add(" number=");
    line.add(info->si_syscall);
    line.add("\n");
    line.write();
    struct sigaction by_default {};
    by_default.sa_handler = SIG_DFL;
    ::sigaction(SIGSYS, &by_default, nullptr);
    // The first process of a namespace ignores signals that it sends itself, but not those that its calls cause.
    ::syscall(info->si_syscall);
    ::_exit(128 + SIGSYS);
}

}  // namespace

void report_violations() noexcept {
    struct sigaction action {};
    action.sa_sigaction = report;
    action.sa_flags = SA_SIGINFO;
    ::sigfillset(&action.sa_mask);
    ::sigaction(SIGSYS, &action, nullptr);
}

}  // namespace blktap::sandbox
