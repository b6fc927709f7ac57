// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/control/host/interference.hpp"

#include <memory>
#include <poll.h>
#include <utility>

#include "libblktap/xenstore/xen_store.hpp"

namespace blktap::control_test {

Interference::Interference(const std::string& path, unsigned changes, std::function<void()> act) {
    auto store = std::make_shared<XenStore>();
    store->watch(path, "interference");
    thread_ = std::thread([this, store, changes, act = std::move(act)] {
        unsigned seen = 0;  // a watch reports itself once, before any change
        while (!ending_ && seen < changes + 1) {
            pollfd events{.fd = store->fd(), .events = POLLIN, .revents = 0};
            ::poll(&events, 1, 5);
            while (!ending_ && seen < changes + 1 && store->next_event())
                ++seen;
        }
        if (ending_) return;
        happened_ = true;
        try {
            act();
        } catch (...) {
            error_ = std::current_exception();
        }
    });
}

Interference::~Interference() {
    ending_ = true;
    if (thread_.joinable()) thread_.join();
}

bool Interference::end() {
    ending_ = true;
    if (thread_.joinable()) thread_.join();
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    return happened_;
}

}  // namespace blktap::control_test
