// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/tables/inspection.hpp"

#include <sys/stat.h>

#include "libblktap/base/error.hpp"

namespace blktap::tables {
namespace {

std::string_view kind_text(Extent::Kind kind) {
    switch (kind) {
        case Extent::Kind::data:
            return "data";
        case Extent::Kind::compressed:
            return "compressed";
        case Extent::Kind::zero:
            return "zero";
        default:
            return "damaged";
    }
}

}  // namespace

ImageLayer described(const ImageFile& layer, std::string_view format) {
    constexpr std::uint64_t stat_block_bytes = 512;  // the unit of st_blocks on every file system
    struct stat status {};
    if (::fstat(layer.fd.get(), &status) != 0) throw_system_error(layer.name);
    return {layer.name, format, layer.size_bytes, static_cast<std::uint64_t>(status.st_blocks) * stat_block_bytes, {}};
}

bool tell_errors(std::uint64_t errors, const std::string& first, CheckReport& report) {
    report.facts.push_back({"errors", errors});
    report.facts.push_back({"first-error", first});
    if (errors == 0) return false;
    report.text = std::to_string(errors) + " errors; the first: " + first;
    report.soundness = Soundness::damaged;
    return true;
}

DiskPiece piece_of(std::uint64_t offset, const Extent& extent, const ImageFile* layer) {
    DiskPiece piece{.offset = offset, .length = extent.length, .what = kind_text(extent.kind)};
    if (layer == nullptr) return piece;
    if (extent.kind == Extent::Kind::data) {
        piece.file = layer->data_name();
        piece.at = extent.host_offset;
    } else if (extent.kind == Extent::Kind::compressed) {
        piece.file = layer->name;
    }
    return piece;
}

}  // namespace blktap::tables
