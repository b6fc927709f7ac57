// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FileGrowth: makes the file under a disk longer as the guest writes, ahead of it and away from the ring's thread.
//
// The file system does an extending write synchronously inside io_submit(), and takes the file's lock for every change
// of its size, draining what is under way. So a worker makes the file longer and allocates its new part in one step,
// well before the guest gets there; meanwhile requests wait here, in order, instead of in the kernel. The reasons, and
// what was not chosen: docs/decisions/0012-growth.md.
//
// Tested by tests/unit/drivers/file_growth_test.cpp and tests/property/driver_property_test.cpp.
#pragma once

#include <cstdint>

#include "drivers/shared/file_request.hpp"
#include "libblktap/driver_api/image_driver.hpp"

namespace blktap {

class FileGrowth {
  public:
    /// How far ahead of a write the file is made longer: an eighth of it, within these bounds.
    static constexpr std::uint64_t ahead_min_bytes = 32ULL << 20;
    static constexpr std::uint64_t ahead_max_bytes = 256ULL << 20;

    /// All in bytes. `end` is the file's, `device` what it may grow to: both multiples of `block`, a power of two.
    struct Sizes {
        std::uint64_t end = 0;
        std::uint64_t device = 0;
        std::uint64_t block = sector_size_bytes;
    };
    /// Called for a request that waited, on the loop's thread. With an error the request is over; else it begins anew.
    using Resumed = void (*)(FileRequest&, std::error_code) noexcept;

    /// Lifetime: `fd` stays open and `context` alive as long as this. `fd` is a regular file.
    FileGrowth(int fd, const DriverContext& context, const Sizes& sizes, Resumed resumed);
    FileGrowth(const FileGrowth&) = delete;
    FileGrowth& operator=(const FileGrowth&) = delete;
    /// Nothing is under way: when a flush that was the last request is answered, nothing is.
    ~FileGrowth();

    /// The file's length; what is behind it reads as zeros.
    std::uint64_t end_bytes() const noexcept { return sizes_.end; }
    /// The end of what was written, or was there when the image was opened.
    std::uint64_t written_bytes() const noexcept { return written_bytes_; }

    /// True: `request` may begin. False: it was taken, and comes back through Resumed: the file is being changed, or
    /// is too short for this write.
    bool admit(FileRequest& request) noexcept;
    /// A write that was admitted begins. Returns whether it is the first to that place, as far as can be told.
    bool note_write(SectorRange range) noexcept;
    /// A read or write has ended: makes the file longer if one waits for that, or if it will be wanted soon.
    void look_ahead() noexcept;
    /// Another request has ended: as look_ahead(), but only if one waits.
    void look() noexcept;
    /// Makes file and device `device_bytes` long, a multiple of the block and not shorter than the device, then calls
    /// `resized` for `request`. One at a time. Errors through it: those of ftruncate(2); nothing has changed.
    void resize(std::uint64_t device_bytes, FileRequest& request, Resumed resized) noexcept;

    /// Something was allocated ahead of the last write.
    bool is_ahead() const noexcept { return sizes_.end > written_bytes_; }
    /// Gives that back; the last thing to be done, while nothing is under way. Context: any thread; blocks for the time
    /// of a truncation.
    void give_back_ahead() noexcept;

    const ImageActivity& activity() const noexcept { return activity_; }

  private:
    /// What the worker does, and what came of it. Its while the job is under way, the loop's before and after.
    struct Job : WorkerJob {
        FileGrowth* growth = nullptr;
        bool resizes = false;
        std::uint64_t old_end = 0;
        std::uint64_t begin = 0;  ///< of the write that needs it
        std::uint64_t end = 0;    ///< the least that does
        std::uint64_t ahead = 0;  ///< so much more, if there is space
        std::uint64_t limit = 0;  ///< of the device
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
    std::uint64_t front_bytes_ = 0;  ///< written_bytes_ once the guest has written behind the old end: it will go on
    Job job_;
    bool busy_ = false;
    bool goes_ahead_ = true;  ///< false once there was no space to go ahead into, until there is some again
    WaitingRequests waiting_;
    FileRequest* resizing_ = nullptr;
    Resumed resized_ = nullptr;
    std::uint64_t resize_to_ = 0;
    ImageActivity activity_;
};

}  // namespace blktap
