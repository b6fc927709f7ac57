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

std::unique_ptr<ImageDriver> Registry::open(const ImageSpec& spec, const DriverContext& context) const {
    if (const auto found = drivers_.find(spec.format); found != drivers_.end())
        return found->second.open(spec, context);
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
    registry.add(null_format, &open_null_image);
    registry.add(qcow2::format, &qcow2::open_qcow2_image);
    registry.add(raw_format, &open_raw_image);
    registry.add(vhd::format, &vhd::open_vhd_image);
    return registry;
}

}  // namespace blktap
