// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/metadata/header.hpp"

#include <bit>
#include <cstring>

#include "drivers/shared/bytes.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/units.hpp"

namespace blktap::vhd {
namespace {

// Offsets of fields.
constexpr std::size_t next_at = 8;
constexpr std::size_t table_offset_at = 16;
constexpr std::size_t version_at = 24;
constexpr std::size_t table_entries_at = 28;
constexpr std::size_t block_bytes_at = 32;
constexpr std::size_t checksum_at = 36;
constexpr std::size_t parent_uuid_at = 40;
constexpr std::size_t parent_time_at = 56;
constexpr std::size_t parent_name_at = 64;
constexpr std::size_t parent_name_bytes = 512;
constexpr std::size_t locators_at = 576;
constexpr std::size_t locator_bytes = 24;

constexpr char magic[] = "cxsparse";

[[noreturn]] void refuse(const std::string& name, const std::string& reason) {
    throw_reason(Errc::image_invalid, name + ": " + reason);
}

Locator read_locator(std::span<const std::byte> bytes, std::size_t at, const std::string& name) {
    Locator locator;
    locator.platform = load<std::uint32_t>(bytes, at);
    if (locator.platform == 0) return {};
    // The field counts sectors; some programs write bytes.
    const auto space = load<std::uint32_t>(bytes, at + 4);
    locator.space_bytes = space < sector_size_bytes ? std::uint64_t{space} * sector_size_bytes : space;
    locator.length_bytes = load<std::uint32_t>(bytes, at + 8);
    locator.offset = load<std::uint64_t>(bytes, at + 16);
    if (locator.length_bytes > locator_bytes_max || locator.space_bytes > (1ULL << 30)) {
        refuse(name, "a parent's name is too long");
    }
    return locator;
}

void put_character(std::string& text, std::uint32_t code) {
    const auto put = [&](std::uint32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xc0 | code >> 6);
        put(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        put(0xe0 | code >> 12);
        put(0x80 | (code >> 6 & 0x3f));
        put(0x80 | (code & 0x3f));
    } else {
        put(0xf0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3f));
        put(0x80 | (code >> 6 & 0x3f));
        put(0x80 | (code & 0x3f));
    }
}

/// Returns the character at `at`, and moves `at` behind it.
std::uint32_t take_character(const std::string& text, std::size_t& at) noexcept {
    const auto first = static_cast<unsigned char>(text[at++]);
    if (first < 0x80) return first;
    const int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
    std::uint32_t code = first & (0x3fU >> more);
    for (int i = 0; i < more; ++i) {
        if (at == text.size() || (static_cast<unsigned char>(text[at]) & 0xc0) != 0x80) return '?';
        code = code << 6 | (static_cast<unsigned char>(text[at++]) & 0x3f);
    }
    const bool possible = more > 0 && code < 0x110000 && (code < 0xd800 || code >= 0xe000);
    return possible ? code : '?';
}

}  // namespace

std::string to_utf16(const std::string& text, bool big_endian) {
    std::string result;
    const auto put = [&](std::uint32_t unit) {
        const char high = static_cast<char>(unit >> 8 & 0xff);
        const char low = static_cast<char>(unit & 0xff);
        result += big_endian ? high : low;
        result += big_endian ? low : high;
    };
    for (std::size_t at = 0; at < text.size();) {
        const std::uint32_t code = take_character(text, at);
        if (code < 0x10000) {
            put(code);
            continue;
        }
        put(0xd800 + ((code - 0x10000) >> 10));
        put(0xdc00 + ((code - 0x10000) & 0x3ff));
    }
    return result;
}

std::string from_utf16(std::span<const std::byte> bytes, bool big_endian) {
    std::string text;
    const auto unit = [&](std::size_t at) {
        const auto value = load<std::uint16_t>(bytes, at);
        return static_cast<std::uint32_t>(big_endian ? value : std::uint16_t(value << 8 | value >> 8));
    };
    for (std::size_t at = 0; bytes.size() - at >= 2; at += 2) {
        std::uint32_t code = unit(at);
        if (code == 0) break;
        if (code >= 0xd800 && code < 0xdc00 && bytes.size() - at >= 4) {
            const std::uint32_t low = unit(at + 2);
            if (low >= 0xdc00 && low < 0xe000) {
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                at += 2;
            }
        }
        put_character(text, code >= 0xd800 && code < 0xe000 ? '?' : code);
    }
    return text;
}

Header parse_header(std::span<const std::byte> bytes, std::uint64_t disk_bytes, const std::string& name) {
    if (bytes.size() < header_bytes || std::memcmp(bytes.data(), magic, 8) != 0) refuse(name, "has no header");
    bytes = bytes.first(header_bytes);
    if (checksum(bytes, checksum_at) != load<std::uint32_t>(bytes, checksum_at)) {
        refuse(name, "its header is damaged: the checksum is wrong");
    }
    if (const auto version = load<std::uint32_t>(bytes, version_at); version >> 16 != 1) {
        refuse(name, "its header has the unknown version " + std::to_string(version >> 16));
    }
    Header header;
    header.table_offset = load<std::uint64_t>(bytes, table_offset_at);
    header.table_entries = load<std::uint32_t>(bytes, table_entries_at);
    header.block_bytes = load<std::uint32_t>(bytes, block_bytes_at);
    if (!std::has_single_bit(header.block_bytes) || header.block_bytes < block_bytes_min ||
        header.block_bytes > block_bytes_max) {
        refuse(name, "its blocks have " + std::to_string(header.block_bytes) +
                         " bytes, which is not a power of two from 4096 to 256 MiB");
    }
    if (header.table_entries > table_entries_max) refuse(name, "has more blocks than 16777216");
    if ((disk_bytes - 1) / header.block_bytes >= header.table_entries) {
        refuse(name, "its table of blocks is too short for its size");
    }
    if (!is_aligned(header.table_offset, sector_size_bytes)) refuse(name, "its table of blocks is misplaced");
    std::memcpy(header.parent_uuid.data(), bytes.data() + parent_uuid_at, header.parent_uuid.size());
    header.parent_name = from_utf16(bytes.subspan(parent_name_at, parent_name_bytes), true);
    for (std::size_t i = 0; i < locator_count; ++i)
        header.locators[i] = read_locator(bytes, locators_at + i * locator_bytes, name);
    return header;
}

std::array<std::byte, header_bytes> encode_header(const Header& header) {
    std::array<std::byte, header_bytes> array{};
    const std::span<std::byte> bytes{array};
    std::memcpy(bytes.data(), magic, 8);
    store<std::uint64_t>(bytes, next_at, ~std::uint64_t{0});
    store<std::uint32_t>(bytes, version_at, 0x00010000);
    store<std::uint32_t>(bytes, block_bytes_at, static_cast<std::uint32_t>(header.block_bytes));
    std::memcpy(bytes.data() + parent_uuid_at, header.parent_uuid.data(), header.parent_uuid.size());
    const std::string name = to_utf16(header.parent_name, true);
    std::memcpy(bytes.data() + parent_name_at, name.data(), std::min(name.size(), parent_name_bytes - 2));
    bool has_parent = false;
    for (std::size_t i = 0; i < locator_count; ++i) {
        const Locator& locator = header.locators[i];
        const std::size_t at = locators_at + i * locator_bytes;
        if (locator.platform == 0) continue;
        has_parent = true;
        store<std::uint32_t>(bytes, at, locator.platform);
        store<std::uint32_t>(bytes, at + 4, static_cast<std::uint32_t>(locator.space_bytes / sector_size_bytes));
        store<std::uint32_t>(bytes, at + 8, locator.length_bytes);
        store<std::uint64_t>(bytes, at + 16, locator.offset);
    }
    if (has_parent) store<std::uint32_t>(bytes, parent_time_at, timestamp_now());
    set_table(bytes, header.table_offset, header.table_entries);
    return array;
}

void set_table(std::span<std::byte> bytes, std::uint64_t table_offset, std::uint32_t table_entries) noexcept {
    store<std::uint64_t>(bytes, table_offset_at, table_offset);
    store<std::uint32_t>(bytes, table_entries_at, table_entries);
    store<std::uint32_t>(bytes, checksum_at, checksum(bytes.first(header_bytes), checksum_at));
}

}  // namespace blktap::vhd
