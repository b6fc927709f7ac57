// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/metadata/header.hpp"

#include <algorithm>
#include <bit>
#include <cctype>
#include <optional>

#include "drivers/shared/bytes.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/units.hpp"

namespace blktap::qcow2 {
namespace {

constexpr std::size_t length_v2 = 72;
constexpr std::size_t compression_offset = 104;
constexpr std::uint32_t snapshots_max = 65536;

// Incompatible features.
constexpr std::uint64_t compression_type = 1U << 3;
constexpr std::uint64_t implemented = incompatible_dirty | incompatible_corrupt | incompatible_external_data |
                                      compression_type | incompatible_extended_l2;

// Header extensions.
constexpr std::uint32_t extension_end = 0;
constexpr std::uint32_t extension_feature_names = 0x6803f857;

[[noreturn]] void refuse(const std::string& name, const std::string& reason) {
    throw_reason(Errc::image_invalid, name + ": " + reason);
}

[[noreturn]] void refuse_feature(const std::string& name, const std::string& feature) {
    throw_reason(std::make_error_code(std::errc::not_supported), name + ": " + feature);
}

std::string text_of(std::span<const std::byte> bytes) {
    std::string text;
    for (const std::byte byte : bytes) {
        const auto character = static_cast<unsigned char>(byte);
        if (character == 0) break;
        text += std::isprint(character) != 0 ? static_cast<char>(character) : '?';
    }
    return text;
}

/// Returns a file's name from its bytes.
std::string name_in(std::span<const std::byte> bytes, const std::string& whose, const std::string& name) {
    std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (text.find('\0') != std::string::npos) refuse(name, "a NUL in the name of its " + whose);
    return text;
}

struct Extensions {
    std::string backing_format;
    std::string data_file;
    std::span<const std::byte> feature_names;
};

Extensions read_extensions(std::span<const std::byte> bytes, std::size_t begin, std::size_t end,
                           const std::string& name) {
    Extensions result;
    for (std::size_t at = begin; end - at >= 8;) {
        const auto type = load<std::uint32_t>(bytes, at);
        const std::size_t length = load<std::uint32_t>(bytes, at + 4);
        at += 8;
        if (type == extension_end) break;
        if (length > end - at) refuse(name, "a header extension is longer than the header");
        if (type == extension_backing_format) result.backing_format = text_of(bytes.subspan(at, length));
        if (type == extension_data_file) result.data_file = name_in(bytes.subspan(at, length), "data file", name);
        if (type == extension_feature_names) result.feature_names = bytes.subspan(at, length);
        at += std::min<std::size_t>(round_up(length, 8), end - at);
    }
    return result;
}

/// Returns the image's own name of an incompatible feature, from entries of type, bit number, and 46 bytes of name.
std::string feature_name(std::span<const std::byte> table, unsigned bit) {
    for (std::size_t at = 0; table.size() - at >= 48; at += 48) {
        if (load<std::uint8_t>(table, at) != 0 || load<std::uint8_t>(table, at + 1) != bit) continue;
        return "'" + text_of(table.subspan(at + 2, 46)) + "' (bit " + std::to_string(bit) + ")";
    }
    return "bit " + std::to_string(bit);
}

void require_known_features(const Header& header, std::span<const std::byte> feature_names, const std::string& name) {
    const std::uint64_t unknown = header.incompatible & ~implemented;
    if (unknown == 0) return;
    const auto bit = static_cast<unsigned>(std::countr_zero(unknown));
    refuse_feature(name, "needs the unknown feature " + feature_name(feature_names, bit));
}

void read_version_3(Header& header, std::span<const std::byte> bytes, std::size_t& length, const std::string& name) {
    if (bytes.size() < header_length_v3) refuse(name, "the header is cut off");
    header.incompatible = load<std::uint64_t>(bytes, header_offset::incompatible);
    header.autoclear = load<std::uint64_t>(bytes, header_offset::autoclear);
    header.refcount_order = load<std::uint32_t>(bytes, header_offset::refcount_order);
    length = load<std::uint32_t>(bytes, header_offset::header_length);
    if (length < header_length_v3 || length > header.cluster_bytes() || length > bytes.size()) {
        refuse(name, "the header's length, " + std::to_string(length) + ", is impossible");
    }
    if (header.refcount_order > 6) refuse(name, "refcounts of more than 64 bits");
    const auto type = length > compression_offset ? load<std::uint8_t>(bytes, compression_offset) : std::uint8_t{0};
    const bool said = (header.incompatible & compression_type) != 0;
    if (said != (type != 0)) refuse(name, "the compression type contradicts the features");
    if (type > 1) refuse_feature(name, "compression type " + std::to_string(type) + " is unknown");
    header.compression = static_cast<Compression>(type);
}

void read_backing_file(Header& header, std::span<const std::byte> bytes, const std::string& name) {
    const auto offset = load<std::uint64_t>(bytes, header_offset::backing_name_offset);
    const auto length = load<std::uint32_t>(bytes, header_offset::backing_name_length);
    if (offset == 0 || length == 0) return;
    const std::uint64_t end = std::min<std::uint64_t>(bytes.size(), header.cluster_bytes());
    if (length > backing_name_max || offset > end || length > end - offset) {
        refuse(name, "the name of its backing file is outside of the first cluster, or too long");
    }
    header.backing_file = name_in(bytes.subspan(offset, length), "backing file", name);
}

void check_tables(const Header& header, const std::string& name) {
    const std::uint64_t cluster = header.cluster_bytes();
    if (header.extended_l2() && header.cluster_bits < extended_cluster_bits_min) {
        refuse(name, "clusters of less than 16384 bytes have no subclusters");
    }
    const std::string size = "the disk's size, " + std::to_string(header.size_bytes) + " bytes, ";
    if (header.size_bytes > INT64_MAX) refuse(name, size + "is impossible");
    if (!is_aligned(header.size_bytes, sector_size_bytes)) refuse(name, size + "is not a multiple of 512");
    if (header.size_bytes == 0) refuse(name, "its size is 0");
    if (header.l1_count > l1_bytes_max / 8) refuse(name, "the L1 table is too large");
    if ((header.size_bytes - 1) / header.bytes_per_table() + 1 > header.l1_count)
        refuse(name, "the L1 table is too small");
    if (!is_aligned(header.l1_offset, cluster) || header.l1_offset == 0 || header.l1_offset > INT64_MAX) {
        refuse(name, "the L1 table is misplaced");
    }
    const std::uint64_t refcount_bytes = header.refcount_table_clusters * cluster;
    if (refcount_bytes > refcount_table_bytes_max || refcount_bytes == 0) {
        refuse(name, "the refcount table's size is impossible");
    }
    const std::uint64_t at = header.refcount_table_offset;
    if (!is_aligned(at, cluster) || at == 0 || at > INT64_MAX) refuse(name, "the refcount table is misplaced");
    if (header.snapshot_count > snapshots_max) refuse(name, "too many snapshots");
}

}  // namespace

Header parse_header(std::span<const std::byte> bytes, const std::string& name) {
    if (bytes.size() < length_v2 || load<std::uint32_t>(bytes, 0) != magic) refuse(name, "not a qcow2 image");
    Header header;
    header.version = load<std::uint32_t>(bytes, header_offset::version);
    if (header.version != 2 && header.version != 3) {
        refuse_feature(name, "version " + std::to_string(header.version) + " of qcow2 is unknown");
    }
    header.cluster_bits = load<std::uint32_t>(bytes, header_offset::cluster_bits);
    if (header.cluster_bits < 9 || header.cluster_bits > 21) refuse(name, "the size of its clusters is impossible");
    header.size_bytes = load<std::uint64_t>(bytes, header_offset::size_bytes);
    const auto encryption = load<std::uint32_t>(bytes, 32);
    header.l1_count = load<std::uint32_t>(bytes, header_offset::l1_count);
    header.l1_offset = load<std::uint64_t>(bytes, header_offset::l1_offset);
    header.refcount_table_offset = load<std::uint64_t>(bytes, header_offset::refcount_table_offset);
    header.refcount_table_clusters = load<std::uint32_t>(bytes, header_offset::refcount_table_clusters);
    header.snapshot_count = load<std::uint32_t>(bytes, 60);

    std::size_t length = length_v2;
    if (header.version == 3) read_version_3(header, bytes, length, name);
    read_backing_file(header, bytes, name);
    // Extensions end where the backing file's name begins.
    std::uint64_t end = std::min<std::uint64_t>(bytes.size(), header.cluster_bytes());
    if (!header.backing_file.empty())
        end = std::min(end, load<std::uint64_t>(bytes, header_offset::backing_name_offset));
    if (end < length) refuse(name, "the header is longer than its place");
    const Extensions extensions = read_extensions(bytes, length, static_cast<std::size_t>(end), name);
    header.backing_format = extensions.backing_format;
    if (header.external_data()) header.data_file = extensions.data_file;
    require_known_features(header, extensions.feature_names, name);
    if (encryption != 0) refuse_feature(name, "encrypted images are not supported");
    check_tables(header, name);
    return header;
}

}  // namespace blktap::qcow2
