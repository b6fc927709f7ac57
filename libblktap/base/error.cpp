// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/error.hpp"

#include <cerrno>
#include <stdexcept>

namespace blktap {
namespace {

class Category final : public std::error_category {
  public:
    const char* name() const noexcept override { return "blktap"; }
    std::string message(int condition) const override {
        switch (static_cast<Errc>(condition)) {
            case Errc::unsupported_operation:
                return "operation not supported";
            case Errc::read_only:
                return "the disk is read-only";
            case Errc::bad_segment_count:
                return "bad segment count";
            case Errc::bad_segment:
                return "segment outside its page";
            case Errc::out_of_range:
                return "outside the device";
            case Errc::bad_indirect:
                return "bad indirect request";
            case Errc::grant_denied:
                return "grant denied";
            case Errc::ring_overrun:
                return "request producer more than a ring ahead";
            case Errc::image_invalid:
                return "not a valid image";
            case Errc::direct_io_unsupported:
                return "the file system cannot do direct I/O (O_DIRECT)";
            case Errc::image_failed:
                return "the image failed: a flush could not be completed";
            case Errc::unexpected_end_of_file:
                return "the file is shorter than the device";
            case Errc::bad_message:
                return "malformed message";
            case Errc::bad_version:
                return "unsupported protocol version";
            case Errc::unknown_request:
                return "unknown request";
            case Errc::wrong_state:
                return "not possible in this state";
            case Errc::peer_closed:
                return "the peer closed the connection";
        }
        return "unknown error " + std::to_string(condition);
    }
};

}  // namespace

const std::error_category& error_category() noexcept {
    static const Category category;
    return category;
}

std::error_code last_system_error() noexcept {
    return {errno, std::system_category()};
}

void throw_system_error(const std::string& context) {
    throw_error(last_system_error(), context);
}

void throw_error(std::error_code code, const std::string& context) {
    throw std::system_error(code, context);
}

void throw_reason(std::error_code code, const std::string& reason) {
    std::system_error error(code);
    // The text is kept in the base class: a derived class that overrides what() would be sliced off by a copy.
    static_cast<std::runtime_error&>(error) = std::runtime_error(reason);
    throw error;
}

}  // namespace blktap
