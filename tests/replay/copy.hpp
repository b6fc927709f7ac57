// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// `ring-replay read` and `write`: the disk, or a part of it, as a guest sees it, to a file and back.
//
// Tested by tests/unit/replay/copy_test.cpp.
#pragma once

#include "tests/replay/extent.hpp"
#include "tests/replay/failure.hpp"
#include "tests/replay/target.hpp"

namespace blktap::replay {

struct CopyOptions {
    std::string file;  ///< "-": standard output or input
    std::optional<SectorRange> range{};
    unsigned depth = 16;
};

/// Errors: throws Failure for a request that was not answered okay; std::system_error for the file.
Exit run_read(const Target& target, const CopyOptions& options);
/// Ends with a flush. The input may be shorter than the range; its last sector is filled up with zeros.
Exit run_write(const Target& target, const CopyOptions& options);

/// Reads a range in chunks of a direct request's size and writes it out in order. One queue only.
class ReadTraffic final : public Traffic {
  public:
    ReadTraffic(SectorRange range, unsigned depth, int output_fd);
    Next next(Slot& slot, Nanoseconds now) override;
    void completed(Slot& slot, ring::Status status) override;
    void stop() noexcept override { stopped_ = true; }

  private:
    struct Chunk {
        std::vector<std::byte> data;
        bool here = false;
    };
    const SectorRange range_;
    const int output_fd_;
    std::vector<SegmentShape> shape_;
    std::vector<Chunk> window_;     ///< chunk i is at i % size()
    std::uint64_t next_chunk_ = 0;  ///< to ask for
    std::uint64_t written_chunks_ = 0;
    bool stopped_ = false;
};

/// Writes what `input_fd` holds to a range, then flushes. One queue only.
class WriteTraffic final : public Traffic {
  public:
    WriteTraffic(SectorRange range, int input_fd) : range_(range), input_fd_(input_fd) {}
    Next next(Slot& slot, Nanoseconds now) override;
    void completed(Slot& slot, ring::Status status) override;
    void stop() noexcept override { input_ended_ = flushing_ = true; }

  private:
    const SectorRange range_;
    const int input_fd_;
    std::vector<SegmentShape> shape_;
    std::uint64_t next_sector_ = 0;  ///< within the range
    std::uint64_t in_flight_ = 0;
    bool input_ended_ = false;
    bool flushing_ = false;
};

}  // namespace blktap::replay
