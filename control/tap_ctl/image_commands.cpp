// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// tap-ctl image: makes images and looks at them. They are files that nobody serves at the moment; tapback is not asked.
#include <iomanip>
#include <ostream>
#include <sys/stat.h>
#include <unistd.h>

#include "control/tap_ctl/command_line.hpp"
#include "control/tap_ctl/progress_line.hpp"
#include "control/tap_ctl/table.hpp"
#include "drivers/qcow2/create.hpp"
#include "drivers/qcow2/examine.hpp"
#include "drivers/qcow2/open_image.hpp"
#include "drivers/shared/local_image_opener.hpp"
#include "drivers/shared/options.hpp"
#include "libblktap/base/error.hpp"

namespace blktap {
namespace {

using ipc::Json;
using qcow2::Extent;

constexpr int found_leaks = 3;  // as qemu-img check has it

std::uint64_t parse_bytes(const std::string& text, const std::string& what) {
    const auto bytes = parse_size(text);
    if (bytes) return *bytes;
    throw_error(std::make_error_code(std::errc::invalid_argument), what + " " + text + " is not a number of bytes");
}

/// The path of a "qcow2:/path".
std::string qcow2_path(const std::string& image) {
    const ImageSpec spec = parse_image_spec(image, Access::read_only);
    if (spec.format == "qcow2" && !spec.path.empty() && spec.options.empty()) return spec.path;
    throw_error(std::make_error_code(std::errc::invalid_argument),
                image + ": only qcow2:PATH, without options, is possible");
}

qcow2::Chain open_image(const CommandLine& line) {
    LocalImageOpener files;
    // Through the page cache: tables are read in any order, and no guest writes.
    return qcow2::open_chain(qcow2_path(line.image), Access::read_only, Caching::buffered, files).chain;
}

int create(const CommandLine& line, std::ostream&) {
    qcow2::NewImage image;
    image.path = qcow2_path(line.image);
    image.size_bytes = parse_bytes(line.size, "--size");
    if (!line.cluster_size.empty()) image.cluster_bytes = parse_bytes(line.cluster_size, "--cluster-size");
    image.extended_l2 = line.extended_l2;
    if (!line.backing.empty()) {
        const ImageSpec backing = parse_image_spec(line.backing, Access::read_only);
        image.backing_file = backing.path;
        image.backing_format = backing.format;
    }
    qcow2::create_image(image);
    try {
        // Its backing file must be there, be of that format, and not lead back here.
        LocalImageOpener files;
        qcow2::open_chain(image.path, Access::read_only, Caching::buffered, files);
    } catch (const std::system_error&) {
        ::unlink(image.path.c_str());
        throw;
    }
    return 0;
}

Json describe(const qcow2::Layer& layer) {
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
    json["refcount-bits"] = 1U << header.refcount_order;
    json["compression"] = header.compression == qcow2::Compression::zstd ? "zstd" : "deflate";
    json["snapshots"] = header.snapshot_count;
    json["dirty"] = header.dirty();
    json["corrupt"] = header.corrupt();
    return json;
}

int info(const CommandLine& line, std::ostream& out) {
    Json chain = Json::array();
    for (const qcow2::Layer& layer : open_image(line))
        chain.push_back(describe(layer));
    if (line.json) return print_result(line, out, {{"chain", chain}});
    for (std::size_t i = 0; i < chain.size(); ++i) {
        if (i > 0) out << "\nits backing file:\n";
        print_values(out, chain[i]);
    }
    return 0;
}

int check(const CommandLine& line, std::ostream& out) {
    const qcow2::Chain chain = open_image(line);
    ProgressLine progress{"checking"};
    const auto tell = [&](std::uint64_t done, std::uint64_t all) { progress.tell(done, all); };
    const qcow2::Findings found = qcow2::check_tables(chain.front(), tell);
    progress.clear();
    const Json json{{"clusters-used", found.clusters_used},
                    {"leaked-clusters", found.leaked_clusters},
                    {"errors", found.errors},
                    {"first-error", found.first_error}};
    if (line.json) {
        print_result(line, out, json);
    } else if (found.errors > 0) {
        out << found.errors << " errors; the first: " << found.first_error << '\n';
    } else if (found.leaked_clusters > 0) {
        out << found.leaked_clusters
            << " clusters that nobody uses; no error (qemu-img check -r leaks gives them back)\n";
    } else {
        out << "nothing is wrong; " << found.clusters_used << " clusters in use\n";
    }
    return found.errors > 0 ? 2 : found.leaked_clusters > 0 ? found_leaks : 0;
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

int map(const CommandLine& line, std::ostream& out) {
    const qcow2::Chain chain = open_image(line);
    Json extents = Json::array();
    std::vector<Row> rows{{"OFFSET", "LENGTH", "WHAT", "AT", "FILE"}};
    ProgressLine progress{"mapping"};
    qcow2::map_disk(chain, [&](std::uint64_t offset, const Extent& extent) {
        progress.tell(offset, chain.front().size_bytes);
        const bool stored = extent.kind == Extent::Kind::data || extent.kind == Extent::Kind::compressed;
        const std::string file = stored ? printable(chain[extent.layer].name) : "";
        if (line.json) {
            Json json{{"offset", offset}, {"length", extent.length}, {"what", kind_text(extent.kind)}};
            if (stored) json.update({{"at", extent.host_offset}, {"file", file}});
            extents.push_back(std::move(json));
        } else {
            rows.push_back({std::to_string(offset), std::to_string(extent.length), kind_text(extent.kind),
                            stored ? std::to_string(extent.host_offset) : "", file});
        }
    });
    progress.clear();
    if (line.json) return print_result(line, out, {{"extents", extents}});
    print_table(out, rows);
    return 0;
}

CLI::App& add_for_image(CLI::App& app, CommandLine& line, const char* name, const char* what, Command command) {
    CLI::App& added = add_command(app, line, name, what, command);
    added.add_option("IMAGE", line.image, "qcow2:PATH")->required();
    return added;
}

}  // namespace

void add_image_commands(CLI::App& app, CommandLine& line) {
    CLI::App& image = *app.add_subcommand("image", "Make and look at images that are not served");
    image.require_subcommand(1);
    image.fallthrough();
    CLI::App& make = add_for_image(image, line, "create", "Make an image", create);
    make.add_option("--size", line.size, "Of the disk: bytes, or with K, M, G or T: 20G")->required();
    make.add_option("--cluster-size", line.cluster_size, "From 4K to 2M; 64K when absent");
    make.add_flag("--extended-l2", line.extended_l2, "Clusters, of at least 16K, have 32 subclusters");
    make.add_option("--backing", line.backing, "FORMAT:PATH of what the image begins as; raw or qcow2");
    add_for_image(image, line, "info", "What an image and its backing files are", info);
    add_for_image(image, line, "check", "Whether an image's tables agree with each other", check);
    add_for_image(image, line, "map", "Where the disk's contents are", map);
    add_image_change_commands(image, line);
}

}  // namespace blktap
