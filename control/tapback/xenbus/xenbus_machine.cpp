// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/xenbus/xenbus_machine.hpp"

namespace blktap::tapback {
namespace {

using Tapdisk = Situation::Tapdisk;
using Link = Situation::Link;

bool is_abandoned(const Situation& now) noexcept {
    return now.abandoned && now.tapdisk == Tapdisk::none;
}

Step give_up(const Situation& now) noexcept {
    if (now.link == Link::up) return Step::disconnect;
    if (now.tapdisk == Tapdisk::ending) return Step::none;
    if (is_abandoned(now)) return Step::abandon;
    return now.tapdisk == Tapdisk::none ? Step::forget : Step::end_tapdisk;
}

Step while_closed(const Situation& now) noexcept {
    if (!now.online) return now.tapdisk == Tapdisk::open ? Step::end_tapdisk : Step::none;
    // Firmware hands over to the system's driver, or a kernel to the next: the next one begins again.
    return is_starting(now.frontend) || is_ready(now.frontend) ? Step::offer : Step::none;
}

Step while_closing(const Situation& now) noexcept {
    // Without rings there is nothing to wait for, and a toolstack that gives up an unused disk waits only 10 seconds.
    if (!is_gone(now.frontend) && !is_starting(now.frontend) && now.online) return Step::none;
    return is_abandoned(now) ? Step::abandon : Step::close;
}

Step while_up(const Situation& now) noexcept {
    const bool taken = now.forced && !now.online;
    if (is_gone(now.frontend) || is_starting(now.frontend) || now.renewed || taken) return Step::disconnect;
    if (now.backend >= Xenbus::closing) return Step::none;
    if (now.frontend == Xenbus::closing || !now.online) return Step::closing;
    return now.backend < Xenbus::connected || !now.published ? Step::publish : Step::none;
}

}  // namespace

bool is_starting(Xenbus frontend) noexcept {
    return frontend == Xenbus::initialising || frontend == Xenbus::init_wait;
}

bool is_ready(Xenbus frontend) noexcept {
    return frontend == Xenbus::initialised || frontend == Xenbus::connected;
}

bool is_gone(Xenbus frontend) noexcept {
    return frontend == Xenbus::unknown || frontend == Xenbus::closed;
}

Xenbus parse_frontend_state(const std::optional<std::string>& text) noexcept {
    if (!text) return Xenbus::unknown;
    if (text->size() != 1 || text->front() < '0' || text->front() > '6') return Xenbus::closing;
    return static_cast<Xenbus>(text->front() - '0');
}

Step next_step(const Situation& now) noexcept {
    if (now.link == Link::busy) return Step::none;
    if (now.link == Link::up && now.kernel_waits) return Step::none;
    if (!now.owned) return give_up(now);
    if (now.link == Link::up) return while_up(now);
    if (now.backend == Xenbus::closed) return while_closed(now);
    if (now.backend == Xenbus::closing) return while_closing(now);
    if (is_gone(now.frontend) || !now.online) return is_abandoned(now) ? Step::abandon : Step::close;
    if (now.backend < Xenbus::init_wait) return Step::offer;
    if (now.backend == Xenbus::connected && is_starting(now.frontend)) return Step::offer;
    if (now.frontend == Xenbus::closing || now.refused) return Step::closing;
    if (!now.offered) return Step::offer;
    const bool takes_rings = now.tapdisk == Tapdisk::open && !now.paused && !now.unrecorded;
    return is_ready(now.frontend) && takes_rings ? Step::connect : Step::none;
}

}  // namespace blktap::tapback
