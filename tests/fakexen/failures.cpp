// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/fakexen/failures.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "libblktap/xen/xen_libraries.hpp"

namespace fakexen {
namespace {

struct Kind {
    std::string_view name;
    int usual_error;
};
constexpr std::array kinds = {
    Kind{"map", EINVAL},         Kind{"copy", EFAULT},        Kind{"copy_segment", GNTST_bad_gntref},
    Kind{"bind", EINVAL},        Kind{"share", ENOSPC},       Kind{"notify", ENOTCONN},
    Kind{"open_gnttab", EACCES}, Kind{"open_evtchn", EACCES},
};

struct Due {
    std::atomic<std::uint64_t> countdown{0};  // 0: nothing is due
    std::atomic<int> error{0};
};
constinit std::array<Due, kinds.size()> dues{};

Due& due(Call call) noexcept {
    return dues[static_cast<std::size_t>(call)];
}

[[noreturn]] void refuse(std::string_view text) {
    std::fprintf(stderr, "fakexen: not a failure: %.*s\n", static_cast<int>(text.size()), text.data());
    std::abort();
}

std::string_view take_until(std::string_view& text, char separator) noexcept {
    const auto end = text.find(separator);
    const auto head = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    return head;
}

template <class Number>
std::optional<Number> to_number(std::string_view text) noexcept {
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return number;
}

void arm(std::string_view text) {
    auto rest = text;
    const auto name = take_until(rest, ':');
    const auto n = to_number<std::uint64_t>(take_until(rest, ':'));
    const auto error = rest.empty() ? 0 : to_number<int>(rest);
    for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
        if (kinds[kind].name == name && n && *n > 0 && error) return fail_nth(static_cast<Call>(kind), *n, *error);
    }
    refuse(text);
}

}  // namespace

void fail_nth(Call call, std::uint64_t n, int error) noexcept {
    due(call).error.store(error != 0 ? error : kinds[static_cast<std::size_t>(call)].usual_error);
    due(call).countdown.store(n);
}

bool failure_is_due(Call call) noexcept {
    return due(call).countdown.load() != 0;
}

void fail_nothing() noexcept {
    for (auto& each : dues)
        each.countdown.store(0);
}

void fail_as_told(std::string_view text) {
    while (!text.empty())
        arm(take_until(text, ','));
}

int due_failure(Call call) noexcept {
    auto& [countdown, error] = due(call);
    auto left = countdown.load(std::memory_order_relaxed);
    while (left != 0) {
        if (countdown.compare_exchange_weak(left, left - 1)) return left == 1 ? error.load() : 0;
    }
    return 0;
}

}  // namespace fakexen
