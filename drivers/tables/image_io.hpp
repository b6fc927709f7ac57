// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ImageIo: the I/O to an open chain of images that reading and writing share: transfers between a file and memory, and
// slices of tables, each read once however many wait for it.
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
    /// Slices that are being read at once.
    static constexpr std::size_t loads_max = 32;

    /// Lifetime: what `context` refers to outlives this. Errors: throws std::system_error (ENOMEM).
    ImageIo(const DriverContext& context, std::uint64_t cache_bytes,
            std::size_t slice_bytes = SliceCache::slice_bytes_max);
    ImageIo(const ImageIo&) = delete;
    ImageIo& operator=(const ImageIo&) = delete;
    virtual ~ImageIo() = default;

    /// Adds the next file of the chain, the one that the guest writes first. Lifetime: `file` outlives this, and stays
    /// where it is. Errors: throws std::system_error (ENOMEM).
    void add(ImageFile& file);

    ImageFile& top_file() noexcept { return *files_.front(); }
    SliceCache& cache() noexcept { return cache_; }
    IoQueue& io() noexcept { return io_; }
    WorkerPool& workers() noexcept { return workers_; }

    /// Hands `request` to the queue as one operation on `layer`'s data at `offset`, which completes it. False: direct
    /// I/O does not take it as it is, and nothing has happened.
    bool stage(FileRequest& request, std::uint32_t layer, IoOp::Kind kind, std::uint64_t offset) noexcept;
    /// Does task.transfer; then calls task.next.
    void transfer(Task& task) noexcept;
    /// Sets [begin, end) of the file with the top layer's data, whole sectors, to zeros; the guest may be writing next
    /// to it. Context: a worker's thread; blocks.
    std::error_code write_zeros(std::uint64_t begin, std::uint64_t end) noexcept;
    /// Calls task.next when the slice at `offset` of `layer` is in the cache, or cannot be.
    void load_slice(Task& task, std::uint32_t layer, std::uint64_t offset) noexcept;
    /// Slices are not pinned any more: begins what had no place.
    void begin_loads() noexcept;

  private:
    struct Load {
        IoOp io{};
        iovec entry{};
        WorkerJob job{};  ///< instead of `io`, where the file ends inside of the slice
        std::error_code job_error{};
        std::uint64_t file_end = 0;
        ImageIo* image = nullptr;
        std::uint32_t slot = SliceCache::none;  ///< none: it is free
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
    TaskList waiting_;  ///< for slices
};

}  // namespace blktap::tables
