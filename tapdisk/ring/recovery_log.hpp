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

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "libblktap/base/boot_id.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/mapping.hpp"
#include "libblktap/base/unique_fd.hpp"
#include "libblktap/ring/request.hpp"
#include "tapdisk/disk/storage_health.hpp"

namespace blktap {

/// Whose log it is: what is in it means nothing after the host has started anew, and nothing to other rings.
struct LogIdentity {
    BootId boot{};               ///< of the host
    std::uint64_t frontend = 0;  ///< a hash of the arguments that connected the rings

    friend bool operator==(const LogIdentity&, const LogIdentity&) = default;
};

namespace log_layout {

inline constexpr std::uint64_t magic = 0x474f4c5041544b42;  // "BKTAPLOG", little-endian
inline constexpr std::uint32_t version = 2;
/// Of this version, what version 2 added is zeros.
inline constexpr std::uint32_t oldest_version = 1;

struct Header {
    std::uint64_t magic;
    std::uint32_t version;
    std::uint32_t queue_count;
    std::uint32_t slots_per_queue;
    std::uint32_t health;               ///< StorageHealth::Kept::bits
    std::uint64_t lost_until;           ///< StorageHealth::Kept::lost_until
    std::array<std::uint8_t, 16> boot;  ///< LogIdentity
    std::uint64_t frontend;
    std::uint8_t padding[8];
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

        /// Of a log that was adopted, where the ring's rsp_prod is `responses_published`: ends the publication that was
        /// under way, and forgets a request that the ring still has. May be done again. False: no publication of this
        /// log ends there, and nothing has changed.
        [[nodiscard]] bool settle(std::uint32_t responses_published) noexcept;
        /// Ring index up to which requests were taken.
        std::uint32_t consumed() const noexcept { return header_->consumed; }
        /// The slots whose requests are not answered. Of a log that is settled.
        std::vector<std::uint16_t> unanswered() const;
        std::uint64_t sequence(std::uint16_t slot) const noexcept { return slots_[slot].sequence; }
        const ring::RawRequest& request(std::uint16_t slot) const noexcept { return slots_[slot].request; }
        /// No request is unanswered any more.
        void clear() noexcept;

      private:
        log_layout::QueueHeader* header_;
        std::span<log_layout::Slot> slots_;
    };

    struct Shape {
        std::uint32_t queue_count = 1;
        std::uint32_t slots_per_queue = 32;
        LogIdentity identity{};
    };

    /// Lays out an empty log in `file`, which is resized to fit. Errors: throws std::system_error (ENOSPC of the
    /// tmpfs).
    RecoveryLog(UniqueFd file, const Shape& shape);
    /// The log in `file` of a tapdisk that has ended, and whose last I/O has; it is of this version afterwards. Errors:
    /// throws std::system_error: Errc::bad_message (damaged, cut off, of another boot, of other rings),
    /// Errc::bad_version; the file is as it was.
    static RecoveryLog adopt(UniqueFd file, const Shape& shape);

    /// What a successor must know of the storage: stored before any answer that depends on it.
    void keep(const StorageHealth::Kept& health) noexcept;
    StorageHealth::Kept kept() const noexcept;

    Queue& queue(std::size_t index) noexcept { return queues_[index]; }
    std::span<const std::byte> bytes() const noexcept { return mapping_.bytes(); }
    /// Whether this log is in the file of `fd`.
    bool is_in(const UniqueFd& fd) const noexcept;
    /// Returns the descriptor for the next connection; this log must not be used any more.
    UniqueFd take_file() noexcept;

  private:
    explicit RecoveryLog(UniqueFd file) noexcept : file_(std::move(file)) {}
    log_layout::Header& header() const noexcept;
    void map(const Shape& shape);

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
    LogIdentity identity;  ///< of version 1: zeros
    StorageHealth::Kept health;
    std::uint32_t version;
    std::uint32_t slots_per_queue;
    std::vector<Queue> queues;
    /// Requests taken and not answered, in order of their sequence, including those of a publication under way.
    std::vector<Request> unanswered;
};

/// Parses a log, whose bytes may be hostile. Errors: Errc::bad_message, Errc::bad_version.
Result<LogContents> read_log(std::span<const std::byte> bytes);

}  // namespace blktap
