// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/create.hpp"

#include <algorithm>
#include <bit>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>
#include <vector>

#include "drivers/shared/blocking_io.hpp"
#include "drivers/shared/disk_size.hpp"
#include "drivers/vhd/allocator.hpp"
#include "drivers/vhd/metadata/parent_path.hpp"
#include "drivers/vhd/open_image.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/files/local_image_opener.hpp"
#include "libblktap/files/storage_limits.hpp"

namespace blktap::vhd {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t table_offset = footer_bytes + header_bytes;

[[noreturn]] void refuse(const NewImage& image, const std::string& reason) {
    throw_reason(std::make_error_code(std::errc::invalid_argument), image.path + ": " + reason);
}

std::uint64_t block_count(const NewImage& image) {
    return (image.size_bytes - 1) / image.block_bytes + 1;
}

/// Whether a table can express the offsets of all blocks, of `block_bytes` each.
bool are_addressable(const NewImage& image, std::uint64_t block_bytes) {
    const std::uint64_t count = (image.size_bytes - 1) / block_bytes + 1;
    return count <= table_entries_max && Allocator::fits(count, block_bytes, table_offset + count * 4);
}

void require_possible(const NewImage& image) {
    const bool blocks = std::has_single_bit(image.block_bytes) && image.block_bytes >= block_bytes_min &&
                        image.block_bytes <= block_bytes_max;
    if (!blocks) refuse(image, "blocks are a power of two from 4096 bytes to 256M");
    if (const auto problem = size_problem(image.size_bytes)) refuse(image, *problem);
    if (image.size_bytes > disk_bytes_max) refuse(image, "a VHD has at most 2040 GiB");
    if (image.fixed) {
        if (!image.parent.empty()) refuse(image, "a fixed image cannot have a parent");
        if (image.block_bytes != block_bytes_usual) refuse(image, "a fixed image has no blocks");
        return;
    }
    if (are_addressable(image, image.block_bytes)) return;
    std::uint64_t enough = image.block_bytes * 2;
    while (enough < block_bytes_usual && !are_addressable(image, enough))
        enough *= 2;
    refuse(image, "a disk of " + size_argument(image.size_bytes) + " needs blocks of at least " +
                      size_argument(enough) + ", not " + size_argument(image.block_bytes));
}

/// Returns the smallest direct I/O for the file at `path`; a sector if direct I/O is not supported.
std::uint64_t smallest_access(const std::string& path) {
    const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC)};
    if (!fd) return sector_size_bytes;
    try {
        return find_storage_limits(fd.get(), path, Caching::direct).offset_alignment_bytes;
    } catch (const std::system_error&) {
        return sector_size_bytes;
    }
}

/// Throws if a fixed image could never be written: it ends with a footer of 512 bytes, less than a larger direct I/O.
void require_writable_end(const NewImage& image) {
    const std::uint64_t unit = smallest_access(image.path);
    if (is_aligned(image.size_bytes + footer_bytes, unit)) return;
    throw_reason(Errc::direct_io_unsupported,
                 image.path + ": the smallest access of this file system's disk is " + std::to_string(unit) +
                     " bytes, and a fixed image, which ends with a footer of 512, could only be read here; one that " +
                     "grows, without --fixed, can be written");
}

/// The paths of a parent: relative to the image, and absolute.
struct ParentPaths {
    std::string relative;
    std::string absolute;
};

ParentPaths paths_of_parent(const NewImage& image) {
    // Canonical paths: behind a link to a folder, ".." does not lead to the folder before it in the text.
    const fs::path directory = fs::weakly_canonical(fs::absolute(image.path).parent_path());
    const fs::path named = directory / image.parent;
    const fs::path parent = fs::weakly_canonical(named.parent_path()) / named.filename();
    const fs::path relative = parent.lexically_relative(directory);
    const std::string prefix = relative.native().starts_with("..") ? "" : "./";
    return {prefix + relative.native(), parent};
}

/// Returns the bytes of the parent's names, for `offset` of the file; sets the header's fields.
std::vector<std::byte> name_parent(const NewImage& image, std::uint64_t offset, Header& header) {
    const ParentPaths paths = paths_of_parent(image);
    header.parent_name = fs::path{paths.absolute}.filename();
    if (!image.parent_is_raw) {
        LocalImageOpener files;
        const OpenedImage parent = open_chain(paths.absolute, Access::read_only, Caching::buffered, files);
        header.parent_uuid = parent.chain.front().footer.uuid();
    }
    const std::pair<std::uint32_t, std::string> names[] = {{platform_url, paths.relative},
                                                           {platform_windows_relative, paths.relative},
                                                           {platform_windows_absolute, paths.absolute}};
    std::vector<std::byte> bytes;
    std::size_t count = 0;
    for (const auto& [platform, path] : names) {
        const auto encoded = encode_parent(platform, path);
        if (encoded.size() > locator_bytes_max) refuse(image, "the name of its parent is too long");
        const std::uint64_t space = round_up(encoded.size(), sector_size_bytes);
        header.locators[count++] = {platform, offset + bytes.size(), static_cast<std::uint32_t>(encoded.size()), space};
        bytes.insert(bytes.end(), encoded.begin(), encoded.end());
        bytes.resize(round_up(bytes.size(), sector_size_bytes));
    }
    return bytes;
}

std::vector<std::byte> describe(const NewImage& image) {
    Header header;
    header.block_bytes = image.block_bytes;
    header.table_offset = table_offset;
    header.table_entries = static_cast<std::uint32_t>(block_count(image));
    const std::uint64_t table_end = table_offset + round_up(header.table_bytes(), sector_size_bytes);
    std::vector<std::byte> names;
    if (!image.parent.empty()) names = name_parent(image, table_end, header);
    const DiskType type = image.parent.empty() ? DiskType::dynamic : DiskType::differencing;
    const Footer footer = Footer::make(type, image.size_bytes);
    std::vector<std::byte> bytes(table_end, std::byte{0xff});
    std::ranges::copy(footer.bytes(), bytes.begin());
    std::ranges::copy(encode_header(header), bytes.begin() + footer_bytes);
    bytes.insert(bytes.end(), names.begin(), names.end());
    bytes.insert(bytes.end(), footer.bytes().begin(), footer.bytes().end());
    return bytes;
}

}  // namespace

void create_image(const NewImage& image) {
    require_possible(image);
    std::vector<std::byte> bytes;
    std::uint64_t offset = 0;
    if (image.fixed) {
        const Footer footer = Footer::make(DiskType::fixed, image.size_bytes);
        bytes.assign(footer.bytes().begin(), footer.bytes().end());
        offset = image.size_bytes;
    } else {
        bytes = describe(image);
    }
    const UniqueFd fd{::open(image.path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (!fd) throw_system_error(image.path + ": cannot create");
    try {
        if (const auto error = write_at(fd.get(), bytes, offset)) throw_error(error, image.path + ": cannot write");
        if (image.fixed) require_writable_end(image);
        if (::fsync(fd.get()) != 0) throw_system_error(image.path + ": cannot write");
        if (const auto error = sync_directory_of(image.path)) throw_error(error, image.path + ": cannot write");
        // The parent must exist, and its chain must not contain this image.
        LocalImageOpener files;
        open_chain(image.path, Access::read_only, Caching::buffered, files);
    } catch (const std::system_error&) {
        ::unlink(image.path.c_str());
        throw;
    }
}

}  // namespace blktap::vhd
