// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Header: the first cluster of a qcow2 image, versions 2 and 3, checked. Its bytes are hostile: each number is bounded
// here, so that no other code has to, and unsupported features are refused by name.
//
// Fields: docs/formats/qcow2.md. Tested by tests/unit/qcow2/header_test.cpp and tests/fuzz/fuzz_qcow2.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace blktap::qcow2 {

inline constexpr std::uint32_t magic = 0x514649fb;  // "QFI\xfb"
inline constexpr std::size_t header_length_v3 = 104;
inline constexpr std::uint32_t backing_name_max = 1023;
inline constexpr std::uint32_t extension_backing_format = 0xe2792aca;
inline constexpr std::uint32_t extension_data_file = 0x44415441;

/// Offsets of fields that are also written.
namespace header_offset {
inline constexpr std::size_t version = 4;
inline constexpr std::size_t backing_name_offset = 8;
inline constexpr std::size_t backing_name_length = 16;
inline constexpr std::size_t cluster_bits = 20;
inline constexpr std::size_t size_bytes = 24;
inline constexpr std::size_t l1_count = 36;
inline constexpr std::size_t l1_offset = 40;
inline constexpr std::size_t refcount_table_offset = 48;
inline constexpr std::size_t refcount_table_clusters = 56;
inline constexpr std::size_t incompatible = 72;
inline constexpr std::size_t autoclear = 88;
inline constexpr std::size_t refcount_order = 96;
inline constexpr std::size_t header_length = 100;
}  // namespace header_offset

inline constexpr std::uint64_t incompatible_dirty = 1U << 0;
inline constexpr std::uint64_t incompatible_corrupt = 1U << 1;
inline constexpr std::uint64_t incompatible_external_data = 1U << 2;
/// Autoclear: its bitmaps are up to date.
inline constexpr std::uint64_t autoclear_bitmaps = 1U << 0;
/// Autoclear: the data file can be read as a raw image of the disk.
inline constexpr std::uint64_t autoclear_raw_data = 1U << 1;
inline constexpr std::uint64_t incompatible_extended_l2 = 1U << 4;
/// Minimum with subclusters, which are never smaller than a sector.
inline constexpr unsigned extended_cluster_bits_min = 14;

/// Limits of the tables, above those of real images: 32 MiB of L1 map 2 PiB with clusters of 64 KiB.
inline constexpr std::uint64_t l1_bytes_max = 32ULL << 20;
inline constexpr std::uint64_t refcount_table_bytes_max = 8ULL << 20;
/// The most bytes that parse_header() needs: the largest cluster.
inline constexpr std::size_t header_bytes_max = 2ULL << 20;

enum class Compression : std::uint8_t { deflate = 0, zstd = 1 };

struct Header {
    std::uint32_t version = 3;
    unsigned cluster_bits = 16;  ///< 9 to 21
    std::uint64_t size_bytes = 0;
    std::uint32_t l1_count = 0;
    std::uint64_t l1_offset = 0;
    std::uint64_t refcount_table_offset = 0;
    std::uint32_t refcount_table_clusters = 0;
    std::uint32_t snapshot_count = 0;
    std::uint64_t incompatible = 0;
    std::uint64_t autoclear = 0;
    unsigned refcount_order = 4;  ///< a refcount has 2^order bits; 0 to 6
    Compression compression = Compression::deflate;
    std::string backing_file;    ///< empty: none
    std::string backing_format;  ///< empty: not named
    std::string data_file;       ///< for an image with external_data(); empty: not named

    std::uint64_t cluster_bytes() const noexcept { return 1ULL << cluster_bits; }
    bool dirty() const noexcept { return (incompatible & incompatible_dirty) != 0; }
    bool corrupt() const noexcept { return (incompatible & incompatible_corrupt) != 0; }
    /// Whether clusters have subclusters, and entries of L2 tables 16 bytes.
    bool extended_l2() const noexcept { return (incompatible & incompatible_extended_l2) != 0; }
    /// Whether the guest's data is in another file, each cluster at its offset on the disk.
    bool external_data() const noexcept { return (incompatible & incompatible_external_data) != 0; }
    bool raw_data() const noexcept { return external_data() && (autoclear & autoclear_raw_data) != 0; }
    bool has_bitmaps() const noexcept { return (autoclear & autoclear_bitmaps) != 0; }
    std::uint64_t l2_entry_bytes() const noexcept { return extended_l2() ? 16 : 8; }
    /// Number of entries in an L2 table, which is one cluster.
    std::uint64_t table_entries() const noexcept { return cluster_bytes() / l2_entry_bytes(); }
    std::uint64_t bytes_per_table() const noexcept { return table_entries() * cluster_bytes(); }
};

/// Parses the header of the image `name` from its first bytes: the whole first cluster, or the whole file if that is
/// shorter. Checks the offsets of tables, but not the tables.
/// Errors: throws std::system_error, Errc::image_invalid (malformed; a number out of bounds) or ENOTSUP (an unsupported
/// feature, by name), with a text that begins with `name`.
Header parse_header(std::span<const std::byte> bytes, const std::string& name);

}  // namespace blktap::qcow2
