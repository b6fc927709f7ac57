// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FileGrowth: makes the file under a disk longer as the guest writes, ahead of the writes and off the ring's thread.
//
// The file system does an extending write synchronously inside io_submit(), and for every change of the size it takes
// the file's lock and waits for I/O under way. So a worker makes the file longer and allocates the new part in one
// step, well before the guest writes there; meanwhile requests wait here, in order, instead of in the kernel. Reasons
// and alternatives: docs/decisions/0012-growth.md.
//
// Tested by tests/unit/drivers/file_growth_test.cpp and tests/property/driver_property_test.cpp.
#pragma once

#include <cstdint>

#include "drivers/shared/file_request.hpp"
#include "libblktap/driver_api/image_driver.hpp"

namespace blktap {

class FileGrowth {
  public:
    /// How far ahead of a write the file is made longer: an eighth of its length, within these bounds.
    static constexpr std::uint64_t ahead_min_bytes = 32ULL << 20;
    static constexpr std::uint64_t ahead_max_bytes = 256ULL << 20;

    /// All in bytes. `end`: the file's length. `device`: its largest length. Both are multiples of `block`, a power of
    /// two.
    struct Sizes {
        std::uint64_t end = 0;
        std::uint64_t device = 0;
        std::uint64_t block = sector_size_bytes;
    };
    /// Called for a request that waited, on the loop's thread. With an error the request has failed; else it must be
    /// started again.
    using Resumed = void (*)(FileRequest&, std::error_code) noexcept;

    /// Lifetime: `fd` stays open and `context` alive as long as this. `fd` is a regular file.
    FileGrowth(int fd, const DriverContext& context, const Sizes& sizes, Resumed resumed);
    FileGrowth(const FileGrowth&) = delete;
    FileGrowth& operator=(const FileGrowth&) = delete;
    /// No growth may be under way. None is when the last request, a flush, has been answered.
    ~FileGrowth();

    /// The file's length; sectors behind it read as zeros.
    std::uint64_t end_bytes() const noexcept { return sizes_.end; }
    /// The end of the written data, or of the file when the image was opened.
    std::uint64_t written_bytes() const noexcept { return written_bytes_; }

    /// Returns true if `request` may start. Otherwise keeps it, because the file is being changed or is too short for
    /// this write, and returns it later through Resumed.
    bool admit(FileRequest& request) noexcept;
    /// Notes an admitted write that starts. Returns whether it is the first write to its range, as far as is known.
    bool note_write(SectorRange range) noexcept;
    /// Call when a read or write has ended: makes the file longer if a request waits for that, or will need it soon.
    void look_ahead() noexcept;
    /// Call when another request has ended: makes the file longer only if a request waits for that.
    void look() noexcept;
    /// Grows file and device to `device_bytes`, a multiple of the block and at least the device's current size, then
    /// calls `resized` for `request`. One at a time. Errors go to `resized`: those of ftruncate(2); nothing has
    /// changed.
    void resize(std::uint64_t device_bytes, FileRequest& request, Resumed resized) noexcept;

    /// Whether space is allocated ahead of the last write.
    bool is_ahead() const noexcept { return sizes_.end > written_bytes_; }
    /// Frees the space ahead; the last call, while nothing is under way. Context: any thread; blocks for the time of a
    /// truncation.
    void give_back_ahead() noexcept;

    const ImageActivity& activity() const noexcept { return activity_; }

  private:
    /// The worker's task and its result. Owned by the worker while the job is under way, else by the loop's thread.
    struct Job : WorkerJob {
        FileGrowth* growth = nullptr;
        bool resizes = false;
        std::uint64_t old_end = 0;
        std::uint64_t begin = 0;  ///< the beginning of the write that needs the growth
        std::uint64_t end = 0;    ///< the least new length
        std::uint64_t ahead = 0;  ///< how much more to allocate if there is space
        std::uint64_t limit = 0;  ///< the device's size
        std::uint64_t new_end = 0;
        std::error_code error{};
    };

    bool covers(const ImageRequest& request) const noexcept;
    std::uint64_t end_of(SectorRange range) const noexcept;
    std::uint64_t ahead() const noexcept;
    bool prepare() noexcept;
    void start() noexcept;
    void done() noexcept;
    void settle(WaitingRequests& waiting) noexcept;
    static void run(Job& job) noexcept;

    const int fd_;
    IoQueue& io_;
    WorkerPool& workers_;
    Sizes sizes_;
    const Resumed resumed_;
    std::uint64_t written_bytes_;
    std::uint64_t front_bytes_ = 0;  ///< end of the last write behind the old end, where the guest will write on
    Job job_;
    bool busy_ = false;
    bool goes_ahead_ = true;  ///< false after there was no space to allocate ahead, until there is space again
    WaitingRequests waiting_;
    FileRequest* resizing_ = nullptr;
    Resumed resized_ = nullptr;
    std::uint64_t resize_to_ = 0;
    ImageActivity activity_;
};

}  // namespace blktap
