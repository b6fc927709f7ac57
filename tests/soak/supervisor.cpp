// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/soak/supervisor.hpp"

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <thread>

namespace blktap::soak {
namespace {

using namespace std::chrono_literals;

// A tapback without disks has about 15 descriptors and 10 MiB; sanitizers multiply the memory.
constexpr std::size_t descriptors_bare = 64;
constexpr std::size_t descriptors_per_disk = 12;
constexpr std::uint64_t kib_bare = 48u << 10;
constexpr std::uint64_t kib_per_disk = 1u << 10;
#if defined(__has_feature)
#define BLKTAP_SANITIZED __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define BLKTAP_SANITIZED 1
#else
#define BLKTAP_SANITIZED 0
#endif
constexpr std::uint64_t memory_factor = BLKTAP_SANITIZED ? 20 : 1;

std::size_t descriptors_of(pid_t pid) {
    std::error_code ignored;
    const std::filesystem::directory_iterator all("/proc/" + std::to_string(pid) + "/fd", ignored);
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

std::uint64_t resident_kib_of(pid_t pid) {
    std::istringstream status(testing::read_file("/proc/" + std::to_string(pid) + "/status"));
    std::uint64_t kib = 0;
    for (std::string word; status >> word;)
        if (word == "VmRSS:") status >> kib;
    return kib;
}

}  // namespace

Supervisor::Supervisor(control_test::ControlHost& host, Ground& ground, unsigned disks, std::uint64_t seed)
    : host_(host), ground_(ground), disks_(disks), random_(seed) {
    draw(MonotonicClock{}.now());
}

/// Some lives are long: what grows without bound needs time to. The first one is not, or a short soak would kill
/// nothing.
void Supervisor::draw(Nanoseconds now) {
    const bool is_long = lives_++ > 5 && random_.below(6) == 0;
    kill_at_ = now + (is_long ? 60s + random_.below(60) * 1s : 100ms + random_.below(6'000) * 1ms);
}

void Supervisor::turn(Nanoseconds now) {
    if (now >= watch_at_) {
        watch_at_ = now + 2s;
        watch();
    }
    if (now < kill_at_ || !ground_.actions.has(Action::kill_tapback)) return;
    replace();
    draw(MonotonicClock{}.now());
}

void Supervisor::replace() {
    if (random_.below(4) == 0) {
        if (const int status = host_.stop_tapback(); status != 0)
            throw Wrong("tapback ended with " + std::to_string(status));
        ground_.tally.did("tapback ended in order");
    } else {
        host_.kill_tapback();
        ground_.tally.did("kill-tapback");
    }
    std::this_thread::sleep_for(random_.below(3) * random_.below(400) * 1ms);
    host_.start_tapback();
}

void Supervisor::watch() {
    if (!host_.tapback_runs()) throw Wrong("tapback has ended by itself");
    const pid_t pid = host_.tapback_pid();
    if (const auto count = descriptors_of(pid); count > descriptors_bare + descriptors_per_disk * disks_)
        throw Wrong("tapback has " + std::to_string(count) + " descriptors");
    if (const auto kib = resident_kib_of(pid); kib > (kib_bare + kib_per_disk * disks_) * memory_factor)
        throw Wrong("tapback has " + std::to_string(kib) + " KiB of memory");
}

}  // namespace blktap::soak
