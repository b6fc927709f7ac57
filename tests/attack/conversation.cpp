// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/attack/conversation.hpp"

#include <chrono>

namespace blktap::attack {
namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t guest_domain = 5;
constexpr auto guest_limit = 30s;

ring::Protocol draw_protocol(SeededRandom& random) {
    const ring::Protocol all[] = {ring::Protocol::native, ring::Protocol::x86_32, ring::Protocol::x86_64};
    return all[random.between<std::size_t>(0, 2)];
}

std::unique_ptr<replay::FrontendHost> make_host(bool local) {
    if (local) return std::make_unique<replay::LocalHost>();
    return std::make_unique<replay::GuestHost>(0);
}

}  // namespace

Conversation::Conversation(Victim& victim, HonestDisk& disk, SeededRandom& random, Counts& counts)
    : victim_(victim),
      random_(random),
      counts_(counts),
      local_(random.one_in(4)),
      queue_count_(random.between(2u, 5u)),
      ring_order_(random.one_in(3) ? random.between(1u, 4u) : 0u),
      protocol_(draw_protocol(random)),
      host_(make_host(local_)) {
    arguments_.domain = local_ ? 0 : guest_domain;
    arguments_.protocol = ring::protocol_name(protocol_);
    arguments_.persistent = random.one_in(2);
    arguments_.direct_io_safe = random.one_in(4);
    arguments_.discard_enabled = !random.one_in(4);
    arguments_.local = local_;
    arguments_.connection = local_ ? "program" : "";
    memory_ = std::make_unique<HostileMemory>(*host_, !local_, Territory{disk.sectors(), 2 * disk.sectors()});
    for (unsigned queue = 0; queue < queue_count_; ++queue) {
        const replay::FrontendPages pages = host_->share(1u << ring_order_, xen::PageAccess::read_write);
        arguments_.queues.push_back({{pages.refs().begin(), pages.refs().end()}, host_->add_queue()});
        if (queue == 0) {
            honest_ = std::make_unique<HonestQueue>(*host_, pages.bytes(), protocol_, disk);
        } else {
            hostile_.emplace_back(pages.bytes(), protocol_);
        }
    }
}

Conversation::~Conversation() {
    over_ = true;
    if (racer_.joinable()) racer_.join();
}

void Conversation::connect() {
    ipc::Reply reply = victim_.call("connect", arguments_, host_->descriptors());
    if (!reply.error_code.empty()) throw Finding("connect: " + reply.error_message);
    host_->connected(std::move(reply.descriptors));
}

/// Rings that no frontend can have. Each is refused, and changes nothing.
void Conversation::lie_to_connect() {
    ipc::ConnectArguments lie = arguments_;
    lie.connection = "liar";
    auto& queue = lie.queues.back();
    switch (random_.between(0u, 4u)) {
        case 0:
            queue.ring_refs.front() = random_.any<std::uint32_t>() | 0x80000000;
            break;
        case 1:
            queue.ring_refs.assign(3, queue.ring_refs.front());
            break;
        case 2:
            lie.queues.clear();
            break;
        case 3:
            lie.queues.resize(40, queue);
            break;
        default:
            if (local_) return;
            queue.event_channel = random_.any<std::uint32_t>() | 0x80000000;
            break;
    }
    if (victim_.call("connect", lie, host_->descriptors()).error_code.empty())
        throw Finding("rings that cannot be were connected");
}

void Conversation::storm() noexcept {
    for (std::uint32_t count = random_.between<std::uint32_t>(1, 400); count > 0; --count)
        host_->notify(random_.between(0u, queue_count_ - 1));
}

void Conversation::act() {
    const auto hostile = [&]() -> HostileRing& {
        return hostile_[random_.between<std::size_t>(0, hostile_.size() - 1)];
    };
    switch (random_.between(0u, 19u)) {
        case 0:
            return storm();
        case 1:
            return lie_to_connect();
        case 2:
            if (random_.one_in(6)) hostile().break_an_index(random_);
            return;
        case 3:
        case 4:
            return memory_->revoke_or_grant(random_);
        case 5:
            static_cast<void>(victim_.call("stats"));
            return;
        case 6:
        case 7:
        case 8:
        case 9:
            honest_->put(random_, random_.between<std::uint32_t>(1, 8));
            host_->notify(0);
            return honest_->take();
        default: {
            const unsigned queue = random_.between(1u, queue_count_ - 1);
            counts_.hostile += hostile_[queue - 1].put(random_, *memory_, random_.between<std::uint32_t>(1, 40));
            hostile_[queue - 1].publish();
            return host_->notify(queue);
        }
    }
}

void Conversation::finish_honest() {
    const bool answered = testing::wait_until(
        [&] {
            host_->notify(0);
            honest_->take();
            return honest_->idle() || !victim_.death().empty();
        },
        guest_limit);
    if (const std::string death = victim_.death(); !death.empty()) throw Finding(death);
    if (!answered) throw Finding("an honest request is not answered");
}

void Conversation::disconnect() {
    // Waits for rings that are quiet take long, and so are rare.
    const char* const fate = random_.one_in(10) ? "served" : random_.one_in(10) ? "failed" : "untouched";
    const ipc::Json arguments{{"connection", arguments_.connection}, {"rings", fate}};
    const ipc::Reply reply = victim_.call("disconnect", arguments);
    if (!reply.error_code.empty()) throw Finding("disconnect: " + reply.error_message);
}

void Conversation::run() {
    connect();
    // It rewrites what requests are made of while they are read. Its choices do not depend on the others'.
    racer_ = std::thread([this, seed = random_.any<std::uint64_t>()] {
        SeededRandom random(seed);
        while (!over_.load(std::memory_order_relaxed)) {
            for (HostileRing& ring : hostile_)
                ring.rewrite(random, *memory_);
            memory_->rewrite(random);
            rewrites_ += hostile_.size() + 1;
            if (random.one_in(64)) std::this_thread::yield();
        }
    });
    // Some end as soon as they have begun, with everything under way.
    const bool is_short = random_.one_in(4);
    for (std::uint32_t steps = is_short ? random_.between<std::uint32_t>(0, 4)
                                        : random_.between<std::uint32_t>(20, 120);
         steps > 0; --steps)
        act();
    if (!is_short) finish_honest();
    honest_->take();
    honest_->give_up();
    counts_.honest += honest_->answered();
    disconnect();
    over_ = true;
    racer_.join();
    counts_.rewrites += rewrites_;
    ++counts_.conversations;
    victim_.check();
    victim_.check_nothing_left();
}

}  // namespace blktap::attack
