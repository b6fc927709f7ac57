// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tap_ctl/image_formats.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <vector>

#include "drivers/qcow2/create.hpp"
#include "drivers/qcow2/open_image.hpp"
#include "drivers/shared/blocking_io.hpp"
#include "drivers/vhd/create.hpp"
#include "drivers/vhd/open_image.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/files/image_path.hpp"
#include "libblktap/files/local_image_opener.hpp"

namespace blktap {
namespace {

std::string make_qcow2(const Overlay& overlay) {
    qcow2::NewImage image;
    image.path = overlay.path;
    image.size_bytes = overlay.size_bytes;
    image.backing_file = overlay.base;
    image.backing_format = overlay.base_format;
    qcow2::create_image(image);
    try {
        LocalImageOpener files;
        return qcow2::open_chain(image.path, Access::read_only, Caching::buffered, files).chain.at(1).name;
    } catch (const std::system_error&) {
        ::unlink(image.path.c_str());
        throw;
    }
}

std::string make_vhd(const Overlay& overlay) {
    vhd::create_image({.path = overlay.path,
                       .size_bytes = overlay.size_bytes,
                       .parent = overlay.base,
                       .parent_is_raw = overlay.base_format == "raw"});
    try {
        LocalImageOpener files;
        return vhd::open_chain(overlay.path, Access::read_only, Caching::buffered, files).chain.at(1).name;
    } catch (const std::system_error&) {
        ::unlink(overlay.path.c_str());
        throw;
    }
}

constexpr OverlayFormat formats[] = {
    {"raw", "qcow2", false, &make_qcow2},
    {"qcow2", "qcow2", false, &make_qcow2},
    {"raw", "vhd", true, &make_vhd},
    {"vhd", "vhd", true, &make_vhd},
};

}  // namespace

const OverlayFormat& overlay_format(const std::string& base_format, const std::string& format) {
    std::string possible;
    for (const OverlayFormat& each : formats) {
        if (base_format != each.base_format) continue;
        if (format == each.format) return each;
        possible += (possible.empty() ? "" : " or ") + std::string(each.format);
    }
    const std::string reason = possible.empty()
                                   ? "no image can be made over one of the format '" + base_format + "'"
                                   : "over an image of the format '" + base_format + "' one can have the format " +
                                         possible + ", not '" + format + "'";
    throw_reason(std::make_error_code(std::errc::invalid_argument), reason);
}

std::string named_data_file(const std::string& format, const std::string& path) {
    if (format != "qcow2") return {};
    const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (!fd) throw_system_error(path);
    std::vector<std::byte> bytes(qcow2::header_bytes_max);
    const auto count = read_at(fd.get(), bytes, 0);
    if (!count) throw_error(count.error(), path + ": cannot read its header");
    const qcow2::Header header = qcow2::parse_header(std::span{bytes}.first(count.value()), path);
    return header.data_file.empty() ? std::string{} : path_beside(path, header.data_file);
}

}  // namespace blktap
