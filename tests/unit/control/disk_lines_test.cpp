// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Feeds every disk line of docs/XL-DISKS.md to xl's own parser, and the nodes that xl would write to block-tapdisk's
// parser: the result must be the image that the page names.
#include <fstream>
#include <memory>
#include <regex>

#include "control/client/image_target.hpp"
#include "control/tap_ctl/table.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"

extern "C" {
#include <libxl.h>
#include <libxlutil.h>
}

namespace blktap::tap_ctl {
namespace {

struct DiskLine {
    std::string line;
    std::string image;
};

/// The rows of the page's tables "| line | image |".
std::vector<DiskLine> lines_of_page() {
    const std::regex row("\\| `([^`]*)` \\| `([^`]*)` \\|");
    std::ifstream page(BLKTAP_SOURCE_DIR "/docs/XL-DISKS.md");
    std::vector<DiskLine> lines;
    bool inside = false;
    for (std::string text; std::getline(page, text);) {
        if (!text.starts_with('|')) inside = false;
        if (text == "| line | image |") inside = true;
        std::smatch cells;
        if (inside && std::regex_match(text, cells, row)) lines.push_back({cells[1], cells[2]});
    }
    return lines;
}

class ParsedDisk {
  public:
    explicit ParsedDisk(const std::string& line) : config_(xlu_cfg_init(stderr, "disk line"), xlu_cfg_destroy) {
        libxl_device_disk_init(&disk_);
        const char* text = line.c_str();
        error_ = xlu_disk_parse(config_.get(), 1, &text, &disk_);
    }
    ParsedDisk(const ParsedDisk&) = delete;
    ParsedDisk& operator=(const ParsedDisk&) = delete;
    ~ParsedDisk() { libxl_device_disk_dispose(&disk_); }

    int error() const { return error_; }
    const libxl_device_disk& disk() const { return disk_; }
    std::string target() const { return disk_.pdev_path; }
    std::string script() const { return disk_.script == nullptr ? "" : disk_.script; }
    bool is_tap() const { return disk_.backend == LIBXL_DISK_BACKEND_TAP; }
    bool is_vhd() const { return disk_.format == LIBXL_DISK_FORMAT_VHD; }
    /// As libxl writes it: the target as it is to a backend in vbd, with the format's prefix to one in vbd3.
    std::string params() const { return is_tap() ? (is_vhd() ? "vhd:" : "aio:") + target() : target(); }

  private:
    std::unique_ptr<XLU_Config, void (*)(XLU_Config*)> config_;
    libxl_device_disk disk_{};
    int error_ = 0;
};

}  // namespace

TEST_CASE("disk lines: xl understands every line of the page, and we the image that the page says", "[unit][control]") {
    const auto lines = lines_of_page();
    REQUIRE(lines.size() == 24);
    for (const DiskLine& line : lines) {
        INFO(line.line);
        const ParsedDisk parsed(line.line);
        REQUIRE(parsed.error() == 0);
        // Else libxl would give it to QEMU.
        CHECK((parsed.disk().format == LIBXL_DISK_FORMAT_RAW || (parsed.is_tap() && parsed.is_vhd())));
        CHECK(image_text(image_of_params(parsed.params(), parsed.disk().readwrite != 0 ? "w" : "r")) == line.image);
    }
}

TEST_CASE("disk lines: xl takes the lines of other formats for QEMU's, as the page says", "[unit][control]") {
    CHECK(ParsedDisk("tap:qcow2:/srv/a.qcow2,xvda,w").disk().format == LIBXL_DISK_FORMAT_QCOW2);
    CHECK(ParsedDisk("/srv/a.qcow2,qcow2,xvda,w").disk().format == LIBXL_DISK_FORMAT_QCOW2);
    CHECK(ParsedDisk("tap:vhd:/srv/a.vhd,xvda,w").disk().format == LIBXL_DISK_FORMAT_VHD);
}

TEST_CASE("disk lines: a script is named only where the page names one", "[unit][control]") {
    for (const DiskLine& line : lines_of_page()) {
        INFO(line.line);
        const ParsedDisk parsed(line.line);
        CHECK((parsed.script() == "block-tapdisk") == (line.line.find("script=") != std::string::npos));
        CHECK(parsed.is_tap() == (line.line.find("backendtype=tap") != std::string::npos));
    }
}

}  // namespace blktap::tap_ctl
