// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

#include "control/tap_ctl/inspected_format.hpp"
#include "control/tap_ctl/piece_joiner.hpp"
#include "control/tap_ctl/table.hpp"
#include "drivers/qcow2/create.hpp"
#include "drivers/qcow2/examine.hpp"
#include "drivers/qcow2/open_image.hpp"
#include "libblktap/files/image_path.hpp"
#include "libblktap/files/local_image_opener.hpp"

namespace blktap {
namespace {

using ipc::Json;
using qcow2::Extent;

qcow2::Chain open_image(const std::string& path) {
    LocalImageOpener files;
    // Through the page cache: tables are read in any order, and no guest writes.
    return qcow2::open_chain(path, Access::read_only, Caching::buffered, files, {}, inspection_memory_bytes).chain;
}

void create(const std::string& path, const CommandLine& line) {
    qcow2::NewImage image;
    image.path = path;
    image.size_bytes = parse_bytes(line.size, "--size");
    if (!line.new_image.cluster_size.empty())
        image.cluster_bytes = parse_bytes(line.new_image.cluster_size, "--cluster-size");
    image.extended_l2 = line.new_image.extended_l2;
    // QEMU looks for a relative one where it happens to run.
    if (!line.new_image.data_file.empty())
        image.data_file = tidied(std::filesystem::absolute(line.new_image.data_file));
    image.raw_data = line.new_image.raw_data;
    if (!line.new_image.backing.empty()) {
        const ImageSpec backing = parse_image_spec(line.new_image.backing, Access::read_only);
        image.backing_file = backing.path;
        image.backing_format = backing.format;
    }
    qcow2::create_image(image);
    try {
        // Its backing file must be there, be of that format, and not lead back here.
        open_image(image.path);
    } catch (const std::system_error&) {
        ::unlink(image.path.c_str());
        if (!image.data_file.empty()) ::unlink(path_beside(image.path, image.data_file).c_str());
        throw;
    }
}

Json describe_layer(const qcow2::Layer& layer) {
    struct stat status {};
    if (::fstat(layer.fd.get(), &status) != 0) throw_system_error(layer.name);
    Json json{{"path", printable(layer.name)},
              {"format", layer.raw ? "raw" : "qcow2"},
              {"size-bytes", layer.size_bytes},
              {"stored-bytes", static_cast<std::uint64_t>(status.st_blocks) * 512}};
    if (layer.raw) return json;
    const qcow2::Header& header = layer.header;
    json["version"] = header.version;
    json["cluster-bytes"] = header.cluster_bytes();
    json["extended-l2"] = header.extended_l2();
    if (header.external_data()) {
        json["data-file"] = printable(header.data_file);
        json["data-file-raw"] = header.raw_data();
    }
    json["refcount-bits"] = 1U << header.refcount_order;
    json["compression"] = header.compression == qcow2::Compression::zstd ? "zstd" : "deflate";
    json["snapshots"] = header.snapshot_count;
    json["dirty"] = header.dirty();
    json["corrupt"] = header.corrupt();
    return json;
}

Json describe(const std::string& path) {
    Json chain = Json::array();
    for (const qcow2::Layer& layer : open_image(path))
        chain.push_back(describe_layer(layer));
    return chain;
}

std::string leaks_text(const qcow2::Header& header, std::uint64_t clusters) {
    const std::string count = std::to_string(clusters) + " clusters that the disk does not use";
    // They are not followed, so that nobody here knows how many of them are lost.
    if (header.snapshot_count > 0) {
        return count + ", with those of its " + std::to_string(header.snapshot_count) +
               " internal snapshots; no error (qemu-img check tells whether some are nobody's)";
    }
    if (header.has_bitmaps()) {
        return count + ", with those of its bitmaps; no error (qemu-img check tells whether some are nobody's)";
    }
    return count + " and nobody else; no error (qemu-img check -r leaks gives them back)";
}

CheckResult check(const std::string& path, const TellProgress& tell) {
    const qcow2::Chain chain = open_image(path);
    const qcow2::Findings found = qcow2::check_tables(chain.front(), tell);
    const qcow2::Header& header = chain.front().header;
    CheckResult result;
    result.json = {{"clusters-used", found.clusters_used},
                   {"leaked-clusters", found.leaked_clusters},
                   {"dirty", header.dirty()},
                   {"miscounted-clusters", found.miscounted_clusters},
                   {"snapshots", header.snapshot_count},
                   {"errors", found.errors},
                   {"first-error", found.first_error}};
    if (found.errors > 0) {
        result.text = std::to_string(found.errors) + " errors; the first: " + found.first_error;
        result.status = found_errors;
    } else if (header.dirty()) {
        result.text = "it was not closed, and " + std::to_string(found.miscounted_clusters) +
                      " clusters are counted wrongly; no error (tapdisk repairs it when it opens it for writing)";
        result.status = found_leaks;
    } else if (found.leaked_clusters > 0) {
        result.text = leaks_text(header, found.leaked_clusters);
        result.status = found_leaks;
    } else {
        result.text = "nothing is wrong; " + std::to_string(found.clusters_used) + " clusters in use";
    }
    return result;
}

const char* kind_text(Extent::Kind kind) {
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

void map(const std::string& path, const TellProgress& tell, const PieceVisitor& visit) {
    const qcow2::Chain chain = open_image(path);
    PieceJoiner joiner{visit};
    qcow2::map_disk(chain, [&](std::uint64_t offset, const Extent& extent) {
        tell(offset, chain.front().size_bytes);
        DiskPiece piece{offset, extent.length, kind_text(extent.kind)};
        if (extent.kind == Extent::Kind::data) {
            piece.file = chain[extent.layer].data_name();
            piece.at = extent.host_offset;
        } else if (extent.kind == Extent::Kind::compressed) {
            piece.file = chain[extent.layer].name;
        }
        joiner.add(piece);
    });
    joiner.finish();
}

}  // namespace

const InspectedFormat inspected_qcow2{
    "qcow2", {.have_subclusters = true, .have_data_file = true}, &create, &describe, &check, &map};

}  // namespace blktap
