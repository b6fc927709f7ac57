// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/boot_id.hpp"

#include <charconv>
#include <string>

#include "libblktap/base/error.hpp"
#include "libblktap/base/small_file.hpp"

namespace blktap {

BootId parse_boot_id(std::string_view text) {
    std::string digits;
    for (const char c : text.substr(0, text.find('\n')))
        if (c != '-') digits += c;
    BootId id{};
    bool valid = digits.size() == 2 * id.size();
    for (std::size_t i = 0; valid && i < id.size(); ++i) {
        const char* const end = digits.data() + 2 * i + 2;
        const auto [stop, error] = std::from_chars(end - 2, end, id[i], 16);
        valid = error == std::errc{} && stop == end;
    }
    if (!valid) throw_error(std::make_error_code(std::errc::io_error), "the host's boot_id");
    return id;
}

const BootId& boot_id() {
    static const BootId id = parse_boot_id(read_small_file("/proc/sys/kernel/random/boot_id").value_or(""));
    return id;
}

}  // namespace blktap
