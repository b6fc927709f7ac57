// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/metadata/footer.hpp"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstring>
#include <sys/random.h>

#include "drivers/shared/bytes.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/units.hpp"

namespace blktap::vhd {
namespace {

// Offsets of fields.
constexpr std::size_t features_at = 8;
constexpr std::size_t version_at = 12;
constexpr std::size_t data_offset_at = 16;
constexpr std::size_t timestamp_at = 24;
constexpr std::size_t creator_at = 28;
constexpr std::size_t creator_version_at = 32;
constexpr std::size_t creator_system_at = 36;
constexpr std::size_t original_bytes_at = 40;
constexpr std::size_t current_bytes_at = 48;
constexpr std::size_t geometry_at = 56;
constexpr std::size_t type_at = 60;
constexpr std::size_t checksum_at = 64;
constexpr std::size_t uuid_at = 68;

constexpr char magic[] = "conectix";
constexpr char magic_of_disabled[] = "v_poison";
constexpr std::uint32_t feature_always_set = 2;
/// The creator that QEMU writes since 2.3 for images whose size is the current size and not the geometry's.
constexpr char creator_of_ours[] = "qem2";
constexpr std::uint64_t year_2000 = 946684800;

constexpr Geometry largest_geometry{65535, 16, 255};

bool begins_with(std::span<const std::byte> bytes, const char* text) noexcept {
    return std::memcmp(bytes.data(), text, std::strlen(text)) == 0;
}

}  // namespace

std::string to_text(const Uuid& uuid) {
    std::string text;
    for (std::size_t i = 0; i < uuid.size(); ++i) {
        constexpr char digits[] = "0123456789abcdef";
        const auto value = static_cast<unsigned>(uuid[i]);
        if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
        text += digits[value >> 4];
        text += digits[value & 15];
    }
    return text;
}

std::uint32_t checksum(std::span<const std::byte> bytes, std::size_t offset) noexcept {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        if (i < offset || i >= offset + 4) sum += static_cast<std::uint32_t>(bytes[i]);
    }
    return ~sum;
}

Geometry geometry_for(std::uint64_t disk_bytes) noexcept {
    std::uint64_t sectors = disk_bytes / sector_size_bytes;
    if (sectors >= largest_geometry.sectors()) return largest_geometry;
    std::uint64_t per_track = 255;
    std::uint64_t heads = 16;
    if (sectors < std::uint64_t{65535} * 16 * 63) {
        per_track = 17;
        heads = std::max<std::uint64_t>(4, (sectors / per_track + 1023) / 1024);
        if (sectors / per_track >= heads * 1024 || heads > 16) {
            per_track = 31;
            heads = 16;
        }
        if (sectors / per_track >= heads * 1024) {
            per_track = 63;
            heads = 16;
        }
    }
    return {static_cast<std::uint16_t>(sectors / per_track / heads), static_cast<std::uint8_t>(heads),
            static_cast<std::uint8_t>(per_track)};
}

Uuid new_uuid() {
    Uuid uuid{};
    if (::getrandom(uuid.data(), uuid.size(), 0) != static_cast<ssize_t>(uuid.size())) throw_system_error("getrandom");
    // Version 4, RFC 4122 variant.
    uuid[6] = (uuid[6] & std::byte{0x0f}) | std::byte{0x40};
    uuid[8] = (uuid[8] & std::byte{0x3f}) | std::byte{0x80};
    return uuid;
}

std::uint32_t timestamp_now() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<std::uint32_t>(
        static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count()) - year_2000);
}

std::optional<Footer> Footer::parse(std::span<const std::byte> bytes) noexcept {
    Footer footer;
    if (bytes.size() < footer_bytes_old || !begins_with(bytes, magic)) return std::nullopt;
    std::ranges::copy(bytes.first(std::min(bytes.size(), footer_bytes)), footer.bytes_.begin());
    if (checksum(footer.bytes_, checksum_at) != load<std::uint32_t>(footer.bytes_, checksum_at)) return std::nullopt;
    return footer;
}

bool Footer::disabled(std::span<const std::byte> bytes) noexcept {
    return bytes.size() >= footer_bytes_old && begins_with(bytes, magic_of_disabled);
}

Footer Footer::make(DiskType type, std::uint64_t disk_bytes) {
    Footer footer;
    const std::span bytes{footer.bytes_};
    std::memcpy(bytes.data(), magic, 8);
    store<std::uint32_t>(bytes, features_at, feature_always_set);
    store<std::uint32_t>(bytes, version_at, 0x00010000);
    store<std::uint64_t>(bytes, data_offset_at, type == DiskType::fixed ? ~std::uint64_t{0} : footer_bytes);
    store<std::uint32_t>(bytes, timestamp_at, timestamp_now());
    store<std::uint32_t>(bytes, creator_version_at, 0x00050003);
    std::memcpy(bytes.data() + creator_system_at, "Wi2k", 4);
    store<std::uint64_t>(bytes, original_bytes_at, disk_bytes);
    store<std::uint32_t>(bytes, type_at, static_cast<std::uint32_t>(type));
    std::ranges::copy(new_uuid(), bytes.begin() + uuid_at);
    footer.set_disk_bytes(disk_bytes);
    return footer;
}

std::uint32_t Footer::version() const noexcept {
    return load<std::uint32_t>(bytes_, version_at);
}

std::uint32_t Footer::type() const noexcept {
    return load<std::uint32_t>(bytes_, type_at);
}

std::uint64_t Footer::data_offset() const noexcept {
    return load<std::uint64_t>(bytes_, data_offset_at);
}

std::uint64_t Footer::current_bytes() const noexcept {
    return load<std::uint64_t>(bytes_, current_bytes_at);
}

Geometry Footer::geometry() const noexcept {
    return {load<std::uint16_t>(bytes_, geometry_at), load<std::uint8_t>(bytes_, geometry_at + 2),
            load<std::uint8_t>(bytes_, geometry_at + 3)};
}

Uuid Footer::uuid() const noexcept {
    Uuid uuid{};
    std::memcpy(uuid.data(), bytes_.data() + uuid_at, uuid.size());
    return uuid;
}

std::string Footer::creator() const {
    std::string text;
    for (std::size_t i = 0; i < 4; ++i) {
        const auto character = load<unsigned char>(bytes_, creator_at + i);
        if (character != 0) text += std::isprint(character) != 0 ? static_cast<char>(character) : '?';
    }
    return text;
}

std::uint32_t Footer::creator_version() const noexcept {
    return load<std::uint32_t>(bytes_, creator_version_at);
}

std::uint64_t Footer::disk_bytes() const noexcept {
    const std::span creator = std::span{bytes_}.subspan(creator_at, 4);
    const bool by_geometry = begins_with(creator, "vpc ") || begins_with(creator, "qemu");
    // With the largest geometry the disk may be larger than the geometry.
    if (!by_geometry || geometry().sectors() == largest_geometry.sectors()) return current_bytes();
    return geometry().sectors() * sector_size_bytes;
}

void Footer::set_disk_bytes(std::uint64_t disk_bytes) noexcept {
    const std::span bytes{bytes_};
    const Geometry geometry = geometry_for(disk_bytes);
    store<std::uint64_t>(bytes, current_bytes_at, disk_bytes);
    store<std::uint16_t>(bytes, geometry_at, geometry.cylinders);
    store<std::uint8_t>(bytes, geometry_at + 2, geometry.heads);
    store<std::uint8_t>(bytes, geometry_at + 3, geometry.sectors_per_track);
    if (this->disk_bytes() != disk_bytes || load<std::uint32_t>(bytes, creator_at) == 0) {
        std::memcpy(bytes.data() + creator_at, creator_of_ours, 4);
    }
    set_checksum();
}

void Footer::set_checksum() noexcept {
    store<std::uint32_t>(bytes_, checksum_at, checksum(bytes_, checksum_at));
}

}  // namespace blktap::vhd
