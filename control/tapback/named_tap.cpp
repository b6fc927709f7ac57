// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/named_tap.hpp"

#include <charconv>

namespace blktap::tapback {
namespace {

/// The number, if the text is nothing but digits.
std::optional<std::uint32_t> to_number(const std::optional<std::string>& text) {
    if (!text) return std::nullopt;
    std::uint32_t number = 0;
    const char* const end = text->data() + text->size();
    const auto [rest, error] = std::from_chars(text->data(), end, number);
    if (error != std::errc{} || rest != end) return std::nullopt;
    return number;
}

}  // namespace

std::optional<NamedTap> read_named_tap(const BackendDirectory& directory) {
    if (!directory.read("minor")) return std::nullopt;  // the script writes it last: it is not done
    std::optional<NamedTap> named;
    const bool there = directory.transact([&](const StoreTransaction& nodes) {
        named.reset();
        const auto minor = to_number(nodes.read(directory.node("minor")));
        const auto pid = to_number(nodes.read(directory.node("pid")));
        if (minor && pid) named = {{*pid, *minor}, ipc::is_read_only_mode(nodes.read(directory.node("mode")))};
    });
    return there ? named : std::nullopt;
}

}  // namespace blktap::tapback
