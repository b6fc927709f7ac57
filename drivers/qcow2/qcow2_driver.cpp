// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/qcow2_driver.hpp"

#include <utility>

#include "drivers/tables/table_options.hpp"

namespace blktap::qcow2 {
namespace {

/// Maps 256 GiB with clusters of 64 KiB. Memory is used up gradually as the guest reaches more of the disk.
constexpr std::uint64_t cache_bytes_default = 32ULL << 20;

}  // namespace

Qcow2Driver::Qcow2Driver(OpenedImage opened, const DriverContext& context, std::uint64_t cache_bytes)
    : TableDriver(opened.info, std::make_unique<Image>(std::move(opened), context, cache_bytes)),
      image_(static_cast<Image&>(image())),
      tasks_(tasks_max) {
    use_tasks(std::span{tasks_});
    if (image_.refcounts() == nullptr) return;
    writer_.emplace(image_, tasks_);
    resize_.emplace(*this, image_, *writer_);
    write_with(*writer_, *resize_);
}

std::uint64_t Qcow2Driver::least_file_bytes() const noexcept {
    return least_data_bytes(image_.top());
}

Extent Qcow2Driver::find(std::uint64_t offset, std::uint64_t length) noexcept {
    return resolve(image_.chain(), 0, image_.cache(), offset, length);
}

Extent Qcow2Driver::find_in_place(std::uint64_t offset, std::uint64_t length) noexcept {
    const WriteStep found = writer_->map().find(offset, length);
    const bool usable = found.kind == WriteStep::Kind::in_place && !writer_->is_left_over(offset, length);
    return {usable ? Extent::Kind::data : Extent::Kind::unallocated, found.length, 0, found.host_offset};
}

std::error_code Qcow2Driver::decompress(const Extent& extent, std::span<const iovec> data) noexcept {
    return image_.decompress(extent, data);
}

std::unique_ptr<ImageDriver> open_qcow2_image(const ImageSpec& spec, const DriverContext& context) {
    OptionReader reader{spec};
    const std::string data_file = reader.take_text("data-file");
    const auto options = tables::take_table_options(reader, spec, context, cache_bytes_default);
    OpenedImage opened =
        open_chain(spec.path, spec.access, options.caching, context.files, data_file, options.memory_bytes);
    opened.memory->take(Image::memory_bytes(opened.chain, options.cache_bytes), spec.path,
                        "its metadata-cache, with buffers,");
    return std::make_unique<Qcow2Driver>(std::move(opened), context, options.cache_bytes);
}

}  // namespace blktap::qcow2
