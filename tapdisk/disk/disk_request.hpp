// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// DiskRequest and DiskClient: what a disk knows about a request and its sender. A client embeds a DiskRequest in its
// own object of a request, and owns the memory of the data. Requests pass between a client and the Scheduler in lists,
// so that the path of a request has no virtual call.
//
// Tested by tests/unit/tapdisk/disk/request_engine_test.cpp.
#pragma once

#include <cstdint>
#include <system_error>

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/parent_from_member.hpp>

#include "libblktap/base/clock.hpp"
#include "libblktap/driver_api/image_driver.hpp"
#include "libblktap/driver_api/whole_granules.hpp"
#include "tapdisk/disk/range_guard.hpp"
#include "tapdisk/disk/storage_health.hpp"

namespace blktap {

class DiskClient;
class Scheduler;
class Stages;

struct StageTag;
struct LiveTag;
using StageHook = boost::intrusive::list_base_hook<boost::intrusive::tag<StageTag>>;
using LiveHook = boost::intrusive::list_base_hook<boost::intrusive::tag<LiveTag>>;

struct DiskRequest : StageHook, LiveHook {
    enum class Kind : std::uint8_t { read, write, barrier, flush, discard };
    /// The steps of a request that the driver sees; most have one.
    enum class Phase : std::uint8_t {
        flush_before,  ///< barrier, or flush with data: earlier writes are made durable
        data,          ///< the read, write, discard or plain flush itself
        flush_after,   ///< barrier, or flush with data: its own data is made durable
    };

    DiskClient* client = nullptr;  ///< fixed

    // Set by the client before Scheduler::admit().
    Kind kind = Kind::read;
    SectorRange range{};         ///< empty only for a flush or a barrier without data
    std::uint64_t sequence = 0;  ///< order over all clients: Scheduler::next_sequence()

    // For the scheduler.
    Phase phase = Phase::data;
    /// A tapdisk that died had it, and may have done a part of it: its writes overtake no other.
    bool replayed = false;
    Lack lack = Lack::nothing;   ///< why it was parked, at least once
    Nanoseconds waits_since{0};  ///< parked for the first time, by the scheduler's clock
    RangeGuard::Claim claim{};
    std::error_code result{};

    ImageRequest image{};  ///< the client fills `data`, the scheduler the rest

    bool has_data() const noexcept { return range.count > 0; }
    /// Whether all earlier requests must be answered first.
    bool drains() const noexcept { return kind == Kind::barrier; }
    /// The kind of the driver's request in Phase::data, for a request with data.
    ImageRequest::Kind kind_of_data() const noexcept {
        return kind == Kind::read      ? ImageRequest::Kind::read
               : kind == Kind::discard ? ImageRequest::Kind::discard
                                       : ImageRequest::Kind::write;
    }
    /// Whether it is answered only when durable.
    bool flushes() const noexcept { return kind == Kind::barrier || kind == Kind::flush; }
    /// A flush without data, as Linux sends it.
    bool plain_flush() const noexcept { return kind == Kind::flush && !has_data(); }
    /// Whether it changes the disk, so that it must not overtake a barrier.
    bool changes_disk() const noexcept { return kind != Kind::read && (kind != Kind::flush || has_data()); }
};

/// Returns the request that contains `claim`.
inline DiskRequest& request_of(RangeGuard::Claim& claim) noexcept {
    return *boost::intrusive::get_parent_from_member(&claim, &DiskRequest::claim);
}
inline DiskRequest& request_of(ImageRequest& image) noexcept {
    return *boost::intrusive::get_parent_from_member(&image, &DiskRequest::image);
}

/// Whether a discard covers no whole granule: it needs no order with other requests.
inline bool discards_nothing(SectorRange range, const ImageInfo& info) noexcept {
    if (!info.discard || info.discard_granularity_bytes <= sector_size_bytes) return false;
    return whole_granules(range, info.discard_granularity_bytes, info.discard_alignment_bytes).count == 0;
}

/// Requests that wait for the same condition, in order. A request is in at most one such list.
using StageList = boost::intrusive::list<DiskRequest, boost::intrusive::base_hook<StageHook>>;
inline DiskRequest& take_first(StageList& list) noexcept {
    DiskRequest& request = list.front();
    list.pop_front();
    return request;
}
/// Takes the requests that `is_meant(const DiskRequest&)` out of `list` and gives each to `take(DiskRequest&)`, which
/// may append to the list. True: there was one.
template <class IsMeant, class Take>
bool take_those(StageList& list, IsMeant is_meant, Take take) noexcept {
    bool any = false;
    for (auto next = list.begin(); next != list.end();) {
        DiskRequest& request = *next;
        if (!is_meant(request)) {
            ++next;
            continue;
        }
        next = list.erase(next);
        any = true;
        take(request);
    }
    return any;
}
template <class Take>
bool take_those_of(const DiskClient& client, StageList& list, Take take) noexcept {
    return take_those(
        list, [&client](const DiskRequest& request) { return request.client == &client; }, take);
}
/// Every request that was admitted and not finished, in order of admission.
using LiveList = boost::intrusive::list<DiskRequest, boost::intrusive::base_hook<LiveHook>>;

/// A sender of requests. Its virtual functions are called rarely, never for each request.
class DiskClient {
  public:
    DiskClient() = default;
    DiskClient(const DiskClient&) = delete;
    DiskClient& operator=(const DiskClient&) = delete;

    /// Requests admitted and not finished.
    std::size_t unfinished() const noexcept { return unfinished_; }
    /// The client is leaving: requests that wait for the storage fail, see Scheduler::close().
    bool closing() const noexcept { return closing_; }
    /// The client has gone: all its requests fail except those in the driver, see Scheduler::drain().
    bool failing() const noexcept { return failing_; }

  protected:
    ~DiskClient() = default;

    /// Requests that need memory, and data in it if they write. The client takes them from the front and passes each to
    /// Scheduler::begin() or Scheduler::finish().
    StageList wanting_;
    /// The first of `wanting_` waits for memory that another request of this client holds. Set and cleared by the
    /// client.
    bool starved_ = false;
    /// Finished requests, with their result; the client takes their memory back.
    StageList finished_;

  private:
    friend class Scheduler;
    friend class Stages;
    /// From now on, until clear_image(), requests go to `driver`: each gets its scratch, and memory that suits the
    /// driver's storage. Called when an image is opened, and when the client joins, while none of the client's requests
    /// is under way. Errors: throws std::bad_alloc; then clear_image() is called.
    virtual void set_image(ImageDriver& driver) = 0;
    /// Called when the image is closed, and when the client leaves; also without an earlier set_image().
    virtual void clear_image() noexcept = 0;
    /// The request will wait for long: the client takes its memory back, if it has any.
    virtual void take_memory_back(DiskRequest& request) noexcept = 0;

    Scheduler* scheduler_ = nullptr;
    std::size_t unfinished_ = 0;
    bool closing_ = false;
    bool failing_ = false;
};

}  // namespace blktap
