// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RecoveryLog: every request that was taken from a ring and not yet answered, in a file that outlives this process.
// Responses overwrite ring slots in any order, so a successor cannot find the unanswered requests in the ring; the log
// has them. Requests must be copied to private memory anyway, and that memory is the log, so it costs nothing.
//
// The layout, its versions and the order of the stores are docs/formats/recovery-log.md. Stores are ordered for the
// death of this process, not of the host: memory of a tmpfs file survives a process and no reboot.
//
// Tested by tests/unit/tapdisk/ring/recovery_log_test.cpp.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "libblktap/base/error.hpp"
#include "libblktap/base/mapping.hpp"
#include "libblktap/base/unique_fd.hpp"
#include "libblktap/ring/request.hpp"

namespace blktap {

namespace log_layout {

inline constexpr std::uint64_t magic = 0x474f4c5041544b42;  // "BKTAPLOG", little-endian
inline constexpr std::uint32_t version = 1;

struct Header {
    std::uint64_t magic;
    std::uint32_t version;
    std::uint32_t queue_count;
    std::uint32_t slots_per_queue;
    std::uint32_t reserved;
    std::uint64_t mapping_offset;  ///< where a format's uncommitted mapping changes begin; 0: none
    std::uint64_t mapping_size_bytes;
    std::uint8_t padding[24];
};
static_assert(sizeof(Header) == 64);

struct QueueHeader {
    std::uint32_t consumed;      ///< ring index up to which requests were taken
    std::uint32_t publishing;    ///< 1 while the publish record below is valid
    std::uint32_t old_producer;  ///< rsp_prod before and after the publication under way
    std::uint32_t new_producer;
    std::uint32_t published_count;  ///< number of valid entries in published[]
    std::uint8_t padding[44];
    std::uint16_t published[ring::ring_slots_max];  ///< log slots whose responses the publication makes visible
};
static_assert(sizeof(QueueHeader) == 64 + 2 * ring::ring_slots_max);

enum class SlotState : std::uint32_t { free = 0, unanswered = 1 };

struct Slot {
    std::uint32_t state;       ///< SlotState
    std::uint32_t ring_index;  ///< free-running ring index of the request
    std::uint64_t sequence;    ///< order over all queues
    ring::RawRequest request;
};
static_assert(sizeof(Slot) == 136);

}  // namespace log_layout

class RecoveryLog {
  public:
    /// The log of one queue, on the loop's thread.
    class Queue {
      public:
        Queue(log_layout::QueueHeader& header, std::span<log_layout::Slot> slots) noexcept
            : header_(&header), slots_(slots) {}

        /// Records a request that was just copied from ring index `ring_index`. Returns the only private copy, valid
        /// until the slot's response is published.
        const ring::RawRequest& record(std::uint16_t slot, std::uint32_t ring_index, std::uint64_t sequence,
                                       const ring::RawRequest& request) noexcept;
        /// Call after record(): the ring was consumed up to `consumed`.
        void advance(std::uint32_t consumed) noexcept;

        /// Brackets the store of rsp_prod from `old_producer` to `new_producer`, which answers `slots`.
        void begin_publish(std::uint32_t old_producer, std::uint32_t new_producer,
                           std::span<const std::uint16_t> slots) noexcept;
        void end_publish() noexcept;

      private:
        log_layout::QueueHeader* header_;
        std::span<log_layout::Slot> slots_;
    };

    /// Lays out an empty log in `file`, which is resized to fit. Errors: throws std::system_error (ENOSPC of the
    /// tmpfs).
    RecoveryLog(UniqueFd file, std::uint32_t queue_count, std::uint32_t slots_per_queue);

    Queue& queue(std::size_t index) noexcept { return queues_[index]; }
    std::span<const std::byte> bytes() const noexcept { return mapping_.bytes(); }
    /// Returns the descriptor for the next connection; this log must not be used any more.
    UniqueFd take_file() noexcept;

  private:
    UniqueFd file_;
    Mapping mapping_;
    std::vector<Queue> queues_;
};

/// Makes an anonymous log file for a tapdisk without a supervisor. Errors: throws std::system_error.
UniqueFd make_anonymous_log_file();
/// Opens the log file at `path`, made with mode 0600 if missing. Errors: throws std::system_error naming the file, also
/// if it is not a regular file.
UniqueFd open_log_file(const std::string& path);

/// Contents of a log, for a successor and for tests.
struct LogContents {
    struct Request {
        std::uint16_t queue;
        std::uint16_t slot;
        std::uint32_t ring_index;
        std::uint64_t sequence;
        ring::RawRequest request;
    };
    struct Queue {
        std::uint32_t consumed;
        bool publishing;
        std::uint32_t old_producer, new_producer;
        std::vector<std::uint16_t> published;
    };
    std::vector<Queue> queues;
    /// Requests taken and not answered, in order of their sequence, including those of a publication under way.
    std::vector<Request> unanswered;
};

/// Parses a log, whose bytes may be hostile. Errors: Errc::bad_message, Errc::bad_version.
Result<LogContents> read_log(std::span<const std::byte> bytes);

}  // namespace blktap
