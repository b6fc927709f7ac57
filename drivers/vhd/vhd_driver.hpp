// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// VhdDriver: a disk in a VHD image, with its parents, on the engine of drivers/tables.
//
// User's view: docs/man/tapdisk-vhd.7.scd. Rules on disk: docs/formats/vhd.md. Tested by
// tests/unit/vhd/vhd_driver_test.cpp and tests/property/vhd_property_test.cpp.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "drivers/tables/table_driver.hpp"
#include "drivers/vhd/image.hpp"
#include "drivers/vhd/resize.hpp"
#include "drivers/vhd/writer.hpp"

namespace blktap::vhd {

class VhdDriver final : public tables::TableDriver {
  public:
    /// Lifetime: the objects of `context` must outlive the driver. Errors: throws std::system_error (ENOMEM).
    VhdDriver(OpenedImage opened, const DriverContext& context, std::uint64_t cache_bytes);

  private:
    Extent find(std::uint64_t offset, std::uint64_t length) noexcept override;
    Extent find_in_place(std::uint64_t offset, std::uint64_t length) noexcept override;
    std::uint64_t least_file_bytes() const noexcept override;

    Image& image_;
    std::vector<Task> tasks_;
    std::optional<Writer> writer_;
    std::optional<Resize> resize_;
};

/// Opens "vhd:PATH"; options buffered=yes|no, metadata-cache=SIZE and memory-budget=SIZE. An OpenImageAtOnce.
std::unique_ptr<ImageDriver> open_vhd_image(const ImageSpec& spec, const DriverContext& context);

}  // namespace blktap::vhd
