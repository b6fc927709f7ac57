// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/tools.hpp"

#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

#include "drivers/qcow2/create.hpp"
#include "drivers/qcow2/examine.hpp"
#include "drivers/qcow2/format.hpp"
#include "drivers/qcow2/open_image.hpp"
#include "drivers/raw/format.hpp"
#include "drivers/shared/blocking_io.hpp"
#include "drivers/tables/inspection.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/files/image_path.hpp"
#include "libblktap/files/local_image_opener.hpp"

namespace blktap::qcow2 {
namespace {

Chain open_to_look(const std::string& path) {
    LocalImageOpener files;
    // Buffered: tables are read in any order, and no guest writes.
    return open_chain(path, Access::read_only, Caching::buffered, files, {}, tables::inspection_memory_bytes).chain;
}

void create(const WantedImage& wanted) {
    NewImage image{.path = wanted.path, .size_bytes = wanted.size_bytes};
    if (wanted.cluster_bytes) image.cluster_bytes = *wanted.cluster_bytes;
    image.backing_file = wanted.base;
    image.backing_format = wanted.base_format;
    // Absolute, because QEMU resolves a relative name from its working directory.
    if (!wanted.data_file.empty()) image.data_file = tidied(std::filesystem::absolute(wanted.data_file));
    image.raw_data = wanted.raw_data;
    image.extended_l2 = wanted.subclusters;
    create_image(image);
    try {
        // The backing file must exist and have that format, and its chain must not contain this image.
        open_to_look(image.path);
    } catch (const std::system_error&) {
        ::unlink(image.path.c_str());
        if (!image.data_file.empty()) ::unlink(path_beside(image.path, image.data_file).c_str());
        throw;
    }
}

ImageLayer describe_layer(const Layer& layer) {
    ImageLayer described = tables::described(layer, layer.raw ? raw_format.name : format.name);
    if (layer.raw) return described;
    const Header& header = layer.header;
    described.facts = {{"version", std::uint64_t{header.version}},
                       {"cluster-bytes", header.cluster_bytes()},
                       {"extended-l2", header.extended_l2()},
                       {"refcount-bits", std::uint64_t{1} << header.refcount_order},
                       {"compression", header.compression == Compression::zstd ? "zstd" : "deflate"},
                       {"snapshots", std::uint64_t{header.snapshot_count}},
                       {"dirty", header.dirty()},
                       {"corrupt", header.corrupt()}};
    if (header.external_data()) {
        described.facts.push_back({"data-file", header.data_file});
        described.facts.push_back({"data-file-raw", header.raw_data()});
    }
    return described;
}

std::vector<ImageLayer> describe(const std::string& path) {
    return tables::described(open_to_look(path), &describe_layer);
}

std::string leaks_text(const Header& header, std::uint64_t clusters) {
    const std::string count = std::to_string(clusters) + " clusters that the disk does not use";
    // Snapshots are not followed, so the number of leaked clusters is unknown.
    if (header.snapshot_count > 0) {
        return count + ", with those of its " + std::to_string(header.snapshot_count) +
               " internal snapshots; no error (qemu-img check tells whether some are nobody's)";
    }
    if (header.has_bitmaps()) {
        return count + ", with those of its bitmaps; no error (qemu-img check tells whether some are nobody's)";
    }
    return count + " and nobody else; no error (qemu-img check -r leaks gives them back)";
}

CheckReport check(const std::string& path, const TellProgress& tell) {
    const Chain chain = open_to_look(path);
    const Findings found = check_tables(chain.front(), tell);
    const Header& header = chain.front().header;
    CheckReport report;
    report.facts = {{"clusters-used", found.clusters_used},
                    {"leaked-clusters", found.leaked_clusters},
                    {"dirty", header.dirty()},
                    {"miscounted-clusters", found.miscounted_clusters},
                    {"snapshots", std::uint64_t{header.snapshot_count}}};
    if (tables::tell_errors(found.errors, found.first_error, report)) return report;
    if (header.dirty()) {
        report.text = "it was not closed, and " + std::to_string(found.miscounted_clusters) +
                      " clusters are counted wrongly; no error (tapdisk repairs it when it opens it for writing)";
        report.soundness = Soundness::untidy;
    } else if (found.leaked_clusters > 0) {
        report.text = leaks_text(header, found.leaked_clusters);
        report.soundness = Soundness::untidy;
    } else {
        report.text = "nothing is wrong; " + std::to_string(found.clusters_used) + " clusters in use";
    }
    return report;
}

void map(const std::string& path, const TellProgress& tell, const PieceVisitor& visit) {
    tables::map_pieces(open_to_look(path), &map_disk, tell, visit);
}

std::string named_data_file(const std::string& path) {
    const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (!fd) throw_system_error(path);
    std::vector<std::byte> bytes(header_bytes_max);
    const auto count = read_at(fd.get(), bytes, 0);
    if (!count) throw_error(count.error(), path + ": cannot read its header");
    const Header header = parse_header(std::span{bytes}.first(count.value()), path);
    return header.data_file.empty() ? std::string{} : path_beside(path, header.data_file);
}

constexpr std::string_view bases[] = {raw_format.name, format.name};

}  // namespace

const FormatTools tools{.format = &format,
                        .can = {.have_subclusters = true, .have_data_file = true},
                        .bases = bases,
                        .cluster_help = "64K when absent",
                        .create = &create,
                        .describe = &describe,
                        .check = &check,
                        .map = &map,
                        .named_data_file = &named_data_file};

}  // namespace blktap::qcow2
