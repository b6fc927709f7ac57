// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/create.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fcntl.h>
#include <span>
#include <unistd.h>
#include <vector>

#include "drivers/qcow2/metadata/header.hpp"
#include "drivers/qcow2/open_image.hpp"
#include "drivers/shared/blocking_io.hpp"
#include "drivers/shared/bytes.hpp"
#include "drivers/shared/disk_size.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/unique_fd.hpp"
#include "libblktap/base/units.hpp"
#include "libblktap/files/image_path.hpp"

namespace blktap::qcow2 {
namespace {

// Positions of the tables, in clusters.
constexpr std::uint64_t refcount_table = 1;
constexpr std::uint64_t refcount_block = 2;
constexpr std::uint64_t l1_table = 3;

constexpr std::uint64_t cluster_bytes_min = 4096;
constexpr std::uint64_t cluster_bytes_max = 2ULL << 20;

[[noreturn]] void refuse(const NewImage& image, const std::string& reason) {
    throw_reason(std::make_error_code(std::errc::invalid_argument), image.path + ": " + reason);
}

/// Returns the bytes of the disk that one entry of the L1 table maps.
std::uint64_t bytes_per_entry(const NewImage& image) {
    return image.cluster_bytes / (image.extended_l2 ? 16 : 8) * image.cluster_bytes;
}

std::uint64_t l1_entries(const NewImage& image) {
    return (image.size_bytes - 1) / bytes_per_entry(image) + 1;
}

std::uint64_t l1_clusters(const NewImage& image) {
    return (l1_entries(image) * 8 + image.cluster_bytes - 1) / image.cluster_bytes;
}

/// Returns the largest size with these clusters. One refcount block of 16-bit counts covers the initial clusters.
std::uint64_t size_max(const NewImage& image) {
    const std::uint64_t l1_clusters_max = image.cluster_bytes / 2 - l1_table;
    const std::uint64_t entries = std::min(l1_clusters_max * image.cluster_bytes, l1_bytes_max) / 8;
    constexpr std::uint64_t most = round_down(INT64_MAX, sector_size_bytes);
    return entries > most / bytes_per_entry(image) ? most : entries * bytes_per_entry(image);
}

void require_possible(const NewImage& image) {
    const bool clusters = std::has_single_bit(image.cluster_bytes) && image.cluster_bytes >= cluster_bytes_min &&
                          image.cluster_bytes <= cluster_bytes_max;
    if (!clusters) refuse(image, "clusters are a power of two from 4096 bytes to 2M");
    if (image.extended_l2 && image.cluster_bytes < 1ULL << extended_cluster_bits_min) {
        refuse(image, "clusters with subclusters have at least 16384 bytes");
    }
    if (const auto problem = size_problem(image.size_bytes)) refuse(image, *problem);
    if (image.size_bytes > size_max(image)) {
        refuse(image, "with clusters of " + size_argument(image.cluster_bytes) + " a disk has at most " +
                          size_argument(size_max(image)));
    }
    if (image.data_file.size() > backing_name_max) refuse(image, "the name of its data file is too long");
    if (image.raw_data && (image.data_file.empty() || !image.backing_file.empty())) {
        refuse(image, "a raw data file needs a data file, and no backing file");
    }
    if (image.backing_file.empty()) return;
    if (image.backing_format != "raw" && image.backing_format != "qcow2") {
        refuse(image, "the format of its backing file must be raw or qcow2");
    }
    if (image.backing_file.size() > backing_name_max) refuse(image, "the name of its backing file is too long");
}

/// Writes one header extension at `at`; returns where the next one begins.
std::size_t put_extension(std::span<std::byte> bytes, std::size_t at, std::uint32_t type, const std::string& text) {
    store(bytes, at, type);
    store(bytes, at + 4, static_cast<std::uint32_t>(text.size()));
    std::memcpy(bytes.data() + at + 8, text.data(), text.size());
    return at + 8 + round_up(text.size(), 8);
}

/// Writes the names of other files behind the header.
void put_names(const NewImage& image, std::span<std::byte> bytes) {
    std::size_t at = header_length_v3;
    if (!image.backing_file.empty()) at = put_extension(bytes, at, extension_backing_format, image.backing_format);
    if (!image.data_file.empty()) at = put_extension(bytes, at, extension_data_file, image.data_file);
    at += 8;  // an extension of type 0 ends the list: zeros
    if (image.backing_file.empty()) return;
    store<std::uint64_t>(bytes, header_offset::backing_name_offset, at);
    store(bytes, header_offset::backing_name_length, static_cast<std::uint32_t>(image.backing_file.size()));
    std::memcpy(bytes.data() + at, image.backing_file.data(), image.backing_file.size());
}

/// Returns the header and the tables behind it.
std::vector<std::byte> first_clusters(const NewImage& image) {
    const std::uint64_t cluster = image.cluster_bytes;
    std::vector<std::byte> bytes((l1_table + l1_clusters(image)) * cluster);
    store<std::uint32_t>(bytes, 0, magic);
    store<std::uint32_t>(bytes, header_offset::version, 3);
    store<std::uint32_t>(bytes, header_offset::cluster_bits, static_cast<std::uint32_t>(std::countr_zero(cluster)));
    store<std::uint64_t>(bytes, header_offset::size_bytes, image.size_bytes);
    store<std::uint32_t>(bytes, header_offset::l1_count, static_cast<std::uint32_t>(l1_entries(image)));
    store<std::uint64_t>(bytes, header_offset::l1_offset, l1_table * cluster);
    store<std::uint64_t>(bytes, header_offset::refcount_table_offset, refcount_table * cluster);
    store<std::uint32_t>(bytes, header_offset::refcount_table_clusters, 1);
    store(bytes, header_offset::incompatible,
          (image.extended_l2 ? incompatible_extended_l2 : 0) |
              (image.data_file.empty() ? 0 : incompatible_external_data));
    store(bytes, header_offset::autoclear, image.raw_data ? autoclear_raw_data : 0);
    store<std::uint32_t>(bytes, header_offset::refcount_order, 4);
    store<std::uint32_t>(bytes, header_offset::header_length, header_length_v3);
    put_names(image, bytes);
    store<std::uint64_t>(bytes, refcount_table * cluster, refcount_block * cluster);
    for (std::uint64_t used = 0; used * cluster < bytes.size(); ++used)
        store<std::uint16_t>(bytes, refcount_block * cluster + used * 2, 1);
    return bytes;
}

/// Makes the file at `path` with `bytes` at its beginning and a length of `length`.
void make_file(const std::string& path, std::span<const std::byte> bytes, std::uint64_t length) {
    const UniqueFd fd{::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (!fd) throw_system_error(path + ": cannot create");
    std::error_code error = write_at(fd.get(), bytes, 0);
    if (!error && ::ftruncate(fd.get(), static_cast<off_t>(length)) != 0) error = last_system_error();
    if (!error && ::fsync(fd.get()) != 0) error = last_system_error();
    if (!error) error = sync_directory_of(path);
    if (!error) return;
    ::unlink(path.c_str());
    throw_error(error, path + ": cannot write");
}

}  // namespace

void create_image(const NewImage& image) {
    require_possible(image);
    const std::string data_path = image.data_file.empty() ? "" : path_beside(image.path, image.data_file);
    if (!data_path.empty()) make_file(data_path, {}, image.size_bytes);
    try {
        const std::vector<std::byte> bytes = first_clusters(image);
        make_file(image.path, bytes, bytes.size());
    } catch (const std::system_error&) {
        if (!data_path.empty()) ::unlink(data_path.c_str());
        throw;
    }
}

}  // namespace blktap::qcow2
