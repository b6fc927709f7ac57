// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// tap-ctl image: makes images and looks at them. They are files that nobody serves at the moment; tapback is not asked.
#include <ostream>

#include "control/tap_ctl/backing_note.hpp"
#include "control/tap_ctl/inspected_format.hpp"
#include "control/tap_ctl/progress_line.hpp"
#include "control/tap_ctl/table.hpp"
#include "drivers/shared/options.hpp"
#include "libblktap/files/image_path.hpp"

namespace blktap {
namespace {

using ipc::Json;

constexpr const InspectedFormat* formats[] = {&inspected_qcow2, &inspected_vhd};

struct Inspected {
    const InspectedFormat& format;
    std::string path;
};

/// Of a "FORMAT:/path".
Inspected inspected(const std::string& image) {
    const ImageSpec spec = parse_image_spec(image, Access::read_only);
    std::string known;
    for (const InspectedFormat* const format : formats) {
        if (spec.format == format->name && !spec.path.empty() && spec.options.empty()) return {*format, spec.path};
        known += (known.empty() ? "" : " or ") + std::string(format->name) + ":PATH";
    }
    throw_reason(std::make_error_code(std::errc::invalid_argument),
                 image + ": only " + known + ", without options, is possible");
}

void require_possible(const Inspected& image, const CommandLine& line) {
    const auto refuse = [&](const std::string& what) {
        throw_reason(std::make_error_code(std::errc::invalid_argument),
                     image.path + ": a " + image.format.name + " image " + what);
    };
    const NewImageCan& can = image.format.can;
    if (line.new_image.fixed && !can.be_fixed) refuse("is never fixed");
    if (line.new_image.extended_l2 && !can.have_subclusters) refuse("has no extended L2 entries");
    if (!line.new_image.data_file.empty() && !can.have_data_file) refuse("has no data file");
}

int create(const CommandLine& line, std::ostream&) {
    const Inspected image = inspected(line.image);
    require_possible(image, line);
    image.format.create(image.path, line);
    if (!line.new_image.backing.empty()) {
        const ImageSpec backing = parse_image_spec(line.new_image.backing, Access::read_only);
        note_where_base_is(image.path, path_beside(image.path, backing.path), *line.notes);
    }
    return 0;
}

int info(const CommandLine& line, std::ostream& out) {
    const Inspected image = inspected(line.image);
    const Json chain = image.format.describe(image.path);
    if (line.json) return print_result(line, out, {{"chain", chain}});
    for (std::size_t i = 0; i < chain.size(); ++i) {
        if (i > 0) out << "\nits backing file:\n";
        print_values(out, chain[i]);
    }
    return 0;
}

int check(const CommandLine& line, std::ostream& out) {
    const Inspected image = inspected(line.image);
    ProgressLine progress{"checking"};
    const auto tell = [&](std::uint64_t done, std::uint64_t all) { progress.tell(done, all); };
    const CheckResult result = image.format.check(image.path, tell);
    progress.clear();
    if (line.json) {
        print_result(line, out, result.json);
    } else {
        out << result.text << '\n';
    }
    return result.status;
}

int map(const CommandLine& line, std::ostream& out) {
    const Inspected image = inspected(line.image);
    Json extents = Json::array();
    std::vector<Row> rows{{"OFFSET", "LENGTH", "WHAT", "AT", "FILE"}};
    ProgressLine progress{"mapping"};
    const auto tell = [&](std::uint64_t done, std::uint64_t all) { progress.tell(done, all); };
    image.format.map(image.path, tell, [&](const DiskPiece& piece) {
        const std::string file = printable(std::string(piece.file));
        if (line.json) {
            Json json{{"offset", piece.offset}, {"length", piece.length}, {"what", piece.what}};
            if (piece.at) json["at"] = *piece.at;
            if (!file.empty()) json["file"] = file;
            extents.push_back(std::move(json));
        } else {
            Row row{std::to_string(piece.offset), std::to_string(piece.length), std::string(piece.what)};
            if (!file.empty()) row.insert(row.end(), {piece.at ? std::to_string(*piece.at) : "-", file});
            rows.push_back(std::move(row));
        }
    });
    progress.clear();
    if (line.json) return print_result(line, out, {{"extents", extents}});
    print_table(out, rows);
    return 0;
}

CLI::App& add_for_image(CLI::App& app, CommandLine& line, const char* name, const char* what, Command command) {
    CLI::App& added = add_command(app, line, name, what, command);
    added.add_option("IMAGE", line.image, "qcow2:PATH or vhd:PATH")->required();
    return added;
}

}  // namespace

std::uint64_t parse_bytes(const std::string& text, const std::string& what) {
    const auto bytes = parse_size(text);
    if (bytes) return *bytes;
    throw_reason(std::make_error_code(std::errc::invalid_argument), what + " " + text + " is not a number of bytes");
}

void add_image_commands(CLI::App& app, CommandLine& line) {
    CLI::App& image = *app.add_subcommand("image", "Make and look at images that are not served");
    image.require_subcommand(1);
    image.fallthrough();
    CLI::App& make = add_for_image(image, line, "create", "Make an image", create);
    make.add_option("--size", line.size, "Of the disk: bytes, or with K, M, G or T: 20G")->required();
    make.add_option("--cluster-size", line.new_image.cluster_size, "64K when absent; of a VHD, its blocks, 2M");
    make.add_flag("--extended-l2", line.new_image.extended_l2,
                  "Clusters, of at least 16K, have 32 subclusters (qcow2)");
    make.add_flag("--fixed", line.new_image.fixed, "The file is as long as the disk from the start (vhd)");
    auto* data = make.add_option("--data-file", line.new_image.data_file,
                                 "A file of its own for the data, which is made (qcow2)");
    make.add_flag("--data-file-raw", line.new_image.raw_data, "That file is a raw image of the disk at any time")
        ->needs(data);
    make.add_option("--backing", line.new_image.backing,
                    "FORMAT:PATH of what the image begins as: raw, or of the same format");
    add_for_image(image, line, "info", "What an image and its backing files are", info);
    add_for_image(image, line, "check", "Whether an image's tables agree with each other", check);
    add_for_image(image, line, "map", "Where the disk's contents are", map);
    add_image_change_commands(image, line);
}

}  // namespace blktap
