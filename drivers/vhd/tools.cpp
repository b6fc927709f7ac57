// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/tools.hpp"

#include <algorithm>

#include "drivers/raw/format.hpp"
#include "drivers/tables/inspection.hpp"
#include "drivers/vhd/create.hpp"
#include "drivers/vhd/examine.hpp"
#include "drivers/vhd/format.hpp"
#include "drivers/vhd/open_image.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/files/local_image_opener.hpp"

namespace blktap::vhd {
namespace {

constexpr std::string_view bases[] = {raw_format.name, format.name};

Chain open_to_look(const std::string& path) {
    LocalImageOpener files;
    // Buffered: bitmaps are read in any order, and no guest writes.
    return open_chain(path, Access::read_only, Caching::buffered, files, tables::inspection_memory_bytes).chain;
}

void create(const WantedImage& wanted) {
    if (!wanted.base.empty() && std::ranges::find(bases, wanted.base_format) == std::end(bases)) {
        throw_reason(std::make_error_code(std::errc::invalid_argument),
                     wanted.path + ": the format of its parent must be vhd or raw");
    }
    NewImage image;
    image.path = wanted.path;
    image.size_bytes = wanted.size_bytes;
    image.fixed = wanted.fixed;
    if (wanted.cluster_bytes) image.block_bytes = *wanted.cluster_bytes;
    image.parent = wanted.base;
    image.parent_is_raw = wanted.base_format == raw_format.name;
    create_image(image);
}

const char* type_text(const Layer& layer) {
    if (layer.raw) return "fixed";
    return layer.differencing ? "differencing" : "dynamic";
}

ImageLayer describe_layer(const Layer& layer) {
    ImageLayer described = tables::described(layer, layer.has_footer ? format.name : raw_format.name);
    if (!layer.has_footer) return described;
    described.facts = {{"type", type_text(layer)},
                       {"uuid", to_text(layer.footer.uuid())},
                       {"creator", layer.footer.creator()},
                       {"footer-missing", !layer.end_footer}};
    if (!layer.raw) described.facts.push_back({"cluster-bytes", layer.block_bytes()});
    if (layer.differencing) described.facts.push_back({"parent-uuid", to_text(layer.header.parent_uuid)});
    return described;
}

std::vector<ImageLayer> describe(const std::string& path) {
    return tables::described(open_to_look(path), &describe_layer);
}

CheckReport check(const std::string& path, const TellProgress&) {
    const Chain chain = open_to_look(path);
    const Findings found = check_image(chain.front());
    CheckReport report;
    report.facts = {{"blocks-used", found.blocks_used},
                    {"unused-bytes", found.unused_bytes},
                    {"footer-missing", found.end_footer_missing},
                    {"footers-differ", found.copy_differs}};
    if (tables::tell_errors(found.errors, found.first_error, report)) return report;
    if (found.end_footer_missing || found.copy_differs) {
        report.text = "one of its footers is missing or old, as after a crash; no error (tapdisk repairs it)";
        report.soundness = Soundness::untidy;
    } else if (found.unused_bytes > 0) {
        report.text = std::to_string(found.unused_bytes) + " bytes of the file that nobody uses; no error";
        report.soundness = Soundness::untidy;
    } else {
        report.text = "nothing is wrong; " + std::to_string(found.blocks_used) + " blocks in use";
    }
    return report;
}

void map(const std::string& path, const TellProgress& tell, const PieceVisitor& visit) {
    tables::map_pieces(open_to_look(path), &map_disk, tell, visit);
}

}  // namespace

const FormatTools tools{.format = &format,
                        .can = {.be_fixed = true},
                        .bases = bases,
                        .base_is_relative = true,
                        .cluster_help = "its blocks, 2M when absent",
                        .create = &create,
                        .describe = &describe,
                        .check = &check,
                        .map = &map};

}  // namespace blktap::vhd
