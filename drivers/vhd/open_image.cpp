// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Opens a chain; read_image.cpp reads one image.
#include "drivers/vhd/open_image.hpp"

#include <algorithm>

#include "drivers/vhd/metadata/parent_path.hpp"
#include "drivers/vhd/table_io.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::vhd {
namespace {

[[noreturn]] void refuse(const std::string& name, const std::string& reason) {
    throw_reason(Errc::image_invalid, name + ": " + reason);
}

void use_raw(Layer& layer) {
    layer.raw = true;
    // The missing part of the last sector reads as zeros.
    layer.size_bytes = round_up(layer.file_end, sector_size_bytes);
    if (layer.size_bytes == 0) refuse(layer.name, "its size is 0");
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
        : image_(image), files_(image.info, caching, files, "parent") {}

    void add_top(const std::string& path, Access access) {
        Layer layer;
        const StorageLimits limits = open(layer, path, access);
        read_image(layer, TablePart::whole, *image_.memory);
        describe_disk(layer);
        keep(std::move(layer), limits);
    }
    /// Opens the parent of the last image, from the first path that leads to it.
    void add_parent() {
        const Layer& child = image_.chain.back();
        std::string reasons;
        std::error_code first;
        for (const std::string& path : candidates(child)) {
            try {
                Layer parent;
                const StorageLimits limits = open(parent, path, Access::read_only);
                read_parent(child, parent);
                return keep(std::move(parent), limits);
            } catch (const std::system_error& error) {
                if (!first) first = error.code();
                reasons += (reasons.empty() ? "" : "; ") + std::string{error.what()};
            }
        }
        throw_reason(first, child.name + ": its parent cannot be used: " + reasons);
    }

  private:
    StorageLimits open(Layer& layer, const std::string& path, Access access) {
        const StorageLimits limits = files_.open(layer, path, access);
        layer.file_bytes = limits.size_bytes;
        return limits;
    }

    void read_parent(const Layer& child, Layer& parent) {
        if (child.header.parent_is_raw()) return use_raw(parent);
        read_image(parent, TablePart::of_disk, *image_.memory);
        if (parent.footer.uuid() == child.header.parent_uuid) return;
        refuse(parent.name, "is not the image that it was (its UUID is " + to_text(parent.footer.uuid()) + ", not " +
                                to_text(child.header.parent_uuid) + ")");
    }

    void keep(Layer layer, const StorageLimits& limits) {
        files_.keep(layer, limits, *image_.memory);
        image_.chain.push_back(std::move(layer));
    }

    void describe_disk(const Layer& layer) {
        image_.info.size_sectors = layer.size_bytes / sector_size_bytes;
        image_.info.discard = layer.growable;
        image_.info.discard_granularity_bytes = page_size_bytes;
    }

    OpenedImage& image_;
    tables::ChainFiles files_;
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
