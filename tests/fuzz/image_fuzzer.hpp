// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Fuzzing a driver whose image is the fuzzer's input: it is opened for reading and for writing, read, written,
// discarded, made larger and flushed here and there. Whatever the tables say, nothing crashes, hangs or asserts; a
// write that succeeded is read back; and it has not gone over a table, so that the image, closed, can be opened again.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "libblktap/base/clock.hpp"
#include "libblktap/base/event_loop.hpp"
#include "libblktap/driver_api/image_opening.hpp"
#include "libblktap/driver_api/scratch_memory.hpp"
#include "tests/support/sim_aio_kernel.hpp"

namespace blktap::testing {

/// Every file that is asked for, "/image" and what it names: files in memory, all with the same bytes.
class MemoryOpener final : public ImageOpener {
  public:
    explicit MemoryOpener(std::span<const std::byte> bytes);
    UniqueFd open(const std::string& path, Access access, Caching caching) override;
    UniqueFd open_named(const std::string& path, const std::string& by, Access access, Caching caching) override;

  private:
    UniqueFd image_, others_;
};

class ImageFuzzer {
  public:
    /// `format` and how it is opened. Lifetime: `bytes` are copied.
    ImageFuzzer(std::string format, OpenImageAtOnce open, std::span<const std::byte> bytes);

    struct Format {
        bool grows = false;  ///< the disk is made larger too
        /// Opening for writing finds two pieces of the disk in one place of the file, so that a write is always read
        /// back; else only within one granule of a discard.
        bool finds_overlaps = false;
    };
    /// Does all of the above.
    void exercise(const Format& format);

  private:
    std::unique_ptr<ImageDriver> open(Access access);
    void close(ImageDriver& driver);
    std::error_code run(ImageDriver& driver, ImageRequest::Kind kind, SectorRange range, std::span<std::byte> memory);
    void resize(ImageDriver& driver, std::uint64_t sectors);
    template <class Request>
    std::error_code finish(const Request& request);
    void write_and_read(ImageDriver& driver, SectorRange range, int turn, bool compare_all);

    const std::string format_;
    const OpenImageAtOnce open_;
    const std::size_t size_bytes_;
    MonotonicClock clock_;
    EventLoop loop_{clock_};
    SimAioKernel kernel_;  // the real one takes milliseconds to set up and end
    IoQueue io_{kernel_};
    WorkerPool workers_{loop_, 0};
    MemoryOpener files_;
};

}  // namespace blktap::testing
