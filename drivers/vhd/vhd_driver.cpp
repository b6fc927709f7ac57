// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/vhd_driver.hpp"

#include <utility>

#include "drivers/tables/table_options.hpp"

namespace blktap::vhd {
namespace {

/// Enough for the partly set bitmaps of 32 GiB of blocks of 2 MiB. Full bitmaps need only a bit.
constexpr std::uint64_t cache_bytes_default = 8ULL << 20;

}  // namespace

VhdDriver::VhdDriver(OpenedImage opened, const DriverContext& context, std::uint64_t cache_bytes)
    : TableDriver(opened.info, std::make_unique<Image>(std::move(opened), context, cache_bytes)),
      image_(static_cast<Image&>(image())),
      tasks_(tasks_max) {
    use_tasks(std::span{tasks_});
    if (info().read_only) return;
    writer_.emplace(image_);
    resize_.emplace(*this, image_, *writer_);
    write_with(*writer_, *resize_);
}

std::uint64_t VhdDriver::least_file_bytes() const noexcept {
    return vhd::least_file_bytes(image_.top());
}

Extent VhdDriver::find(std::uint64_t offset, std::uint64_t length) noexcept {
    return resolve(image_.chain(), image_.cache(), offset, length);
}

Extent VhdDriver::find_in_place(std::uint64_t offset, std::uint64_t length) noexcept {
    return look_up(image_.chain(), 0, image_.cache(), offset, length);
}

std::unique_ptr<ImageDriver> open_vhd_image(const ImageSpec& spec, const DriverContext& context) {
    OptionReader reader{spec};
    const auto options = tables::take_table_options(reader, spec, context, cache_bytes_default);
    OpenedImage opened = open_chain(spec.path, spec.access, options.caching, context.files, options.memory_bytes);
    opened.memory->take(Image::memory_bytes(opened.chain, options.cache_bytes), spec.path, "its metadata-cache");
    return std::make_unique<VhdDriver>(std::move(opened), context, options.cache_bytes);
}

}  // namespace blktap::vhd
