// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/open_image.hpp"

#include <algorithm>
#include <unistd.h>

#include "drivers/qcow2/table_io.hpp"
#include "drivers/shared/bounce_buffer.hpp"
#include "drivers/shared/bytes.hpp"
#include "drivers/shared/image_path.hpp"
#include "drivers/shared/storage_limits.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::qcow2 {
namespace {

[[noreturn]] void refuse(const std::string& name, const std::string& reason) {
    throw_reason(Errc::image_invalid, name + ": " + reason);
}

struct OpenFile {
    Layer layer;
    StorageLimits limits;
};

/// `by`: the image that names it; empty: the operator does.
OpenFile open_file(const std::string& path, const std::string& by, Access access, Caching caching, ImageOpener& files) {
    OpenFile file;
    file.layer.name = path;
    file.layer.fd = by.empty() ? files.open(path, access, caching) : files.open_named(path, by, access, caching);
    file.limits = find_storage_limits(file.layer.fd.get(), path, caching);
    file.layer.file_end = file.limits.size_bytes;
    file.layer.memory_alignment = file.limits.memory_alignment_bytes;
    file.layer.offset_alignment = file.limits.offset_alignment_bytes;
    file.layer.growable = !file.limits.block_device;
    return file;
}

void read_header(Layer& layer) {
    const Mapping first = read_table(layer, 0, std::min<std::uint64_t>(layer.file_end, header_bytes_max));
    layer.header =
        parse_header(first.bytes().first(std::min<std::uint64_t>(layer.file_end, header_bytes_max)), layer.name);
    if (layer.slice_bytes() < layer.offset_alignment) {
        throw_reason(Errc::direct_io_unsupported, layer.name + ": the disk's smallest access, " +
                                                      std::to_string(layer.offset_alignment) +
                                                      " bytes, is larger than the image's clusters or tables");
    }
    layer.size_bytes = layer.header.size_bytes;
}

/// Entries behind the disk's end are kept only of the image that may be written, and become longer.
void read_l1(Layer& layer, bool whole, MemoryBudget& memory) {
    const std::uint64_t bytes = layer.header.l1_count * 8ULL;
    // The last cluster of a file need not be whole: what is missing is zeros, as QEMU reads it.
    const std::uint64_t end = round_up(layer.file_end, layer.cluster_bytes());
    if (layer.header.l1_offset >= layer.file_end || bytes > end - layer.header.l1_offset) {
        refuse(layer.name, "the L1 table is outside of the file");
    }
    const std::uint64_t needed = divide_up(layer.size_bytes, layer.header.bytes_per_table());
    const std::uint64_t count = whole ? layer.header.l1_count : std::min<std::uint64_t>(needed, layer.header.l1_count);
    // All that its clusters have room for: a resize must not allocate.
    const std::uint64_t room = whole ? round_up(bytes, layer.cluster_bytes()) / 8 : count;
    memory.take(room * 8, layer.name, "its L1 table");
    layer.l1.reserve(room);
    constexpr std::uint64_t piece_entries = 8192;  // so that it is not in memory twice
    while (layer.l1.size() < count) {
        const std::uint64_t first = layer.l1.size();
        const std::uint64_t entries = std::min(piece_entries, count - first);
        const Mapping piece = read_table(layer, layer.header.l1_offset + first * 8, entries * 8);
        for (std::uint64_t index = 0; index < entries; ++index)
            layer.l1.push_back(load<std::uint64_t>(piece.bytes(), index * 8));
    }
}

void use_raw(Layer& layer) {
    // What is missing of the last sector is zeros, as QEMU reads it.
    layer.size_bytes = round_up(layer.file_end, sector_size_bytes);
}

[[noreturn]] void refuse_moving(const std::string& name, const std::string& whose, const std::string& path) {
    throw_reason(std::make_error_code(std::errc::not_supported),
                 name + ": its " + whose + " is '" + path + "', which begins where QEMU runs; a path without 'file:' " +
                     "begins at the image");
}

void require_usable_backing(const std::string& name, const Header& header) {
    if (header.backing_file.starts_with("json:")) {
        throw_reason(std::make_error_code(std::errc::not_supported),
                     name + ": its backing file is not named by a path but by a description (json:)");
    }
    if (depends_on_working_directory(header.backing_file)) refuse_moving(name, "backing file", header.backing_file);
    if (header.backing_format.empty()) {
        refuse(name, "does not say what format its backing file '" + header.backing_file +
                         "' has, and it is not guessed (qemu-img rebase -u -F FORMAT -b FILE says it)");
    }
    if (header.backing_format == "raw" || header.backing_format == "qcow2") return;
    throw_reason(
        std::make_error_code(std::errc::not_supported),
        name + ": its backing file has the format '" + header.backing_format + "'; only raw and qcow2 are known");
}

bool same_file(const StorageLimits& one, const StorageLimits& other) {
    if (one.block_device != other.block_device) return false;
    if (one.block_device) return one.status.st_rdev == other.status.st_rdev;
    return one.status.st_dev == other.status.st_dev && one.status.st_ino == other.status.st_ino;
}

class ChainOpener {
  public:
    ChainOpener(OpenedImage& image, Caching caching, ImageOpener& files)
        : image_(image), caching_(caching), files_(files) {}

    void add_backing_of(const Layer& layer) {
        const std::string name = layer.name;
        try {
            add(path_beside(name, layer.header.backing_file), layer.header.backing_format, Access::read_only);
        } catch (const std::system_error& error) {
            throw_reason(error.code(), name + ": its backing file cannot be used: " + error.what());
        }
    }

    void add(const std::string& path, const std::string& format, Access access, const std::string& data_file = {}) {
        const auto same_path = [&](const Layer& layer) { return layer.name == path; };
        if (std::ranges::any_of(image_.chain, same_path)) refuse_loop(path);
        if (image_.chain.size() == chain_length_max) refuse(path, "the chain of backing files is too long");
        const std::string by = image_.chain.empty() ? std::string{} : image_.chain.back().name;
        OpenFile file = open_file(path, by, access, caching_, files_);
        for (const StorageLimits& other : limits_) {
            if (same_file(file.limits, other)) refuse_loop(path);
        }
        limits_.push_back(file.limits);
        file.layer.raw = format == "raw";
        if (file.layer.raw) {
            use_raw(file.layer);
        } else {
            read_header(file.layer);
            read_l1(file.layer, image_.chain.empty(), *image_.memory);
        }
        note_limits(file);
        image_.memory->take(BounceBuffer::size_bytes, path, "its buffers");
        if (file.layer.header.external_data()) {
            add_data_file(file.layer, data_file, access);
        } else if (!data_file.empty()) {
            throw_reason(std::make_error_code(std::errc::invalid_argument),
                         path + ": has no data file, but one is given");
        }
        image_.chain.push_back(std::move(file.layer));
    }

  private:
    void add_data_file(Layer& layer, const std::string& given, Access access) {
        const std::string& name = given.empty() ? layer.header.data_file : given;
        if (name.empty()) refuse(layer.name, "does not say what its data file is");
        if (name.starts_with("json:")) refuse(layer.name, "its data file is not named by a path");
        if (depends_on_working_directory(name)) refuse_moving(layer.name, "data file", name);
        const std::string path = path_beside(layer.name, name);
        const StorageLimits limits = open_data_file(layer, path, access, given.empty());
        for (const StorageLimits& other : limits_) {
            if (same_file(limits, other)) refuse(layer.name, "its data file, '" + path + "', is an image of its chain");
        }
        limits_.push_back(limits);
        layer.data_file_end = limits.size_bytes;
        layer.memory_alignment = std::max(layer.memory_alignment, limits.memory_alignment_bytes);
        layer.offset_alignment = std::max(layer.offset_alignment, limits.offset_alignment_bytes);
        note_storage(limits);
        if (access == Access::read_write) make_long_enough(layer, limits);
        if (!image_.chain.empty()) return;
        // What is discarded need not read as zeros in the file itself.
        image_.info.discard = image_.info.discard && !layer.header.raw_data();
    }

    StorageLimits open_data_file(Layer& layer, const std::string& path, Access access, bool named_by_image) const {
        layer.data_path = path;
        try {
            layer.data_fd = named_by_image ? files_.open_named(path, layer.name, access, caching_)
                                           : files_.open(path, access, caching_);
            return find_storage_limits(layer.data_fd.get(), path, caching_);
        } catch (const std::system_error& error) {
            throw_reason(error.code(), layer.name + ": its data file cannot be used: " + error.what());
        }
    }

    /// Behind a file's end a read would see zeros where a write has been.
    static void make_long_enough(Layer& layer, const StorageLimits& limits) {
        if (layer.data_file_end >= layer.size_bytes) return;
        const std::string file = "its data file, '" + layer.data_path + "', ";
        if (limits.block_device) refuse(layer.name, file + "is smaller than the disk whose data it holds");
        if (::ftruncate(layer.data_fd.get(), static_cast<off_t>(layer.size_bytes)) != 0) {
            throw_system_error(layer.name + ": " + file + "cannot be made as long as the disk");
        }
        layer.data_file_end = layer.size_bytes;
    }

    [[noreturn]] void refuse_loop(const std::string& path) const {
        refuse(path, "is its own backing file, by way of " + std::to_string(image_.chain.size()) + " images");
    }

    /// Requests reach every file of the chain.
    void note_limits(const OpenFile& file) {
        ImageInfo& info = image_.info;
        note_storage(file.limits);
        if (!image_.chain.empty()) return;
        info.size_sectors = file.layer.size_bytes / sector_size_bytes;
        info.discard = file.layer.header.version > 2 || file.layer.header.backing_file.empty();
        info.discard_granularity_bytes = static_cast<std::uint32_t>(file.layer.cluster_bytes());
    }

    void note_storage(const StorageLimits& limits) {
        ImageInfo& info = image_.info;
        info.memory_alignment_bytes = std::max(info.memory_alignment_bytes, limits.memory_alignment_bytes);
        info.zero_copy_safe = info.zero_copy_safe && limits.zero_copy_safe;
        if (!image_.chain.empty()) return;
        info.write_alignment_bytes = std::max(info.write_alignment_bytes, limits.offset_alignment_bytes);
        info.physical_sector_size_bytes = std::max(
            {info.physical_sector_size_bytes, limits.physical_sector_size_bytes, limits.offset_alignment_bytes});
    }

    OpenedImage& image_;
    const Caching caching_;
    ImageOpener& files_;
    std::vector<StorageLimits> limits_;
};

}  // namespace

OpenedImage open_chain(const std::string& path, Access access, Caching caching, ImageOpener& files,
                       const std::string& data_file, std::uint64_t memory_bytes) {
    OpenedImage image;
    image.memory = std::make_unique<MemoryBudget>(memory_bytes);
    image.info.read_only = access == Access::read_only;
    ChainOpener opener{image, caching, files};
    opener.add(path, "qcow2", access, data_file);
    for (;;) {
        const Layer& last = image.chain.back();
        if (last.raw || last.header.backing_file.empty()) break;
        require_usable_backing(last.name, last.header);
        opener.add_backing_of(last);
    }
    if (access == Access::read_write) image.refcounts = prepare_for_writing(image.chain.front(), *image.memory);
    return image;
}

}  // namespace blktap::qcow2
