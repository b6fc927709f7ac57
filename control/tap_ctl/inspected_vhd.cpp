// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include <sys/stat.h>

#include "control/tap_ctl/inspected_format.hpp"
#include "control/tap_ctl/piece_joiner.hpp"
#include "control/tap_ctl/table.hpp"
#include "drivers/vhd/create.hpp"
#include "drivers/vhd/examine.hpp"
#include "drivers/vhd/open_image.hpp"
#include "libblktap/files/local_image_opener.hpp"

namespace blktap {
namespace {

using ipc::Json;
using vhd::Extent;

[[noreturn]] void refuse(const std::string& path, const std::string& reason) {
    throw_reason(std::make_error_code(std::errc::invalid_argument), path + ": " + reason);
}

vhd::Chain open_image(const std::string& path) {
    LocalImageOpener files;
    // Through the page cache: bitmaps are read in any order, and no guest writes.
    return vhd::open_chain(path, Access::read_only, Caching::buffered, files, inspection_memory_bytes).chain;
}

void create(const std::string& path, const CommandLine& line) {
    vhd::NewImage image;
    image.path = path;
    image.size_bytes = parse_bytes(line.size, "--size");
    image.fixed = line.new_image.fixed;
    if (!line.new_image.cluster_size.empty())
        image.block_bytes = parse_bytes(line.new_image.cluster_size, "--cluster-size");
    if (!line.new_image.backing.empty()) {
        const ImageSpec backing = parse_image_spec(line.new_image.backing, Access::read_only);
        if (backing.format != "vhd" && backing.format != "raw") {
            refuse(path, "the format of its parent must be vhd or raw");
        }
        image.parent = backing.path;
        image.parent_is_raw = backing.format == "raw";
    }
    vhd::create_image(image);
}

const char* type_text(const vhd::Layer& layer) {
    if (layer.raw) return "fixed";
    return layer.differencing ? "differencing" : "dynamic";
}

Json describe_layer(const vhd::Layer& layer) {
    struct stat status {};
    if (::fstat(layer.fd.get(), &status) != 0) throw_system_error(layer.name);
    Json json{{"path", printable(layer.name)},
              {"format", layer.has_footer ? "vhd" : "raw"},
              {"size-bytes", layer.size_bytes},
              {"stored-bytes", static_cast<std::uint64_t>(status.st_blocks) * 512}};
    if (!layer.has_footer) return json;
    json["type"] = type_text(layer);
    json["uuid"] = vhd::to_text(layer.footer.uuid());
    json["creator"] = layer.footer.creator();
    json["footer-missing"] = !layer.end_footer;
    if (!layer.raw) json["cluster-bytes"] = layer.block_bytes();
    if (layer.differencing) json["parent-uuid"] = vhd::to_text(layer.header.parent_uuid);
    return json;
}

Json describe(const std::string& path) {
    Json chain = Json::array();
    for (const vhd::Layer& layer : open_image(path))
        chain.push_back(describe_layer(layer));
    return chain;
}

CheckResult check(const std::string& path, const TellProgress&) {
    const vhd::Chain chain = open_image(path);
    const vhd::Findings found = vhd::check_image(chain.front());
    CheckResult result;
    result.json = {{"blocks-used", found.blocks_used},
                   {"unused-bytes", found.unused_bytes},
                   {"footer-missing", found.end_footer_missing},
                   {"footers-differ", found.copy_differs},
                   {"errors", found.errors},
                   {"first-error", found.first_error}};
    if (found.errors > 0) {
        result.text = std::to_string(found.errors) + " errors; the first: " + found.first_error;
        result.status = found_errors;
    } else if (found.end_footer_missing || found.copy_differs) {
        result.text = "one of its footers is missing or old, as after a crash; no error (tapdisk repairs it)";
        result.status = found_leaks;
    } else if (found.unused_bytes > 0) {
        result.text = std::to_string(found.unused_bytes) + " bytes of the file that nobody uses; no error";
        result.status = found_leaks;
    } else {
        result.text = "nothing is wrong; " + std::to_string(found.blocks_used) + " blocks in use";
    }
    return result;
}

void map(const std::string& path, const TellProgress& tell, const PieceVisitor& visit) {
    const vhd::Chain chain = open_image(path);
    PieceJoiner joiner{visit};
    vhd::map_disk(chain, [&](std::uint64_t offset, const Extent& extent) {
        tell(offset, chain.front().size_bytes);
        const bool stored = extent.kind == Extent::Kind::data;
        DiskPiece piece{offset, extent.length,
                        stored                              ? "data"
                        : extent.kind == Extent::Kind::zero ? "zero"
                                                            : "damaged"};
        if (stored) {
            piece.file = chain[extent.layer].name;
            piece.at = extent.host_offset;
        }
        joiner.add(piece);
    });
    joiner.finish();
}

}  // namespace

const InspectedFormat inspected_vhd{"vhd", {.be_fixed = true}, &create, &describe, &check, &map};

}  // namespace blktap
