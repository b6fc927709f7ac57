// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What an image driver is: the whole interface that a driver author needs. drivers/null is the smallest complete one.
//
// The engine judges requests before a driver sees them: a range always lies inside the device, data always has the
// length of the range, a read-only image is never asked to write. The driver answers each request exactly once,
// on the loop's thread, with success or an error_code; it never throws after it was opened.
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

/// What the engine and the guest must know of an open image. Fixed while it is open, but for resize().
struct ImageInfo {
    std::uint64_t size_sectors = 0;  ///< of 512 bytes
    bool read_only = false;
    /// What the guest is told as physical-sector-size; a power of two, at least 512.
    std::uint32_t physical_sector_size_bytes = sector_size_bytes;
    /// Writes that are not multiples of this are read-modify-write: the engine lets nothing that overlaps the rounded
    /// range run beside them. A power of two, at least 512.
    std::uint32_t write_alignment_bytes = sector_size_bytes;
    /// What the address of each iovec must be a multiple of, and its length of write_alignment_bytes, to reach the
    /// device without a copy. A power of two.
    std::uint32_t memory_alignment_bytes = sector_size_bytes;
    bool discard = false;  ///< discard works, whether or not the image is open for writing
    /// Whole granules are discarded: [alignment + n * granularity, alignment + (n + 1) * granularity).
    std::uint32_t discard_granularity_bytes = 0;
    std::uint32_t discard_alignment_bytes = 0;
    /// I/O may go straight to memory of the guest that stays mapped; false on network file systems, which may still
    /// refer to a page after the completion.
    bool zero_copy_safe = true;
    bool write_zeroes = false;  ///< write_zeroes works, where the image is open for writing
    bool fua = false;           ///< writes with the flag `fua` are durable when they are complete
    /// Requests that the storage failed, with Retry::when_healthy, wait unless the operator says otherwise: for storage
    /// that comes back by itself, as a connection does.
    bool waits_for_storage = false;
};

/// What a driver did about space since the image was opened; counters only grow.
struct ImageActivity {
    std::uint64_t growths = 0;            ///< times that the file was made longer
    std::uint64_t grown_bytes = 0;        ///< by so much
    std::uint64_t waited_for_growth = 0;  ///< requests that had to wait for one
};

/// What an image takes space from as it is written, for whoever warns the operator before there is none.
struct SpaceSource {
    int fd = -1;  ///< a file whose file system must have space; open for as long as the driver
    /// The file has at least so many bytes, whatever is under way; when it has fewer, somebody cut it. 0: not known.
    std::uint64_t least_bytes = 0;
};

class ImageDriver {
  public:
    /// It is closed, and no request has scratch of it. Does not block.
    virtual ~ImageDriver() = default;
    virtual const ImageInfo& info() const noexcept = 0;

    /// What each request has room for as its scratch, and what is made there before the first start() of a request, and
    /// ended after its last; by ImageRequest::make_scratch() and end_scratch(). The default: nothing.
    virtual ScratchSize scratch_size() const noexcept { return {}; }
    virtual void make_scratch(ImageRequest& request) noexcept { (void)request; }
    virtual void end_scratch(ImageRequest& request) noexcept { (void)request; }

    /// Starts a request: stages I/O on the queue, gives a job to the workers, or completes at once. Must not block or
    /// allocate. Flush: durable on return of its complete() is every write that was complete before start().
    /// Errors through complete(), with whether to retry: then what was begun is undone, so that a retry starts from the
    /// beginning.
    virtual void start(ImageRequest& request) noexcept = 0;
    /// Makes the device `size_sectors` long, which is not less than it is, and completes `request`, of which only the
    /// scratch is used. Afterwards info() says so. One at a time; other requests may be under way.
    /// Errors through complete(): EOPNOTSUPP (the format cannot), EINVAL (not such a size); nothing has changed then.
    virtual void resize(std::uint64_t size_sectors, ImageRequest& request) noexcept {
        (void)size_sectors;
        request.complete(std::make_error_code(std::errc::operation_not_supported));
    }
    /// Nothing: writes take no space that could run out, or only the storage knows.
    virtual std::optional<SpaceSource> space() const noexcept { return std::nullopt; }
    virtual ImageActivity activity() const noexcept { return {}; }

    /// Ends everything of the driver's own, then calls `closed` as the last thing that it does: that may destroy the
    /// driver. Once, while no request is under way; none comes after it. What was not flushed may be lost.
    using Closed = std::function<void()>;
    virtual void close(Closed closed) noexcept { closed(); }
};

/// What a driver may use; outlives every driver.
struct DriverContext {
    EventLoop& loop;  ///< for descriptors and timers of the driver's own
    IoQueue& io;
    WorkerPool& workers;
    ImageOpener& files;
    /// What the tables of an image and all that it is over may take in memory together, unless its options say.
    std::uint64_t memory_budget_bytes = default_memory_budget_bytes;
};

/// Which image, and how: "FORMAT:PATH[?option=value&...]" on a command line.
struct ImageSpec {
    std::string format;
    std::string path;
    Access access = Access::read_write;
    std::map<std::string, std::string> options;
};

/// Parses "FORMAT:PATH[?option=value&...]". Everything from the last '?' on is options when each part has the form
/// name=value with a name of [a-z-]; otherwise it belongs to the path. The path may be empty ("null:").
/// Errors: throws std::system_error (EINVAL): no format (a name of [a-z0-9]), an option twice.
ImageSpec parse_image_spec(const std::string& text, Access access);

/// "FORMAT:PATH", which names the image in errors.
std::string image_name(const ImageSpec& spec);

}  // namespace blktap
