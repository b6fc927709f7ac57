// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Footer: the 512 bytes that make a file a VHD image: its last bytes, and in an image that grows also its first.
//
// Fields, and which size holds for which creator: docs/formats/vhd.md. Tested by tests/unit/vhd/footer_test.cpp.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace blktap::vhd {

inline constexpr std::size_t footer_bytes = 512;
/// Virtual PC before 2004 wrote one byte less.
inline constexpr std::size_t footer_bytes_old = 511;
/// 2040 GiB: the largest disk of this format.
inline constexpr std::uint64_t disk_bytes_max = 2040ULL << 30;

enum class DiskType : std::uint32_t { fixed = 2, dynamic = 3, differencing = 4 };

using Uuid = std::array<std::byte, 16>;
std::string to_text(const Uuid& uuid);

struct Geometry {
    std::uint16_t cylinders = 0;
    std::uint8_t heads = 0;
    std::uint8_t sectors_per_track = 0;

    std::uint64_t sectors() const noexcept { return std::uint64_t{cylinders} * heads * sectors_per_track; }
    friend bool operator==(const Geometry&, const Geometry&) = default;
};

/// Returns the geometry by the format's specification: the largest that is not larger than the disk.
Geometry geometry_for(std::uint64_t disk_bytes) noexcept;

/// A footer with a correct checksum. Bytes that are not interpreted keep their values, so other programs' fields stay.
class Footer {
  public:
    /// Parses `bytes`, footer_bytes or one byte less; nullopt if magic number or checksum are wrong.
    static std::optional<Footer> parse(std::span<const std::byte> bytes) noexcept;
    /// Makes the footer of a new image, with the current time and a new UUID. Errors: throws std::system_error (no
    /// random numbers).
    static Footer make(DiskType type, std::uint64_t disk_bytes);
    /// Whether XenServer has marked the image as not to be used.
    static bool disabled(std::span<const std::byte> bytes) noexcept;

    std::span<const std::byte> bytes() const noexcept { return bytes_; }
    std::uint32_t version() const noexcept;
    /// One of DiskType, or another number.
    std::uint32_t type() const noexcept;
    bool is(DiskType wanted) const noexcept { return type() == static_cast<std::uint32_t>(wanted); }
    /// Offset of the header, in an image that is not fixed.
    std::uint64_t data_offset() const noexcept;
    std::uint64_t current_bytes() const noexcept;
    Geometry geometry() const noexcept;
    Uuid uuid() const noexcept;
    /// Four characters.
    std::string creator() const;
    std::uint32_t creator_version() const noexcept;
    /// The size of the disk, by the rule of its creator, as QEMU knows it.
    std::uint64_t disk_bytes() const noexcept;
    /// Sets the size so that every program reads the same one.
    void set_disk_bytes(std::uint64_t disk_bytes) noexcept;

    friend bool operator==(const Footer&, const Footer&) = default;

  private:
    void set_checksum() noexcept;
    std::array<std::byte, footer_bytes> bytes_{};
};

/// The format's checksum: the complement of the sum of all bytes but its own four, at `offset`.
std::uint32_t checksum(std::span<const std::byte> bytes, std::size_t offset) noexcept;

/// Returns a random UUID. Errors: throws std::system_error.
Uuid new_uuid();
/// The current time in the format's units: seconds since the year 2000.
std::uint32_t timestamp_now();

}  // namespace blktap::vhd
