// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Disk: one image, open or not, and the objects that bring requests to it, from any client. Its states:
//
//   closed --open--> open --close--> closed
//                      \--- pause ---> paused --- resume ---> open
//
// All of these take time. open() and resume() report their result, and keep the old state until then: opening(). To
// pause or close, wait until unused(), then call flush_and_close(). Errors are std::system_error with a text that names
// the image.
//
// Tested by tests/unit/tapdisk/vbd_test.cpp, tests/unit/tapdisk/disk/pause_test.cpp, async_image_test.cpp.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "drivers/registry.hpp"
#include "libblktap/aio/io_queue.hpp"
#include "libblktap/base/event_loop.hpp"
#include "libblktap/base/worker_pool.hpp"
#include "libblktap/driver_api/scratch_memory.hpp"
#include "tapdisk/disk/disk_problems.hpp"
#include "tapdisk/disk/scheduler.hpp"
#include "tapdisk/disk/storage_health.hpp"
#include "tapdisk/disk/storage_watch.hpp"

namespace blktap {

class Disk {
  public:
    struct Options {
        unsigned aio_slots = IoQueue::default_slots;
        /// For each image without this option of its own.
        std::uint64_t memory_budget_bytes = default_memory_budget_bytes;
    };
    /// Called once when an operation is over.
    using Done = std::function<void(std::error_code)>;
    /// Called once when an image is open (null) or could not be opened (the error); perhaps before the call that began
    /// the opening returns. Must not throw.
    using Opened = std::function<void(const std::system_error* error)>;
    enum class State : std::uint8_t { closed, open, paused };

    /// All references outlive the disk. Errors: throws std::system_error (AIO, descriptors).
    Disk(EventLoop& loop, AioKernel& kernel, const Registry& drivers, const Options& options);
    Disk(const Disk&) = delete;
    Disk& operator=(const Disk&) = delete;
    ~Disk();

    /// Opens an image; `files` opens its files, also when it is resumed. Call neither this nor resume() while
    /// opening().
    void open(const ImageSpec& image, std::unique_ptr<ImageOpener> files, Opened opened);
    /// Opens the paused image again, or another one at least as large, and serves it. `files`: null to use the same
    /// opener.
    void resume(const std::optional<ImageSpec>& image, std::unique_ptr<ImageOpener> files, Opened opened);
    /// Goes on where a tapdisk died: paused, as if `image`, of which guests were told `told`, had been open; resume()
    /// opens it. Only while closed.
    void recover(const ImageSpec& image, std::unique_ptr<ImageOpener> files, const ImageInfo& told);
    /// recover() was called, and no image was opened since.
    bool recovering() const noexcept { return recovering_; }
    /// Whether open() or resume() is under way.
    bool opening() const noexcept { return opening_ != nullptr; }
    /// Ends the opening with an error, at once or soon; no-op if there is none.
    void cancel_opening() noexcept;
    /// Retries requests that wait for space, and operations that the kernel refused, at once.
    void retry() noexcept;
    /// Answers held flushes with an error.
    void accept_loss();
    /// Grows the image and the device to `size_bytes`. Errors: also through `done`: EINVAL (below the current size, not
    /// a multiple of the disk's smallest write, or more than a block device has), EOPNOTSUPP (the format cannot grow),
    /// ENOSPC.
    void resize(std::uint64_t size_bytes, Done done);

    /// Whether only requests that the scheduler counts use the open image.
    bool unused() const noexcept { return !watch_.busy() && !resize_.done; }
    /// Flushes and closes the image, while nothing uses it, or cancels an opening. Calls `done` from a later look().
    /// Requests wait until resume().
    void flush_and_close(Done done);
    /// flush_and_close() was for a pause().
    void become_paused() noexcept { state_ = State::paused; }
    /// flush_and_close() was for good.
    void become_closed() noexcept;

    /// Called each turn, after the requests. Returns true if an image was closed and `done` was called.
    bool look();

    State state() const noexcept { return state_; }
    /// The image as it was opened first, or resized, which is what guests were offered. Only while not closed.
    const ImageInfo& info() const noexcept { return info_; }
    const ImageSpec& image() const noexcept { return image_; }
    /// The open driver; null while paused or closed, and while it is being closed.
    const ImageDriver* driver() const noexcept { return driver_.get(); }

    Scheduler& scheduler() noexcept { return scheduler_; }
    const Scheduler& scheduler() const noexcept { return scheduler_; }
    StorageHealth& health() noexcept { return health_; }
    const StorageHealth& health() const noexcept { return health_; }
    DiskProblems& problems() noexcept { return problems_; }
    const DiskProblems& problems() const noexcept { return problems_; }
    IoQueue& io() noexcept { return io_; }
    const IoQueue& io() const noexcept { return io_; }
    WorkerPool& workers() noexcept { return workers_; }

  private:
    struct Opening;
    void begin_opening(const ImageSpec& image, std::unique_ptr<ImageOpener> files, Opened opened);
    void opening_over(OpenResult result) noexcept;
    void check_resumed(const ImageInfo& info) const;
    void use(std::unique_ptr<ImageDriver>& driver);
    void end_opening(const std::system_error* error) noexcept;
    void resized(std::error_code error);
    void close_flushed_image();

    EventLoop& loop_;
    const Registry& drivers_;
    const Options options_;
    WorkerPool workers_;
    IoQueue io_;
    EventLoop::Watch completion_watch_;
    StorageHealth health_;
    Scheduler scheduler_;
    StorageWatch watch_;
    DiskProblems problems_;

    State state_ = State::closed;
    bool recovering_ = false;
    ImageSpec image_;
    std::unique_ptr<ImageOpener> files_;
    std::unique_ptr<Opening> opening_;
    std::unique_ptr<ImageDriver> driver_;
    ImageInfo info_;
    struct FinalFlush : ImageRequest {
        struct Result {
            std::error_code error{};
            Retry retry = Retry::never;
        };
        Done done{};
        std::optional<Result> result{};  ///< the flush has ended: close the image in the next look()
        std::error_code error{};         ///< the flush's error, for `done`
        bool closed = false;             ///< the image is closed: tell `done` in the next look()
    } final_flush_;
    struct Resize : ImageRequest {
        Disk* disk = nullptr;
        Done done{};
        std::uint64_t size_sectors = 0;
    } resize_;
    std::unique_ptr<ScratchMemory> scratch_;  ///< of these two, for driver_
};

}  // namespace blktap
