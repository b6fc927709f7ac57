// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/open_image.hpp"

#include <algorithm>
#include <unistd.h>

#include "drivers/qcow2/table_io.hpp"
#include "drivers/shared/bytes.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/files/image_path.hpp"
#include "libblktap/files/storage_limits.hpp"

namespace blktap::qcow2 {
namespace {

[[noreturn]] void refuse(const std::string& name, const std::string& reason) {
    throw_reason(Errc::image_invalid, name + ": " + reason);
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

/// Reads the L1 table. Entries behind the disk's end are kept only for an image that is written, whose table may grow.
void read_l1(Layer& layer, bool whole, MemoryBudget& memory) {
    const std::uint64_t bytes = layer.header.l1_count * 8ULL;
    // The last cluster of a file may be incomplete: the missing part reads as zeros, as in QEMU.
    const std::uint64_t end = round_up(layer.file_end, layer.cluster_bytes());
    if (layer.header.l1_offset >= layer.file_end || bytes > end - layer.header.l1_offset) {
        refuse(layer.name, "the L1 table is outside of the file");
    }
    const std::uint64_t needed = divide_up(layer.size_bytes, layer.header.bytes_per_table());
    const std::uint64_t count = whole ? layer.header.l1_count : std::min<std::uint64_t>(needed, layer.header.l1_count);
    // Reserve the table's whole clusters: a resize must not allocate.
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
    // The missing part of the last sector reads as zeros, as in QEMU.
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

class ChainOpener {
  public:
    ChainOpener(OpenedImage& image, Caching caching, ImageOpener& files)
        : image_(image), files_(image.info, caching, files, "backing file") {}

    void add_backing_of(const Layer& layer) {
        const std::string name = layer.name;
        try {
            add(path_beside(name, layer.header.backing_file), layer.header.backing_format, Access::read_only);
        } catch (const std::system_error& error) {
            throw_reason(error.code(), name + ": its backing file cannot be used: " + error.what());
        }
    }

    void add(const std::string& path, const std::string& format, Access access, const std::string& data_file = {}) {
        Layer layer;
        const StorageLimits limits = files_.open(layer, path, access);
        layer.raw = format == "raw";
        if (layer.raw) {
            use_raw(layer);
        } else {
            read_header(layer);
            read_l1(layer, image_.chain.empty(), *image_.memory);
        }
        if (image_.chain.empty()) describe_disk(layer);
        files_.keep(layer, limits, *image_.memory);
        if (layer.header.external_data()) {
            add_data_file(layer, data_file, access);
        } else if (!data_file.empty()) {
            throw_reason(std::make_error_code(std::errc::invalid_argument),
                         path + ": has no data file, but one is given");
        }
        image_.chain.push_back(std::move(layer));
    }

  private:
    void add_data_file(Layer& layer, const std::string& given, Access access) {
        const std::string& name = given.empty() ? layer.header.data_file : given;
        if (name.empty()) refuse(layer.name, "does not say what its data file is");
        if (name.starts_with("json:")) refuse(layer.name, "its data file is not named by a path");
        if (depends_on_working_directory(name)) refuse_moving(layer.name, "data file", name);
        const std::string path = path_beside(layer.name, name);
        const StorageLimits limits = files_.open_data(layer, path, given.empty(), access);
        if (access == Access::read_write) make_long_enough(layer, limits);
        if (!image_.chain.empty()) return;
        // Not with raw data: discarded clusters need not read as zeros in the data file itself.
        image_.info.discard = image_.info.discard && !layer.header.raw_data();
    }

    /// Extends a data file that is shorter than the disk: reads behind file_end would return zeros, also after a write.
    static void make_long_enough(Layer& layer, const StorageLimits& limits) {
        if (layer.data_file_end >= layer.size_bytes) return;
        const std::string file = "its data file, '" + layer.data_path + "', ";
        if (limits.block_device) refuse(layer.name, file + "is smaller than the disk whose data it holds");
        if (::ftruncate(layer.data_fd.get(), static_cast<off_t>(layer.size_bytes)) != 0) {
            throw_system_error(layer.name + ": " + file + "cannot be made as long as the disk");
        }
        layer.data_file_end = layer.size_bytes;
    }

    void describe_disk(const Layer& layer) {
        ImageInfo& info = image_.info;
        info.size_sectors = layer.size_bytes / sector_size_bytes;
        info.discard = layer.header.version > 2 || layer.header.backing_file.empty();
        info.discard_granularity_bytes = static_cast<std::uint32_t>(layer.cluster_bytes());
    }

    OpenedImage& image_;
    tables::ChainFiles files_;
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
