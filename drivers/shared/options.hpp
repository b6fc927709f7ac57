// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// OptionReader: takes the options of an image spec one by one, and refuses options that were not taken: a mistyped
// option must not be ignored.
//
// Tested by tests/unit/drivers/options_test.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "libblktap/driver_api/image_driver.hpp"

namespace blktap {

/// Parses "4096", "64K", "10M", "1G" or "2T", in units of 1024, to bytes; nullopt if malformed or above 2^64 - 1.
std::optional<std::uint64_t> parse_size(const std::string& text) noexcept;

/// Returns what is wrong with the size `text` of an option; empty if nothing is.
std::string size_mistake(const std::string& text);

class OptionReader {
  public:
    /// Lifetime: `spec` must outlive the reader. Errors of every function: throws std::system_error (EINVAL), naming
    /// image, option and value.
    explicit OptionReader(const ImageSpec& spec) : spec_(spec), left_(spec.options) {}
    /// Returns the value of a yes/no option, or `absent`.
    bool take_flag(const std::string& name, bool absent);
    /// Returns the value of a size option in bytes, a multiple of 512 and not 0, or `absent`.
    std::uint64_t take_size(const std::string& name, std::uint64_t absent);
    /// Returns the text of an option; empty if absent.
    std::string take_text(const std::string& name);
    /// Refuses options that were not taken.
    void finish() const;

  private:
    std::optional<std::string> take(const std::string& name);
    [[noreturn]] void refuse(const std::string& reason) const;

    const ImageSpec& spec_;
    std::map<std::string, std::string> left_;
};

}  // namespace blktap
