// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/utf8.hpp"

namespace blktap {
namespace {

bool is_between(char byte, unsigned first, unsigned last) noexcept {
    const unsigned code = static_cast<unsigned char>(byte);
    return first <= code && code <= last;
}

/// Whether `second` may follow `first`: excludes overlong forms, UTF-16 surrogates, and code points above U+10FFFF.
bool may_follow(char first, char second) noexcept {
    switch (static_cast<unsigned char>(first)) {
        case 0xe0:
            return is_between(second, 0xa0, 0xbf);
        case 0xed:
            return is_between(second, 0x80, 0x9f);
        case 0xf0:
            return is_between(second, 0x90, 0xbf);
        case 0xf4:
            return is_between(second, 0x80, 0x8f);
        default:
            return is_between(second, 0x80, 0xbf);
    }
}

}  // namespace

std::size_t utf8_length(std::string_view text) noexcept {
    if (text.empty()) return 0;
    const char first = text.front();
    if (is_between(first, 0, 0x7f)) return 1;
    const std::size_t length = is_between(first, 0xc2, 0xdf)   ? 2
                               : is_between(first, 0xe0, 0xef) ? 3
                               : is_between(first, 0xf0, 0xf4) ? 4
                                                               : 0;
    if (length == 0 || text.size() < length || !may_follow(first, text[1])) return 0;
    for (std::size_t i = 2; i < length; ++i) {
        if (!is_between(text[i], 0x80, 0xbf)) return 0;
    }
    return length;
}

bool is_utf8(std::string_view text) noexcept {
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        if (length == 0) return false;
        text.remove_prefix(length);
    }
    return true;
}

std::string escaped_byte(char byte) {
    constexpr const char* digits = "0123456789abcdef";
    const auto code = static_cast<unsigned char>(byte);
    return {'\\', 'x', digits[code >> 4], digits[code & 15]};
}

std::string escape_invalid_utf8(std::string_view text) {
    std::string result;
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        if (length > 0) {
            result += text.substr(0, length);
        } else {
            result += escaped_byte(text.front());
        }
        text.remove_prefix(length > 0 ? length : 1);
    }
    return result;
}

}  // namespace blktap
