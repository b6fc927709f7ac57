// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tap_ctl/table.hpp"

#include <algorithm>
#include <array>
#include <ostream>
#include <string_view>

#include "libblktap/base/utf8.hpp"
#include "libblktap/ipc/json_text.hpp"

namespace blktap::tap_ctl {
namespace {

/// The number of characters, not bytes: UTF-8's continuation bytes take no room.
std::size_t width_of(const std::string& text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xc0) != 0x80; }));
}

/// Whether a character is printed as it is. `character`: a whole one, or a byte that belongs to none.
bool is_shown(std::string_view character) {
    const auto first = static_cast<unsigned char>(character.front());
    if (character.size() == 1) return first >= 0x20 && first < 0x7f;
    // U+0080 to U+009F are control characters too.
    return first != 0xc2 || static_cast<unsigned char>(character[1]) >= 0xa0;
}

std::string number_or_dash(const std::optional<std::uint32_t>& number) {
    return number ? std::to_string(*number) : "-";
}

std::string version_text(const std::optional<ipc::AboutResult>& about) {
    return about ? about->version : "-";
}

std::string running_text(const std::optional<ipc::AboutResult>& about) {
    return about ? duration_text(about->running_seconds) : "-";
}

std::string sandbox_text(const std::optional<ipc::AboutResult>& about) {
    if (!about) return "-";
    return about->sandbox.empty() ? "none" : about->sandbox;
}

void append_values(std::vector<Row>& rows, const std::string& name, const ipc::Json& json) {
    if (!json.is_structured() || json.empty()) {
        // An empty object has no line; an empty array is a value.
        if (!json.is_object()) rows.push_back({name, json.is_string() ? json.get<std::string>() : ipc::to_text(json)});
        return;
    }
    const std::string prefix = name.empty() ? "" : name + '.';
    for (const auto& [key, value] : json.items())
        append_values(rows, prefix + key, value);
}

/// The number and name of a xenbus state: "4 (Connected)".
std::string xenbus_state(std::uint32_t state) {
    constexpr std::array names{"none",    "Initialising", "InitWait",      "Initialised", "Connected",
                               "Closing", "Closed",       "Reconfiguring", "Reconfigured"};
    return std::to_string(state) + " (" + (state < names.size() ? names.at(state) : "unknown") + ')';
}

}  // namespace

std::string printable(const std::string& text) {
    std::string safe;
    for (std::string_view left = text; !left.empty();) {
        const std::string_view character = left.substr(0, std::max<std::size_t>(utf8_length(left), 1));
        left.remove_prefix(character.size());
        if (is_shown(character)) {
            safe += character;
        } else {
            for (const char byte : character)
                safe += escaped_byte(byte);
        }
    }
    return safe;
}

void print_table(std::ostream& out, const std::vector<Row>& rows) {
    std::vector<std::size_t> widths;
    for (const Row& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t column = 0; column < row.size(); ++column)
            widths[column] = std::max(widths[column], width_of(printable(row[column])));
    }
    for (const Row& row : rows) {
        for (std::size_t column = 0; column < row.size(); ++column) {
            const std::string cell = printable(row[column]);
            out << cell;
            if (column + 1 < row.size()) out << std::string(widths[column] - width_of(cell) + 2, ' ');
        }
        out << '\n';
    }
}

std::string size_text(std::uint64_t sectors) {
    constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB"};
    long double size = static_cast<long double>(sectors) * 512;  // 2^64 sectors are more bytes than an integer holds
    std::size_t unit = 0;
    while (size >= 1024) {
        size /= 1024;
        ++unit;
    }
    const auto tenths = static_cast<std::uint64_t>(size * 10);
    if (unit == 0) return std::to_string(tenths / 10) + " B";
    return std::to_string(tenths / 10) + '.' + std::to_string(tenths % 10) + ' ' + units.at(unit);
}

std::string image_text(const ipc::ImageArguments& image) {
    std::string text = image.format + ':' + image.path;
    char separator = '?';
    for (const auto& [name, value] : image.options) {
        text.append(1, separator).append(name).append(1, '=').append(value);
        separator = '&';
    }
    return text + (image.read_only ? " (read-only)" : "");
}

void print_list(std::ostream& out, const ipc::ListResult& list) {
    const auto& vbds = list.vbds;
    std::vector<Row> rows{{"VBD", "DEVICE", "PID", "STATE", "IMAGE"}};
    for (const ipc::VbdEntry& vbd : vbds) {
        rows.push_back({vbd.backend.name(), ipc::device_name(vbd.backend.device), number_or_dash(vbd.pid), vbd.state,
                        vbd.image ? image_text(*vbd.image) : "-"});
    }
    print_table(out, rows);
    for (const ipc::VbdEntry& vbd : vbds) {
        if (vbd.problem) out << vbd.backend.name() << ": " << printable(*vbd.problem) << '\n';
    }
    if (!list.sandbox.empty())
        out << "tapdisk.conf has sandbox = " << printable(list.sandbox) << ": for debugging only\n";
}

std::string duration_text(std::uint64_t seconds) {
    if (seconds < 60) return std::to_string(seconds) + " s";
    if (seconds < 2 * 60 * 60) return std::to_string(seconds / 60) + " min";
    const std::uint64_t hours = seconds / (60 * 60);
    return hours < 2 * 24 ? std::to_string(hours) + " h" : std::to_string(hours / 24) + " days";
}

void print_tapdisks(std::ostream& out, const std::vector<VbdTapdisk>& vbds) {
    std::vector<Row> rows{{"VBD", "DEVICE", "PID", "VERSION", "RUNNING", "SANDBOX", "STATE"}};
    for (const auto& [vbd, about] : vbds) {
        rows.push_back({vbd.backend.name(), ipc::device_name(vbd.backend.device), number_or_dash(vbd.pid),
                        version_text(about), running_text(about), sandbox_text(about), vbd.state});
    }
    print_table(out, rows);
}

void print_info(std::ostream& out, const VbdTapdisk& of) {
    const auto& [vbd, about] = of;
    std::vector<Row> rows{{"vbd", vbd.backend.name()},
                          {"device", ipc::device_name(vbd.backend.device)},
                          {"backend", vbd.backend.backend_path()},
                          {"state", vbd.state},
                          {"backend state", xenbus_state(vbd.backend_state)},
                          {"frontend state", xenbus_state(vbd.frontend_state)},
                          {"pid", number_or_dash(vbd.pid)},
                          {"version", version_text(about)},
                          {"running", running_text(about)},
                          {"sandbox", sandbox_text(about)}};
    if (vbd.minor) rows.push_back({"minor", std::to_string(*vbd.minor)});
    if (vbd.image) rows.push_back({"image", image_text(*vbd.image)});
    if (const auto& device = vbd.description) {
        rows.push_back({"size", std::to_string(device->size_sectors) + " sectors, " + size_text(device->size_sectors)});
        rows.push_back({"read-only", device->read_only ? "yes" : "no"});
        rows.push_back({"physical sector", std::to_string(device->physical_sector_size_bytes) + " B"});
        rows.push_back({"discard", device->discard ? std::to_string(device->discard_granularity_bytes) + " B" : "no"});
    }
    if (vbd.problem) rows.push_back({"problem", *vbd.problem});
    print_table(out, rows);
}

void print_values(std::ostream& out, const ipc::Json& json) {
    std::vector<Row> rows;
    append_values(rows, "", json);
    print_table(out, rows);
}

}  // namespace blktap::tap_ctl
