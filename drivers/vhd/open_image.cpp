// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The chain. What one image is: read_image.cpp.
#include "drivers/vhd/open_image.hpp"

#include <algorithm>

#include "drivers/shared/bounce_buffer.hpp"
#include "drivers/shared/storage_limits.hpp"
#include "drivers/vhd/parent_path.hpp"
#include "drivers/vhd/table_io.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::vhd {
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
    file.layer.file_bytes = file.layer.file_end = file.limits.size_bytes;
    file.layer.memory_alignment = file.limits.memory_alignment_bytes;
    file.layer.offset_alignment = file.limits.offset_alignment_bytes;
    file.layer.growable = !file.limits.block_device;
    return file;
}

void use_raw(Layer& layer) {
    layer.raw = true;
    // What is missing of the last sector is zeros.
    layer.size_bytes = round_up(layer.file_end, sector_size_bytes);
    if (layer.size_bytes == 0) refuse(layer.name, "its size is 0");
}

bool same_file(const StorageLimits& one, const StorageLimits& other) {
    if (one.block_device != other.block_device) return false;
    if (one.block_device) return one.status.st_rdev == other.status.st_rdev;
    return one.status.st_dev == other.status.st_dev && one.status.st_ino == other.status.st_ino;
}

std::vector<std::string> candidates(const Layer& layer) {
    std::vector<ParentName> names;
    for (const Locator& locator : layer.header.locators) {
        if (locator.platform == 0) continue;
        if (locator.offset > layer.file_bytes || locator.length_bytes > layer.file_bytes - locator.offset) {
            refuse(layer.name, "the name of its parent is outside of the file");
        }
        names.push_back({locator.platform, read_bytes(layer, locator.offset, locator.length_bytes)});
    }
    std::vector<std::string> paths = parent_paths(layer.name, names);
    if (paths.empty()) refuse(layer.name, "does not say where its parent '" + layer.header.parent_name + "' is");
    return paths;
}

class ChainOpener {
  public:
    ChainOpener(OpenedImage& image, Caching caching, ImageOpener& files)
        : image_(image), caching_(caching), files_(files) {}

    void add_top(const std::string& path, Access access) {
        OpenFile file = open(path, access);
        read_image(file.layer, TablePart::whole, *image_.memory);
        keep(std::move(file));
    }
    /// The parent of the last image, from the first place where it is.
    void add_parent() {
        const Layer& child = image_.chain.back();
        std::string reasons;
        std::error_code first;
        for (const std::string& path : candidates(child)) {
            try {
                OpenFile file = open(path, Access::read_only);
                read_parent(child, file.layer);
                return keep(std::move(file));
            } catch (const std::system_error& error) {
                if (!first) first = error.code();
                reasons += (reasons.empty() ? "" : "; ") + std::string{error.what()};
            }
        }
        throw_reason(first, child.name + ": its parent cannot be used: " + reasons);
    }

  private:
    OpenFile open(const std::string& path, Access access) {
        const auto same_path = [&](const Layer& layer) { return layer.name == path; };
        if (std::ranges::any_of(image_.chain, same_path)) refuse_loop(path);
        if (image_.chain.size() == chain_length_max) refuse(path, "the chain of parents is too long");
        const std::string by = image_.chain.empty() ? std::string{} : image_.chain.back().name;
        OpenFile file = open_file(path, by, access, caching_, files_);
        for (const StorageLimits& other : limits_) {
            if (same_file(file.limits, other)) refuse_loop(path);
        }
        return file;
    }

    void read_parent(const Layer& child, Layer& parent) {
        if (child.header.parent_is_raw()) return use_raw(parent);
        read_image(parent, TablePart::of_disk, *image_.memory);
        if (parent.footer.uuid() == child.header.parent_uuid) return;
        refuse(parent.name, "is not the image that it was (its UUID is " + to_text(parent.footer.uuid()) + ", not " +
                                to_text(child.header.parent_uuid) + ")");
    }

    void keep(OpenFile file) {
        image_.memory->take(BounceBuffer::size_bytes, file.layer.name, "its buffers");
        limits_.push_back(file.limits);
        note_limits(file);
        image_.chain.push_back(std::move(file.layer));
    }

    [[noreturn]] void refuse_loop(const std::string& path) const {
        refuse(path, "is its own parent, by way of " + std::to_string(image_.chain.size()) + " images");
    }

    /// Requests reach every file of the chain.
    void note_limits(const OpenFile& file) {
        ImageInfo& info = image_.info;
        info.memory_alignment_bytes = std::max(info.memory_alignment_bytes, file.limits.memory_alignment_bytes);
        info.zero_copy_safe = info.zero_copy_safe && file.limits.zero_copy_safe;
        if (!image_.chain.empty()) return;
        info.size_sectors = file.layer.size_bytes / sector_size_bytes;
        info.write_alignment_bytes = file.limits.offset_alignment_bytes;
        info.physical_sector_size_bytes =
            std::max(file.limits.physical_sector_size_bytes, file.limits.offset_alignment_bytes);
        info.discard = file.layer.growable;
        info.discard_granularity_bytes = page_size_bytes;
    }

    OpenedImage& image_;
    const Caching caching_;
    ImageOpener& files_;
    std::vector<StorageLimits> limits_;
};

}  // namespace

OpenedImage open_chain(const std::string& path, Access access, Caching caching, ImageOpener& files,
                       std::uint64_t memory_bytes) {
    OpenedImage image;
    image.memory = std::make_unique<MemoryBudget>(memory_bytes);
    image.info.read_only = access == Access::read_only;
    ChainOpener opener{image, caching, files};
    opener.add_top(path, access);
    while (image.chain.back().differencing)
        opener.add_parent();
    if (access == Access::read_write) prepare_for_writing(image.chain.front(), *image.memory);
    return image;
}

}  // namespace blktap::vhd
