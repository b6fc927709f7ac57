// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// DiskRequest and DiskClient: what a disk knows of a request, and of whoever sends it. A client embeds a DiskRequest in
// whatever it keeps of a request of its own, and owns the memory of its data. Requests go between a client and the
// Scheduler in lists, so that the path of a request has no virtual call.
//
// Tested by tests/unit/tapdisk/request_engine_test.cpp.
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
        flush_before,  ///< barrier, or flush with data: what was written before is made durable
        data,          ///< the read, write, discard or plain flush itself
        flush_after,   ///< barrier, or flush with data: its own data is made durable
    };

    DiskClient* client = nullptr;  ///< fixed

    // The client's, before Scheduler::admit().
    Kind kind = Kind::read;
    SectorRange range{};         ///< empty only for a flush or a barrier without data
    std::uint64_t sequence = 0;  ///< order over all clients: Scheduler::next_sequence()

    // The scheduler's.
    Phase phase = Phase::data;
    Lack lack = Lack::nothing;   ///< why it was parked, at least once
    Nanoseconds waits_since{0};  ///< parked for the first time, by the scheduler's clock
    RangeGuard::Claim claim{};
    std::error_code result{};

    ImageRequest image{};  ///< the client fills `data`, the scheduler the rest

    bool has_data() const noexcept { return range.count > 0; }
    /// Everything before it is answered first.
    bool drains() const noexcept { return kind == Kind::barrier; }
    /// What the driver is asked in Phase::data of a request with data.
    ImageRequest::Kind kind_of_data() const noexcept {
        return kind == Kind::read      ? ImageRequest::Kind::read
               : kind == Kind::discard ? ImageRequest::Kind::discard
                                       : ImageRequest::Kind::write;
    }
    /// It is answered when it is durable.
    bool flushes() const noexcept { return kind == Kind::barrier || kind == Kind::flush; }
    /// A flush without data, as Linux sends it.
    bool plain_flush() const noexcept { return kind == Kind::flush && !has_data(); }
    /// Must not overtake a barrier: everything that changes the disk.
    bool changes_disk() const noexcept { return kind != Kind::read && (kind != Kind::flush || has_data()); }
};

/// The request of which this is a member.
inline DiskRequest& request_of(RangeGuard::Claim& claim) noexcept {
    return *boost::intrusive::get_parent_from_member(&claim, &DiskRequest::claim);
}
inline DiskRequest& request_of(ImageRequest& image) noexcept {
    return *boost::intrusive::get_parent_from_member(&image, &DiskRequest::image);
}

/// A discard of less than a granule: nobody needs to wait for it, nor it for anybody.
inline bool discards_nothing(SectorRange range, const ImageInfo& info) noexcept {
    if (!info.discard || info.discard_granularity_bytes <= sector_size_bytes) return false;
    return whole_granules(range, info.discard_granularity_bytes, info.discard_alignment_bytes).count == 0;
}

/// The requests that wait for one thing, in order. A request is in at most one.
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

/// Who sends requests. Its virtual functions are for rare moments only.
class DiskClient {
  public:
    DiskClient() = default;
    DiskClient(const DiskClient&) = delete;
    DiskClient& operator=(const DiskClient&) = delete;

    /// Requests admitted and not finished.
    std::size_t unfinished() const noexcept { return unfinished_; }
    /// It is leaving: what waits for the storage fails, see Scheduler::close().
    bool closing() const noexcept { return closing_; }
    /// It has gone: each of its requests fails that the driver does not have, see Scheduler::drain().
    bool failing() const noexcept { return failing_; }

  protected:
    ~DiskClient() = default;

    /// Requests that need memory, and what is to be written in it: the client takes them from the front and gives each
    /// to Scheduler::begin() or Scheduler::finish().
    StageList wanting_;
    /// The first of `wanting_` waits for memory that another request of this client has. The client sets and clears it.
    bool starved_ = false;
    /// Requests that are over, with their result; the client takes their memory back.
    StageList finished_;

  private:
    friend class Scheduler;
    friend class Stages;
    /// Requests go to `driver` from now on, until clear_image(): each gets its scratch, and memory as its storage needs
    /// it. Called when an image is opened, and when the client joins; nothing of the client is under way. Errors:
    /// throws std::bad_alloc; then clear_image() is called.
    virtual void set_image(ImageDriver& driver) = 0;
    /// Without an image, and when the client leaves. Not only after set_image().
    virtual void clear_image() noexcept = 0;
    /// The request will wait for long: its memory is the client's again, if it had any.
    virtual void take_memory_back(DiskRequest& request) noexcept = 0;

    Scheduler* scheduler_ = nullptr;
    std::size_t unfinished_ = 0;
    bool closing_ = false;
    bool failing_ = false;
};

}  // namespace blktap
