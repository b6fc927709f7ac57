// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Error codes of this project, and Result: how the datapath returns a value or an error. The datapath is noexcept and
// uses std::error_code; setup and control code throws std::system_error with one of these codes and a context string.
// What each code becomes on the wire is libblktap/ring/wire_status.hpp's table.
//
// Tested by tests/unit/base/error_test.cpp.
#pragma once

#include <string>
#include <system_error>

#include <boost/outcome/std_result.hpp>

namespace blktap {

enum class Errc {
    // A guest's request (libblktap/ring/judge.hpp).
    unsupported_operation = 1,  ///< operation unknown, or not offered by this image
    read_only,                  ///< write, barrier or discard on a read-only disk
    bad_segment_count,          ///< 0, or more than the operation allows
    bad_segment,                ///< last < first, or a sector outside its page
    out_of_range,               ///< beyond the end of the device, or overflows
    bad_indirect,               ///< inner operation other than read and write
    // A guest's memory and ring.
    grant_denied,  ///< a grant that was never given, was revoked, or forbids the access
    ring_overrun,  ///< the producer index is more than a ring ahead
    // An image.
    image_invalid,           ///< not an image of the named format, or of a size we cannot serve
    direct_io_unsupported,   ///< the file system cannot do O_DIRECT
    image_failed,            ///< a flush failed: writes are refused until the image is reopened
    unexpected_end_of_file,  ///< the file became shorter than the device
    // The control protocol.
    bad_message,  ///< not JSON, or a field missing, of the wrong type or out of range
    bad_version,  ///< a version of the protocol that we do not speak
    unknown_request,
    wrong_state,  ///< the request is right but not now (connect before open, ...)
    peer_closed,  ///< the other side of a control connection went away
};

/// The category of Errc; its name is "blktap".
const std::error_category& error_category() noexcept;

inline std::error_code make_error_code(Errc code) noexcept {
    return {static_cast<int>(code), error_category()};
}

/// errno as an error_code of the system category.
std::error_code last_system_error() noexcept;

/// Throws std::system_error with errno (or `code`) and "context: reason" as its text.
[[noreturn]] void throw_system_error(const std::string& context);
[[noreturn]] void throw_error(std::error_code code, const std::string& context);
/// Throws std::system_error with `reason` as its whole text. The text of `code`, which is for programs, is not
/// appended: it would say less than `reason`, or something else.
[[noreturn]] void throw_reason(std::error_code code, const std::string& reason);

/// A value or an error_code; never throws by itself.
template <class T>
using Result = BOOST_OUTCOME_V2_NAMESPACE::std_result<T>;

}  // namespace blktap

template <>
struct std::is_error_code_enum<blktap::Errc> : std::true_type {};
