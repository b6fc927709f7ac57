// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Qcow2Driver: a disk in a qcow2 image, with its backing files, on the engine of drivers/tables.
//
// User's view: docs/man/tapdisk-qcow2.7.scd. Rules on disk: docs/formats/qcow2.md. Tested by
// tests/unit/qcow2/qcow2_driver_test.cpp and tests/property/qcow2_property_test.cpp.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "drivers/qcow2/image.hpp"
#include "drivers/qcow2/resize.hpp"
#include "drivers/qcow2/writer.hpp"
#include "drivers/tables/table_driver.hpp"

namespace blktap::qcow2 {

class Qcow2Driver final : public tables::TableDriver {
  public:
    /// Lifetime: the objects of `context` must outlive the driver. Errors: throws std::system_error (ENOMEM).
    Qcow2Driver(OpenedImage opened, const DriverContext& context, std::uint64_t cache_bytes);

  private:
    Extent find(std::uint64_t offset, std::uint64_t length) noexcept override;
    Extent find_in_place(std::uint64_t offset, std::uint64_t length) noexcept override;
    std::error_code decompress(const Extent& extent, std::span<const iovec> data) noexcept override;
    std::uint64_t least_file_bytes() const noexcept override;

    Image& image_;
    std::vector<Task> tasks_;
    std::optional<Writer> writer_;
    std::optional<Resize> resize_;
};

/// Opens "qcow2:PATH"; options buffered=yes|no, metadata-cache=SIZE, memory-budget=SIZE and data-file=PATH. An
/// OpenImageAtOnce.
std::unique_ptr<ImageDriver> open_qcow2_image(const ImageSpec& spec, const DriverContext& context);

}  // namespace blktap::qcow2
