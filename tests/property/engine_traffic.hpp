// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// EngineTraffic: turns bytes into actions of a guest, a disk, an operator and time on an engine, mostly valid and
// rarely broken, and checks every status and every byte read against those that a disk may return. The property test
// feeds it random bytes, the fuzzer libFuzzer's.
//
// Errors: throws std::logic_error with the reason.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "tests/property/engine_oracle.hpp"
#include "tests/support/machine/second_peer.hpp"

namespace blktap::testing {

/// Bytes as choices. When they are used up every choice is the first one.
class ByteScript {
  public:
    explicit ByteScript(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
    bool done() const { return bytes_.empty(); }
    std::uint8_t byte() {
        if (bytes_.empty()) return 0;
        const std::uint8_t first = bytes_.front();
        bytes_ = bytes_.subspan(1);
        return first;
    }
    /// In [0, bound).
    std::uint64_t below(std::uint64_t bound) {
        const std::uint64_t low = byte();
        return (low | (bound > 256 ? std::uint64_t{byte()} << 8 : 0)) % bound;
    }
    bool one_in(std::uint64_t n) { return below(n) == n - 1; }

  private:
    std::span<const std::uint8_t> bytes_;
};

/// What the traffic must know of the storage below the engine.
class TrafficDisk {
  public:
    virtual ~TrafficDisk() = default;
    /// Sets up faults for a run: 0 none, 1 those that must not be seen, 2 also errors, 3 also a lack of space.
    virtual void choose_faults(unsigned level) = 0;
    /// Completes some of what is under way, as the script wants.
    virtual void complete_some(ByteScript& script) = 0;
    /// From now on everything completes by itself, without faults.
    virtual void calm_down() = 0;
    virtual std::vector<std::byte> bytes(SectorRange range) const = 0;
};

/// Pieces of guest memory of which each serves one request at a time.
class TrafficMemory {
  public:
    static constexpr std::size_t none = ~std::size_t{0};

    /// Of the guest, or of the second peer.
    template <class Owner>
    explicit TrafficMemory(Owner& owner) {
        make_pieces([&owner](std::size_t page_count) { return owner.pages(page_count); });
    }
    /// A piece, large or small, or none.
    std::size_t take(bool large);
    void give_back(std::size_t piece);
    const GuestBuffer& operator[](std::size_t piece) const { return pieces_[piece]; }

  private:
    void make_pieces(const std::function<GuestBuffer(std::size_t)>& pages);

    std::vector<GuestBuffer> pieces_;
    std::vector<std::size_t> small_, large_;  ///< free ones
};

class EngineTraffic {
  public:
    static constexpr std::uint64_t disk_sectors = 512;  // small, so that requests overlap

    /// `machine` is connected, and its disk holds zeros or what `oracle` says.
    EngineTraffic(VbdHarness& machine, TrafficDisk& disk, TrafficMemory& memory, EngineOracle& oracle);
    /// From now on a second peer sends too. `peer` is connected to the same disk; both outlive this.
    void add_peer(SecondPeer& peer, TrafficMemory& memory);

    /// Acts until the script is used up, then ends everything and looks at what must be true of a disk at rest.
    void run(ByteScript script);

  private:
    struct Outstanding {
        ring::Operation operation;
        SectorRange range;
        EngineOracle::Write write;  ///< of a request that changes the disk
        std::uint64_t sent_at;
        bool broken;
        GuestBuffer data;
        std::size_t memory;  ///< the piece that it uses, or TrafficMemory::none
        bool of_peer;        ///< the second one
    };
    void step(ByteScript& script);
    void guest_sends(ByteScript& script);
    void send(ByteScript& script, ring::Operation operation, bool indirect);
    static GuestBuffer choose_data(ByteScript& script, GuestBuffer data);
    bool is_of_peer(unsigned queue) const { return queue >= machine_.frontend().queue_count(); }
    ring::FrontRing& ring(unsigned queue);
    TrafficMemory& memory_of(bool peer) { return peer ? *peer_memory_ : memory_; }
    void publish(unsigned queue);
    std::size_t queue_count() const;
    ring::RawRequest make_request(const Outstanding& entry, std::uint64_t id, bool indirect);
    void note_change(Outstanding& entry);
    static void break_request(ByteScript& script, ring::RawRequest& request);
    void operator_acts(ByteScript& script);
    void disconnect(const std::string& name);
    void reconnect();
    void reconnect_peer();
    void forget_requests(bool of_peer);
    void round();
    void collect();
    void judge(const Outstanding& request, ring::Status status);
    void check_log() const;
    void wait_until(const std::function<bool()>& condition);
    void end();
    bool at_rest() const;

    VbdHarness& machine_;
    TrafficDisk& disk_;
    TrafficMemory& memory_;
    SecondPeer* peer_ = nullptr;
    TrafficMemory* peer_memory_ = nullptr;
    EngineOracle& oracle_;
    std::map<std::uint64_t, Outstanding> outstanding_;
    std::vector<std::vector<std::uint64_t>> put_;  ///< ids of the guest by queue and ring index
    std::uint64_t last_id_ = 0;
    bool errors_allowed_ = false;
    /// Asked to, and not yet paused. Shared: the answer may come when a failure has already ended the run.
    std::shared_ptr<bool> pausing_ = std::make_shared<bool>(false);
};

}  // namespace blktap::testing
