// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/registry.hpp"

#include "drivers/null/format.hpp"
#include "drivers/null/null_driver.hpp"
#include "drivers/qcow2/format.hpp"
#include "drivers/qcow2/qcow2_driver.hpp"
#include "drivers/raw/format.hpp"
#include "drivers/raw/raw_driver.hpp"
#include "drivers/vhd/format.hpp"
#include "drivers/vhd/vhd_driver.hpp"
#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"

namespace blktap {

void Registry::add(const Format& format, OpenImage open) {
    const bool added = drivers_.emplace(format.name, Driver{&format, open}).second;
    BLKTAP_ASSERT(added);
}

void Registry::open(const ImageSpec& spec, const DriverContext& context, ImageOpening& opening) const noexcept {
    try {
        opener_of(spec)(spec, context, opening);
    } catch (const std::system_error& error) {
        opening.fail(error);
    } catch (const std::exception& error) {
        opening.fail({std::make_error_code(std::errc::not_enough_memory), error.what()});
    }
}

OpenImage Registry::opener_of(const ImageSpec& spec) const {
    if (const auto found = drivers_.find(spec.format); found != drivers_.end()) return found->second.open;
    std::string known;
    for (const Format* const format : formats())
        known.append(known.empty() ? "" : ", ").append(format->name);
    throw_reason(std::make_error_code(std::errc::invalid_argument),
                 image_name(spec) + ": unknown format '" + spec.format + "' (known: " + known + ")");
}

std::vector<const Format*> Registry::formats() const {
    std::vector<const Format*> formats;
    for (const auto& [name, driver] : drivers_)
        formats.push_back(driver.format);
    return formats;
}

Registry all_drivers() {
    Registry registry;
    registry.add(null_format, &open_at_once<&open_null_image>);
    registry.add(qcow2::format, &open_at_once<&qcow2::open_qcow2_image>);
    registry.add(raw_format, &open_at_once<&open_raw_image>);
    registry.add(vhd::format, &open_at_once<&vhd::open_vhd_image>);
    return registry;
}

}  // namespace blktap
