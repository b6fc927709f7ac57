// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ImageDriver: the whole interface that a driver author needs. drivers/null is the smallest complete driver.
//
// The engine judges requests before a driver sees them: a range always lies inside the device, data always has the
// length of the range, a read-only image gets no writes. The driver answers each request exactly once, on the loop's
// thread, with success or an error_code; it never throws after it was opened.
//
// How to write one: docs/WRITING-DRIVERS.md. Tested by tests/unit/drivers/image_spec_test.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

#include "libblktap/aio/io_queue.hpp"
#include "libblktap/base/defaults.hpp"
#include "libblktap/base/units.hpp"
#include "libblktap/base/worker_pool.hpp"
#include "libblktap/driver_api/image_request.hpp"
#include "libblktap/files/image_opener.hpp"

namespace blktap {

/// What the engine and the guest must know about an open image. Fixed while the image is open, except by resize().
struct ImageInfo {
    std::uint64_t size_sectors = 0;  ///< of 512 bytes
    bool read_only = false;
    /// Offered to the guest as physical-sector-size; a power of two, at least 512.
    std::uint32_t physical_sector_size_bytes = sector_size_bytes;
    /// Writes that are not aligned to this are read-modify-write: while one runs, the engine starts no request that
    /// overlaps its rounded range. A power of two, at least 512.
    std::uint32_t write_alignment_bytes = sector_size_bytes;
    /// An iovec reaches the device without a copy if its address is a multiple of this and its length a multiple of
    /// write_alignment_bytes. A power of two.
    std::uint32_t memory_alignment_bytes = sector_size_bytes;
    bool discard = false;  ///< the image supports discard, whether or not it is open for writing
    /// Whole granules are discarded: [alignment + n * granularity, alignment + (n + 1) * granularity).
    std::uint32_t discard_granularity_bytes = 0;
    std::uint32_t discard_alignment_bytes = 0;
    /// I/O may go straight to memory of the guest that stays mapped; false on network file systems, which may still
    /// refer to a page after the completion.
    bool zero_copy_safe = true;
    bool write_zeroes = false;  ///< the image supports write_zeroes when it is open for writing
    bool fua = false;           ///< writes with the flag `fua` are durable when they are complete
    /// Requests that fail with Retry::when_healthy wait unless the operator says otherwise: for storage that comes back
    /// by itself, as a connection does.
    bool waits_for_storage = false;
};

/// How a driver has grown its file since the image was opened; counters only grow.
struct ImageActivity {
    std::uint64_t growths = 0;            ///< how often the file was made longer
    std::uint64_t grown_bytes = 0;        ///< by how much, in total
    std::uint64_t waited_for_growth = 0;  ///< requests that had to wait for a growth
};

/// Where an image takes space from as it is written, so that the operator can be warned before the space runs out.
struct SpaceSource {
    int fd = -1;  ///< a file whose file system must have space; open for as long as the driver
    /// The least size of the file, whatever is under way; a shorter file was cut by somebody. 0: not known.
    std::uint64_t least_bytes = 0;
};

class ImageDriver {
  public:
    /// The driver must be closed, and no request may hold its scratch. Does not block.
    virtual ~ImageDriver() = default;
    virtual const ImageInfo& info() const noexcept = 0;

    /// Size of the scratch of each request. make_scratch() constructs the scratch before the first start() of a
    /// request, end_scratch() destroys it after the last; both by ImageRequest's functions of the same name. Default:
    /// none.
    virtual ScratchSize scratch_size() const noexcept { return {}; }
    virtual void make_scratch(ImageRequest& request) noexcept { (void)request; }
    virtual void end_scratch(ImageRequest& request) noexcept { (void)request; }

    /// Starts a request: stages I/O on the queue, gives a job to the workers, or completes at once. Must not block or
    /// allocate. A flush makes all writes durable that were complete before its start().
    /// Errors go to complete(), with whether to retry. Before that the driver undoes unfinished work, because a retry
    /// starts from the beginning.
    virtual void start(ImageRequest& request) noexcept = 0;
    /// Grows the device to `size_sectors`, which is at least its current size, then completes `request`, whose scratch
    /// is all that is used of it. info() then returns the new size. One at a time; other requests may be under way.
    /// Errors go to complete(): EOPNOTSUPP (the format cannot grow), EINVAL (an impossible size); nothing has changed.
    virtual void resize(std::uint64_t size_sectors, ImageRequest& request) noexcept {
        (void)size_sectors;
        request.complete(std::make_error_code(std::errc::operation_not_supported));
    }
    /// Returns nullopt if writes take no space that could run out, or if only the storage knows the space.
    virtual std::optional<SpaceSource> space() const noexcept { return std::nullopt; }
    virtual ImageActivity activity() const noexcept { return {}; }

    /// Ends the driver's own work, then calls `closed` as the very last step: `closed` may destroy the driver. Called
    /// once, while no request is under way; no request follows. Writes that were not flushed may be lost.
    using Closed = std::function<void()>;
    virtual void close(Closed closed) noexcept { closed(); }
};

/// What a driver may use; it outlives every driver.
struct DriverContext {
    EventLoop& loop;  ///< for descriptors and timers of the driver's own
    IoQueue& io;
    WorkerPool& workers;
    ImageOpener& files;
    /// Memory for the tables of an image and its backing files or parents together, unless its options say otherwise.
    std::uint64_t memory_budget_bytes = default_memory_budget_bytes;
};

/// Names an image and its options: "FORMAT:PATH[?option=value&...]" on a command line.
struct ImageSpec {
    std::string format;
    std::string path;
    Access access = Access::read_write;
    std::map<std::string, std::string> options;
};

/// Parses "FORMAT:PATH[?option=value&...]". The text after the last '?' is options if each part has the form
/// name=value with a name of [a-z-]; otherwise it belongs to the path. The path may be empty ("null:").
/// Errors: throws std::system_error (EINVAL): no format (a name of [a-z0-9]), an option given twice.
ImageSpec parse_image_spec(const std::string& text, Access access);

/// "FORMAT:PATH", which names the image in errors.
std::string image_name(const ImageSpec& spec);

}  // namespace blktap
