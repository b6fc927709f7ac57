// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ImageIo: the I/O to an open chain of images, for reading and writing: transfers between a file and memory, and loads
// of slices of tables, each read once however many tasks wait for it.
//
// Tested by tests/unit/qcow2/qcow2_driver_test.cpp and tests/unit/vhd/vhd_driver_test.cpp.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "drivers/shared/bounce_buffer.hpp"
#include "drivers/shared/file_request.hpp"
#include "drivers/shared/slice_cache.hpp"
#include "drivers/tables/image_file.hpp"
#include "drivers/tables/task.hpp"

namespace blktap::tables {

class ImageIo {
  public:
    /// Most slices that are read at once.
    static constexpr std::size_t loads_max = 32;

    /// Lifetime: the objects of `context` outlive this. Errors: throws std::system_error (ENOMEM).
    ImageIo(const DriverContext& context, std::uint64_t cache_bytes,
            std::size_t slice_bytes = SliceCache::slice_bytes_max);
    ImageIo(const ImageIo&) = delete;
    ImageIo& operator=(const ImageIo&) = delete;
    virtual ~ImageIo() = default;

    /// Adds the next file of the chain; the first is the one that the guest writes. Lifetime: `file` outlives this, and
    /// must not move. Errors: throws std::system_error (ENOMEM).
    void add(ImageFile& file);

    ImageFile& top_file() noexcept { return *files_.front(); }
    SliceCache& cache() noexcept { return cache_; }
    IoQueue& io() noexcept { return io_; }
    WorkerPool& workers() noexcept { return workers_; }

    /// Stages `request` as one operation on `layer`'s data at `offset`, which completes it. Returns false, and does
    /// nothing, if the request does not suit direct I/O.
    bool stage(FileRequest& request, std::uint32_t layer, IoOp::Kind kind, std::uint64_t offset) noexcept;
    /// Does task.transfer; then calls task.next.
    void transfer(Task& task) noexcept;
    /// Zeroes [begin, end) of the file with the top layer's data, whole sectors, while the guest may be writing next to
    /// it. Context: a worker's thread; blocks.
    std::error_code write_zeros(std::uint64_t begin, std::uint64_t end) noexcept;
    /// Calls task.next when the slice at `offset` of `layer` is in the cache, or with an error.
    void load_slice(Task& task, std::uint32_t layer, std::uint64_t offset) noexcept;
    /// Call when slices were unpinned: begins loads that found no slot.
    void begin_loads() noexcept;

  private:
    struct Load {
        IoOp io{};
        iovec entry{};
        WorkerJob job{};  ///< instead of `io`, if the file ends inside of the slice
        std::error_code job_error{};
        std::uint64_t file_end = 0;
        ImageIo* image = nullptr;
        std::uint32_t slot = SliceCache::none;  ///< none: this load is free
    };
    static bool reaches(const ImageFile& file, std::uint64_t offset, std::span<const iovec> data) noexcept;
    static void request_transferred(IoOp& io) noexcept;
    static void transferred(IoOp& io) noexcept;
    static void slice_read(IoOp& io) noexcept;
    void bounce(Task& task) noexcept;
    std::error_code transfer_blocking(const Transfer& what) noexcept;
    bool begin_load(const SliceCache::Key& key) noexcept;
    static void read_last_slice(WorkerJob& job) noexcept;
    void loaded(Load& load, std::error_code error) noexcept;

    IoQueue& io_;
    WorkerPool& workers_;
    SliceCache cache_;
    std::vector<ImageFile*> files_;
    std::vector<std::unique_ptr<BounceBuffer>> bounce_;  ///< of each file
    std::array<Load, loads_max> loads_;
    TaskList waiting_;  ///< tasks that wait for slices
};

}  // namespace blktap::tables
