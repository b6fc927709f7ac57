// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/error_names.hpp"

#include <cstring>

#include "libblktap/base/error.hpp"

namespace blktap::ipc {
namespace {

constexpr int errc_last = static_cast<int>(Errc::peer_closed);
constexpr int errno_last = 133;  // EHWPOISON, the highest of Linux
constexpr std::string_view system_prefix = "system:";

const char* name_of(Errc code) noexcept {
    switch (code) {
        case Errc::unsupported_operation:
            return "unsupported-operation";
        case Errc::read_only:
            return "read-only";
        case Errc::bad_segment_count:
            return "bad-segment-count";
        case Errc::bad_segment:
            return "bad-segment";
        case Errc::out_of_range:
            return "out-of-range";
        case Errc::bad_indirect:
            return "bad-indirect";
        case Errc::grant_denied:
            return "grant-denied";
        case Errc::ring_overrun:
            return "ring-overrun";
        case Errc::image_invalid:
            return "image-invalid";
        case Errc::direct_io_unsupported:
            return "direct-io-unsupported";
        case Errc::image_failed:
            return "image-failed";
        case Errc::unexpected_end_of_file:
            return "unexpected-end-of-file";
        case Errc::bad_message:
            return "bad-message";
        case Errc::bad_version:
            return "bad-version";
        case Errc::unknown_request:
            return "unknown-request";
        case Errc::wrong_state:
            return "wrong-state";
        case Errc::peer_closed:
            return "peer-closed";
    }
    return nullptr;
}

bool is_errno(std::error_code code) noexcept {
    return code.category() == std::system_category() || code.category() == std::generic_category();
}

}  // namespace

std::string error_code_name(std::error_code code) {
    if (code.category() == error_category()) {
        if (const char* name = name_of(static_cast<Errc>(code.value()))) return name;
    }
    if (is_errno(code)) {
        if (const char* name = strerrorname_np(code.value())) return std::string(system_prefix) + name;
    }
    return std::string(code.category().name()) + ":" + std::to_string(code.value());
}

std::error_code error_code_named(std::string_view name) noexcept {
    for (int value = 1; value <= errc_last; ++value) {
        const char* known = name_of(static_cast<Errc>(value));
        if (known != nullptr && name == known) return static_cast<Errc>(value);
    }
    if (!name.starts_with(system_prefix)) return Errc::bad_message;
    name.remove_prefix(system_prefix.size());
    for (int value = 1; value <= errno_last; ++value) {
        const char* known = strerrorname_np(value);
        if (known != nullptr && name == known) return {value, std::system_category()};
    }
    return Errc::bad_message;
}

}  // namespace blktap::ipc
