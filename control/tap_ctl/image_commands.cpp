// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// tap-ctl image: makes images and inspects them, as files that are not served at the moment. tapback is not asked.
#include <algorithm>
#include <ostream>

#include "control/tap_ctl/backing_note.hpp"
#include "control/tap_ctl/command_line.hpp"
#include "control/tap_ctl/piece_joiner.hpp"
#include "control/tap_ctl/progress_line.hpp"
#include "control/tap_ctl/table.hpp"
#include "drivers/formats/formats.hpp"
#include "drivers/shared/options.hpp"
#include "drivers/tools.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/files/image_path.hpp"

namespace blktap::tap_ctl {
namespace {

using ipc::Json;

/// The formats with tools as a list for people, such as "qcow2 or vhd"; `text` returns each item, or "" for none.
std::string listed(std::string_view separator, const std::function<std::string(const FormatTools&)>& text) {
    std::string list;
    for (const FormatTools* const tools : all_tools()) {
        const std::string one = text(*tools);
        if (!one.empty()) list.append(list.empty() ? "" : separator).append(one);
    }
    return list;
}

std::string name_of(const FormatTools& tools) {
    return std::string(tools.format->name);
}

std::string possible_images() {
    return listed(" or ", [](const FormatTools& tools) { return name_of(tools) + ":PATH"; });
}

/// " (FORMAT, ...)": the formats whose new images have this ability.
std::string where(bool NewImageCan::*can) {
    return " (" + listed(", ", [&](const FormatTools& tools) { return tools.can.*can ? name_of(tools) : ""; }) + ')';
}

struct Inspected {
    const FormatTools& tools;
    std::string path;
};

/// The image and its tools, from "FORMAT:/path".
Inspected inspected(const std::string& image) {
    const ImageSpec spec = parse_image_spec(image, Access::read_only);
    const FormatTools* const tools = find_tools(spec.format);
    if (tools != nullptr && !spec.path.empty() && spec.options.empty()) return {*tools, spec.path};
    throw_reason(std::make_error_code(std::errc::invalid_argument),
                 image + ": only " + possible_images() + ", without options, is possible");
}

void require_possible(const Inspected& image, const CommandLine& line) {
    const auto refuse = [&](const std::string& what) {
        throw_reason(std::make_error_code(std::errc::invalid_argument),
                     image.path + ": a " + name_of(image.tools) + " image " + what);
    };
    const NewImageCan& can = image.tools.can;
    if (line.new_image.fixed && !can.be_fixed) refuse("is never fixed");
    if (line.new_image.extended_l2 && !can.have_subclusters) refuse("has no extended L2 entries");
    if (!line.new_image.data_file.empty() && !can.have_data_file) refuse("has no data file");
}

/// The number of bytes that `text` stands for; `what` names it in the error.
std::uint64_t parse_bytes(const std::string& text, const std::string& what) {
    const auto bytes = parse_size(text);
    if (bytes) return *bytes;
    throw_reason(std::make_error_code(std::errc::invalid_argument), what + " " + text + " is not a number of bytes");
}

int create(const CommandLine& line, std::ostream&) {
    const Inspected image = inspected(line.image);
    require_possible(image, line);
    WantedImage wanted{.path = image.path,
                       .size_bytes = parse_bytes(line.size, "--size"),
                       .data_file = line.new_image.data_file,
                       .raw_data = line.new_image.raw_data,
                       .subclusters = line.new_image.extended_l2,
                       .fixed = line.new_image.fixed};
    if (!line.new_image.cluster_size.empty())
        wanted.cluster_bytes = parse_bytes(line.new_image.cluster_size, "--cluster-size");
    if (!line.new_image.backing.empty()) {
        const ImageSpec backing = parse_image_spec(line.new_image.backing, Access::read_only);
        wanted.base = backing.path;
        wanted.base_format = backing.format;
    }
    image.tools.create(wanted);
    if (!line.new_image.backing.empty())
        note_where_base_is(image.path, path_beside(image.path, wanted.base), *line.notes);
    return 0;
}

Json to_json(const ImageFacts& facts) {
    Json json = Json::object();
    for (const ImageFact& fact : facts)
        std::visit([&](const auto& value) { json[std::string(fact.name)] = value; }, fact.value);
    return json;
}

Json to_json(const ImageLayer& layer) {
    Json json = to_json(layer.facts);
    json["path"] = layer.path;
    json["format"] = layer.format;
    json["size-bytes"] = layer.size_bytes;
    json["stored-bytes"] = layer.stored_bytes;
    // The texts come from the image's headers, which anybody may have written.
    for (auto& value : json) {
        if (value.is_string()) value = printable(value.get<std::string>());
    }
    return json;
}

int exit_status(Soundness soundness) {
    switch (soundness) {  // the exit statuses of qemu-img check
        case Soundness::sound:
            return 0;
        case Soundness::untidy:
            return 3;
        default:
            return 2;
    }
}

int info(const CommandLine& line, std::ostream& out) {
    const Inspected image = inspected(line.image);
    Json chain = Json::array();
    for (const ImageLayer& layer : image.tools.describe(image.path))
        chain.push_back(to_json(layer));
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
    const CheckReport report = image.tools.check(image.path, tell);
    progress.clear();
    if (line.json) {
        print_result(line, out, to_json(report.facts));
    } else {
        out << report.text << '\n';
    }
    return exit_status(report.soundness);
}

int map(const CommandLine& line, std::ostream& out) {
    const Inspected image = inspected(line.image);
    Json extents = Json::array();
    std::vector<Row> rows{{"OFFSET", "LENGTH", "WHAT", "AT", "FILE"}};
    ProgressLine progress{"mapping"};
    const auto tell = [&](std::uint64_t done, std::uint64_t all) { progress.tell(done, all); };
    PieceJoiner joiner{[&](const DiskPiece& piece) {
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
    }};
    image.tools.map(image.path, tell, [&](const DiskPiece& piece) { joiner.add(piece); });
    joiner.finish();
    progress.clear();
    if (line.json) return print_result(line, out, {{"extents", extents}});
    print_table(out, rows);
    return 0;
}

CLI::App& add_for_image(CLI::App& app, CommandLine& line, const char* name, const char* what, Command command) {
    CLI::App& added = add_command(app, line, name, what, command);
    added.add_option("IMAGE", line.image, possible_images())->required();
    return added;
}

}  // namespace

void add_image_commands(CLI::App& app, CommandLine& line) {
    CLI::App& image = *app.add_subcommand("image", "Make and look at images that are not served");
    image.require_subcommand(1);
    image.fallthrough();
    CLI::App& make = add_for_image(image, line, "create", "Make an image", create);
    make.add_option("--size", line.size, "Of the disk: bytes, or with K, M, G or T: 20G")->required();
    const auto clusters = [](const FormatTools& tools) {
        return name_of(tools) + ": " + std::string(tools.cluster_help);
    };
    make.add_option("--cluster-size", line.new_image.cluster_size, listed("; ", clusters));
    make.add_flag("--extended-l2", line.new_image.extended_l2,
                  "Clusters, of at least 16K, have 32 subclusters" + where(&NewImageCan::have_subclusters));
    make.add_flag("--fixed", line.new_image.fixed,
                  "The file is as long as the disk from the start" + where(&NewImageCan::be_fixed));
    auto* data = make.add_option("--data-file", line.new_image.data_file,
                                 "A file of its own for the data, which is made" + where(&NewImageCan::have_data_file));
    const std::string plain{plain_format().name};
    make.add_flag("--data-file-raw", line.new_image.raw_data,
                  "That file is a " + plain + " image of the disk at any time")
        ->needs(data);
    make.add_option("--backing", line.new_image.backing,
                    "FORMAT:PATH of what the image begins as: " + plain + ", or of the same format");
    add_for_image(image, line, "info", "What an image and its backing files are", info);
    add_for_image(image, line, "check", "Whether an image's tables agree with each other", check);
    add_for_image(image, line, "map", "Where the disk's contents are", map);
    add_image_change_commands(image, line);
}

}  // namespace blktap::tap_ctl
