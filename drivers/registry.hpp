// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Registry: which formats this program can open. Filled explicitly by whoever wires a program together; a driver does
// not register itself, and none is taken without its Format, which says what other programs must know of it. A format
// is always named by the user and never guessed from an image's first bytes: those are the guest's to write, and a
// guest that writes another format's header would choose which files of the host are opened.
//
// Tested by tests/unit/drivers/registry_test.cpp.
#pragma once

#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "drivers/formats/format.hpp"
#include "libblktap/driver_api/image_opening.hpp"

namespace blktap {

class Registry {
  public:
    /// Makes `format` known; each name once. Lifetime: `format` must outlive this and its copies.
    void add(const Format& format, OpenImage open);
    void add(const Format&& format, OpenImage open) = delete;
    /// Opens `spec` with the driver that it names. Lifetime: what `context` refers to must outlive the driver, and
    /// `opening` its end. Errors: through `opening`: EINVAL for an unknown format, naming the known ones, and the
    /// driver's.
    void open(const ImageSpec& spec, const DriverContext& context, ImageOpening& opening) const noexcept;

    /// In the order of their names.
    std::vector<const Format*> formats() const;

  private:
    OpenImage opener_of(const ImageSpec& spec) const;

    struct Driver {
        const Format* format;
        OpenImage open;
    };
    std::map<std::string_view, Driver> drivers_;
};

/// Every driver of this project.
Registry all_drivers();

}  // namespace blktap
