// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Registry: the formats that this program can open. main() fills it explicitly: a driver does not register itself, and
// is accepted only with its Format, the description for other programs. A format is always named by the user and never
// guessed from an image's first bytes: a guest can write these, and with another format's header it could choose which
// files of the host are opened.
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
    /// Adds `format`; each name once. Lifetime: `format` must outlive this and its copies.
    void add(const Format& format, OpenImage open);
    void add(const Format&& format, OpenImage open) = delete;
    /// Opens `spec` with the driver that it names. Lifetime: the objects of `context` must outlive the driver;
    /// `opening` must live until it has ended. Errors: through `opening`: EINVAL for an unknown format, naming the
    /// known ones, and the driver's.
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
