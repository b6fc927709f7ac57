// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/end_writing.hpp"

#include <unistd.h>

#include "drivers/shared/blocking_io.hpp"
#include "drivers/vhd/open_image.hpp"
#include "drivers/vhd/table_io.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::vhd {
namespace {

void write_end_footer(const Layer& layer) {
    if (!layer.growable) return write_bytes(layer, layer.file_bytes - footer_bytes, layer.footer.bytes());
    if (const auto error = require_length(layer.fd.get(), least_file_bytes(layer))) throw_error(error, layer.name);
    const Occupied occupied = find_occupied(layer);
    if (occupied.problems > 0) throw_reason(Errc::image_invalid, layer.name + ": " + occupied.first_problem);
    // Rounded so that direct I/O can reach the file's end.
    const std::uint64_t end = round_up(occupied.end + footer_bytes, layer.offset_alignment);
    if (::ftruncate(layer.fd.get(), static_cast<off_t>(end - footer_bytes)) != 0 ||
        ::ftruncate(layer.fd.get(), static_cast<off_t>(end)) != 0) {
        throw_system_error(layer.name);
    }
    write_bytes(layer, end - footer_bytes, layer.footer.bytes());
}

}  // namespace

void end_writing(const Layer& layer) noexcept {
    if (layer.raw || layer.end_footer) return;
    try {
        write_end_footer(layer);
    } catch (const std::exception& error) {
        log::warning("image.close", {{"image", layer.name}, {"reason", error.what()}});
    }
}

}  // namespace blktap::vhd
