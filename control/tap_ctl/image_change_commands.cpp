// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// tap-ctl image snapshot and resize. An image that is not served is changed here, by its format's driver; for a
// snapshot of a running disk, tapback is asked.
#include <ostream>

#include "control/tap_ctl/backing_note.hpp"
#include "control/tap_ctl/command_line.hpp"
#include "control/tap_ctl/offline_image.hpp"
#include "control/tap_ctl/snapshot.hpp"
#include "control/tap_ctl/table.hpp"
#include "control/tap_ctl/vbd_list.hpp"
#include "drivers/shared/options.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::tap_ctl {
namespace {

using ipc::Json;

/// Rethrows the exception being handled, `error`; adds the advice if the image is in use, which no lock can give.
[[noreturn]] void throw_with_advice(const std::system_error& error, const std::string& advice) {
    if (error.code() != std::errc::device_or_resource_busy) throw;
    throw_reason(error.code(), std::string(error.what()) + " (" + advice + ")");
}

/// Whether `text` is DOMAIN/DEVICE or /path, and not FORMAT:PATH.
bool names_a_disk(const std::string& text) {
    return text.find(':') == std::string::npos || text.starts_with('/');
}

SnapshotResult snapshot_offline(const CommandLine& line, const ImageSpec& overlay) {
    try {
        return make_snapshot(parse_image_spec(line.image, Access::read_only), overlay, line.relative);
    } catch (const std::system_error& error) {
        throw_with_advice(error, "of a disk that runs: tap-ctl image snapshot VBD ...");
    }
}

int snapshot(const CommandLine& line, std::ostream& out) {
    const ImageSpec overlay = parse_image_spec(line.overlay, Access::read_write);
    const bool running = names_a_disk(line.image);
    SnapshotResult made;
    if (running) {
        TapbackClient tapback(line.socket);
        made = snapshot_running(find_vbd(line.image, tapback), tapback, overlay, line.relative);
    } else {
        made = snapshot_offline(line, overlay);
        note_where_base_is(made.image.path, made.base.path, *line.notes);
    }
    if (line.json) return print_result(line, out, {{"image", made.image}, {"base", made.base}, {"running", running}});
    const std::string name = printable(made.image.format + ':' + made.image.path);
    out << printable(made.base.format + ':' + made.base.path)
        << " keeps the disk's present contents, and must not be written any more\n";
    if (running) {
        out << "the disk goes on with " << name << ", which the guest's configuration must name from now on\n";
    } else {
        out << "later changes go to " << name << '\n';
    }
    return 0;
}

int resize(const CommandLine& line, std::ostream& out) {
    const auto size_bytes = parse_size(line.size);
    if (!size_bytes || *size_bytes == 0 || !is_aligned(*size_bytes, sector_size_bytes)) {
        throw std::runtime_error(line.size + ": not a size such as 512M, 20G or 2T, in whole sectors of 512 bytes");
    }
    const ImageSpec spec = parse_image_spec(line.image, Access::read_write);
    try {
        OfflineImage image{spec};
        const std::uint64_t before = image.info().size_sectors;
        if (*size_bytes / sector_size_bytes < before) {
            throw_reason(std::make_error_code(std::errc::invalid_argument),
                         image_name(spec) + ": has " + std::to_string(before * sector_size_bytes) +
                             " bytes; an image is never made smaller");
        }
        image.resize(*size_bytes / sector_size_bytes);
    } catch (const std::system_error& error) {
        throw_with_advice(error, "of a disk that runs: tap-ctl resize VBD SIZE");
    }
    return print_result(line, out, {{"size-bytes", *size_bytes}});
}

}  // namespace

void add_image_change_commands(CLI::App& image, CommandLine& line) {
    CLI::App& over =
        add_command(image, line, "snapshot", "Keep a disk's contents; write changes to a new image", snapshot);
    over.add_option("WHAT", line.image, "A running disk: DOMAIN/DEVICE or its image's path; or FORMAT:PATH")
        ->required();
    over.add_option("OVERLAY", line.overlay, "FORMAT:PATH of the new image")->required();
    over.add_flag("--relative", line.relative, "Name the old image by a path that begins at the new one");

    CLI::App& larger = add_command(image, line, "resize", "Enlarge an image that is not served", resize);
    larger.add_option("IMAGE", line.image, "FORMAT:PATH")->required();
    larger.add_option("SIZE", line.size, "The new size: bytes, or in units of 1024 with K, M, G or T: 20G")->required();
}

}  // namespace blktap::tap_ctl
