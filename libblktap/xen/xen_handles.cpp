// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/xen/xen_handles.hpp"

#include <string>

#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::xen {
namespace {

/// Throws events away that the last user has not taken: their ports may be the next user's.
void forget_events(EventChannelHandle& events) noexcept {
    constexpr int at_most = 1024;  // a guest that sends without end must not keep us here
    for (int i = 0; i < at_most && events.pending(); ++i) {
    }
}

}  // namespace

void KeptHandles::GiveBack::operator()(XenHandles* handles) const noexcept {
    std::unique_ptr<XenHandles> owned(handles);
    if (keeper->only_ones_) keeper->kept_ = std::move(owned);
}

void KeptHandles::open_the_only_ones() {
    only_ones_ = true;
    try {
        kept_ = std::make_unique<XenHandles>();
    } catch (const std::system_error& error) {
        failure_ = error;
    }
}

KeptHandles::Lent KeptHandles::lend(DomainId domain) {
    if (!only_ones_) return {new XenHandles, GiveBack{this}};
    if (failure_) throw *failure_;
    if (!kept_) {
        throw_error(std::make_error_code(std::errc::device_or_resource_busy),
                    "the handles of Xen are in use, and a sandbox allows no others");
    }
    if (domain_ && *domain_ != domain) {
        throw_error(std::make_error_code(std::errc::operation_not_permitted),
                    "event channels are restricted to domain " + std::to_string(*domain_));
    }
    if (domain_) {
        forget_events(kept_->events);
    } else if (const auto error = kept_->events.restrict_to(domain); error) {
        log::warning("xen.not_restricted", {{"domain", std::to_string(domain)},
                                            {"reason", error.message()},
                                            {"state", "event channels of other domains could be bound"}});
    }
    domain_ = domain;
    return {kept_.release(), GiveBack{this}};
}

}  // namespace blktap::xen
