// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Header: the second structure of an image that grows, besides its footer: offset of the table of blocks, block size,
// and the parent of a differencing image. Its bytes are hostile: each number is bounded here.
//
// Fields: docs/formats/vhd.md. Tested by tests/unit/vhd/header_test.cpp and tests/fuzz/fuzz_vhd.cpp.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "drivers/vhd/metadata/footer.hpp"

namespace blktap::vhd {

inline constexpr std::size_t header_bytes = 1024;
inline constexpr std::uint64_t block_bytes_min = 4096;
inline constexpr std::uint64_t block_bytes_max = 256ULL << 20;
inline constexpr std::uint64_t block_bytes_usual = 2ULL << 20;
/// 64 MiB for the table, which is kept in memory: 2040 GiB with blocks of 128 KiB.
inline constexpr std::uint32_t table_entries_max = 16U << 20;
inline constexpr std::uint32_t entry_unused = 0xffffffff;

/// Where a name of the parent is stored; a header has eight.
struct Locator {
    std::uint32_t platform = 0;  ///< 0: none
    std::uint64_t offset = 0;
    std::uint32_t length_bytes = 0;
    std::uint64_t space_bytes = 0;  ///< room for the name in the file
};
inline constexpr std::size_t locator_count = 8;
/// Longer names are refused.
inline constexpr std::uint32_t locator_bytes_max = 64 * 1024;

inline constexpr std::uint32_t platform_windows_relative = 0x57327275;  // "W2ru", UTF-16, little-endian
inline constexpr std::uint32_t platform_windows_absolute = 0x57326b75;  // "W2ku"
inline constexpr std::uint32_t platform_url = 0x4d616358;               // "MacX", a file: URL

struct Header {
    std::uint64_t table_offset = 0;
    std::uint32_t table_entries = 0;
    std::uint64_t block_bytes = block_bytes_usual;
    Uuid parent_uuid{};  ///< all 0: the parent is raw
    std::string parent_name{};
    std::array<Locator, locator_count> locators{};

    bool parent_is_raw() const noexcept { return parent_uuid == Uuid{}; }
    std::uint64_t table_bytes() const noexcept { return table_entries * 4ULL; }
};

/// Parses the header of the image `name` from its header_bytes, for a disk of `disk_bytes`. Errors: throws
/// std::system_error, Errc::image_invalid, with a text that begins with `name`.
Header parse_header(std::span<const std::byte> bytes, std::uint64_t disk_bytes, const std::string& name);

/// Returns the header's bytes, with the current time if there is a parent.
std::array<std::byte, header_bytes> encode_header(const Header& header);
/// Changes offset and length of the table in the bytes of a header.
void set_table(std::span<std::byte> bytes, std::uint64_t table_offset, std::uint32_t table_entries) noexcept;

/// Converts UTF-8 to the format's UTF-16, big- or little-endian, and back; invalid characters become '?'.
std::string to_utf16(const std::string& text, bool big_endian);
std::string from_utf16(std::span<const std::byte> bytes, bool big_endian);

}  // namespace blktap::vhd
