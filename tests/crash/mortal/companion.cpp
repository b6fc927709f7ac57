// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/crash/mortal/companion.hpp"

namespace blktap::testing {
namespace {

/// Looks now and then whether it is to end.
class UntilStopped final : public replay::Traffic {
  public:
    UntilStopped(replay::MixedTraffic& load, const std::atomic<bool>& stop) : load_(load), stop_(stop) {}
    Next next(replay::Slot& slot, Nanoseconds now) override {
        if (stop_) load_.stop();
        return load_.next(slot, now);
    }
    void completed(replay::Slot& slot, ring::Status status) override { load_.completed(slot, status); }
    Nanoseconds wake_at(Nanoseconds now) const noexcept override { return now + std::chrono::milliseconds(20); }
    void stop() noexcept override { load_.stop(); }

  private:
    replay::MixedTraffic& load_;
    const std::atomic<bool>& stop_;
};

replay::FrontendOptions made_local(replay::FrontendOptions rings) {
    rings.local = true;
    rings.persistent = false;
    return rings;
}

}  // namespace

Companion::Companion(MortalTapdisk& tapdisk, replay::FrontendOptions rings, const replay::PumpOptions& options,
                     SectorRange range, std::uint64_t seed)
    : tapdisk_(tapdisk),
      link_(tapdisk.link("companion")),
      session_(link_, made_local(rings)),
      model_(range, seed),
      load_(model_, rings.queue_count, session_.device().discard, seed) {
    link_.serves(session_.frontend());
    thread_ = std::thread([this, options] { run(options); });
}

Companion::~Companion() {
    if (!thread_.joinable()) return;
    stop_ = true;
    tapdisk_.abandon(link_);
    thread_.join();
}

void Companion::run(const replay::PumpOptions& options) {
    try {
        const MonotonicClock clock;
        replay::Pump pump(session_, clock, options);
        UntilStopped traffic(load_, stop_);
        replay::Statistics statistics;
        pump.run(traffic, statistics);
    } catch (...) {
        found_ = std::current_exception();
    }
}

void Companion::finish() {
    stop_ = true;
    thread_.join();
    if (found_) std::rethrow_exception(found_);
    session_.disconnect();
}

}  // namespace blktap::testing
