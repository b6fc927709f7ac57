// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Core: an open chain of images and the I/O that reading and writing share: transfers between a file and memory,
// compressed clusters, and slices of L2 tables, each read once however many wait for it.
//
// Tested by tests/unit/qcow2/qcow2_driver_test.cpp.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "drivers/qcow2/decompressor.hpp"
#include "drivers/qcow2/open_image.hpp"
#include "drivers/qcow2/task.hpp"
#include "drivers/shared/bounce_buffer.hpp"

namespace blktap::qcow2 {

class Core {
  public:
    /// Slices that are being read at once.
    static constexpr std::size_t loads_max = 32;

    /// What a core for `chain` takes in memory, besides the chain and its bounce buffers.
    static std::uint64_t memory_bytes(const Chain& chain, std::uint64_t cache_bytes) noexcept;
    /// Lifetime: what `context` refers to outlives this. Errors: throws std::system_error (ENOMEM).
    Core(OpenedImage image, const DriverContext& context, std::uint64_t cache_bytes);
    Core(const Core&) = delete;
    Core& operator=(const Core&) = delete;

    OpenedImage& image() noexcept { return image_; }
    const OpenedImage& image() const noexcept { return image_; }
    Chain& chain() noexcept { return image_.chain; }
    Layer& top() noexcept { return image_.chain.front(); }
    const Layer& top() const noexcept { return image_.chain.front(); }
    SliceCache& cache() noexcept { return cache_; }
    IoQueue& io() noexcept { return io_; }
    WorkerPool& workers() noexcept { return workers_; }

    /// Direct I/O takes `data` at `offset` of that layer's file as it is.
    bool reaches(const Layer& layer, std::uint64_t offset, std::span<const iovec> data) const noexcept;
    /// Moves task.data from or to task.host_offset of task.layer; then calls task.next.
    void transfer(Task& task) noexcept;
    /// Copies what task.extent is, compressed, into task.data; then calls task.next.
    void decompress(Task& task) noexcept;
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
        Core* core = nullptr;
        std::uint32_t slot = SliceCache::none;  ///< none: it is free
    };
    static void transferred(IoOp& io) noexcept;
    static void slice_read(IoOp& io) noexcept;
    void bounce(Task& task) noexcept;
    std::error_code transfer_blocking(Task& task) noexcept;
    bool begin_load(const SliceCache::Key& key) noexcept;
    static void read_last_slice(WorkerJob& job) noexcept;
    void loaded(Load& load, std::error_code error) noexcept;

    OpenedImage image_;
    IoQueue& io_;
    WorkerPool& workers_;
    SliceCache cache_;
    std::vector<std::unique_ptr<BounceBuffer>> bounce_;  ///< of each layer
    std::unique_ptr<Decompressor> decompressor_;
    std::array<Load, loads_max> loads_;
    TaskList waiting_;  ///< for slices
};

}  // namespace blktap::qcow2
