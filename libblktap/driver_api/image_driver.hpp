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
#include <map>
#include <memory>
#include <span>
#include <string>
#include <sys/uio.h>
#include <system_error>

#include <boost/intrusive/parent_from_member.hpp>

#include "libblktap/aio/io_queue.hpp"
#include "libblktap/base/defaults.hpp"
#include "libblktap/base/units.hpp"
#include "libblktap/base/worker_pool.hpp"
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
};

/// What a driver did about space since the image was opened; counters only grow.
struct ImageActivity {
    std::uint64_t growths = 0;            ///< times that the file was made longer
    std::uint64_t grown_bytes = 0;        ///< by so much
    std::uint64_t waited_for_growth = 0;  ///< requests that had to wait for one
};

/// One request of the engine to a driver, embedded in the engine's slot.
struct ImageRequest {
    enum class Kind : std::uint8_t { read, write, flush, discard };

    Kind kind = Kind::read;
    SectorRange range{};  ///< empty for flush
    /// Read into or written from; together as long as `range`. Valid until complete(). The driver may change entries.
    std::span<iovec> data{};

    IoOp io{};                    ///< the driver's to use
    WorkerJob job{};              ///< the driver's to use
    void* driver = nullptr;       ///< the driver's to use
    std::error_code job_error{};  ///< the driver's to use: a job's result on its way to the loop's thread

    /// The engine's: called by complete().
    void (*on_complete)(ImageRequest&, std::error_code) noexcept = nullptr;
    /// Answers the request. Exactly once, on the loop's thread; may be called from inside ImageDriver::start().
    void complete(std::error_code error) noexcept { on_complete(*this, error); }

    /// The request whose `io` or `job` this is: for IoOp::completed, WorkerJob::run and WorkerJob::done.
    static ImageRequest& of(IoOp& io) noexcept {
        return *boost::intrusive::get_parent_from_member<ImageRequest>(&io, &ImageRequest::io);
    }
    static ImageRequest& of(WorkerJob& job) noexcept {
        return *boost::intrusive::get_parent_from_member<ImageRequest>(&job, &ImageRequest::job);
    }
};

class ImageDriver {
  public:
    /// No request is under way.
    virtual ~ImageDriver() = default;
    virtual const ImageInfo& info() const noexcept = 0;
    /// Starts a request: stages I/O on the queue, gives a job to the workers, or completes at once. Must not block or
    /// allocate. Flush: durable on return of its complete() is every write that was complete before start().
    /// Errors through complete(): ENOSPC and EDQUOT after undoing what was begun, so that a retry starts from the
    /// beginning; anything else is final for the request.
    virtual void start(ImageRequest& request) noexcept = 0;
    /// Makes the device `size_sectors` long, which is not less than it is, and completes `request`, of which only io,
    /// job and driver are used. Afterwards info() says so. One at a time; other requests may be under way.
    /// Errors through complete(): EOPNOTSUPP (the format cannot), EINVAL (not such a size); nothing has changed then.
    virtual void resize(std::uint64_t size_sectors, ImageRequest& request) noexcept {
        (void)size_sectors;
        request.complete(std::make_error_code(std::errc::operation_not_supported));
    }
    /// The file whose file system must have space for what the guest writes; -1 when none must.
    virtual int space_fd() const noexcept { return -1; }
    /// So many bytes the file of space_fd() has at least, whatever is under way; when it has fewer, somebody cut it. 0:
    /// not known.
    virtual std::uint64_t least_file_bytes() const noexcept { return 0; }
    virtual ImageActivity activity() const noexcept { return {}; }
};

/// What a driver may use; outlives every driver.
struct DriverContext {
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

/// Opens an image. Errors: throws std::system_error whose text names the image and the reason. An option that the
/// driver does not know is an error (Errc::image_invalid is for contents; std::errc::invalid_argument for options).
/// Whether a path is needed is for the driver to say.
using OpenImage = std::unique_ptr<ImageDriver> (*)(const ImageSpec& spec, const DriverContext& context);

/// Parses "FORMAT:PATH[?option=value&...]". Everything from the last '?' on is options when each part has the form
/// name=value with a name of [a-z-]; otherwise it belongs to the path. The path may be empty ("null:").
/// Errors: throws std::system_error (EINVAL): no format (a name of [a-z0-9]), an option twice.
ImageSpec parse_image_spec(const std::string& text, Access access);

/// "FORMAT:PATH", which names the image in errors.
std::string image_name(const ImageSpec& spec);

}  // namespace blktap
