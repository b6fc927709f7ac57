// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/replay/frontend/frontend_host.hpp"

#include <array>
#include <numeric>
#include <stdexcept>
#include <string>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "libblktap/base/units.hpp"

namespace blktap::replay {
namespace {

// The kernel gives a page when it is first touched.
constexpr std::size_t local_memory_bytes = std::size_t{1} << 30;

}  // namespace

void FrontendHost::connected(std::vector<UniqueFd> descriptors) {
    if (!descriptors.empty()) throw std::runtime_error("the backend sent descriptors that nobody asked for");
}

// ---- a guest ----

FrontendPages GuestHost::share(std::uint32_t page_count, xen::PageAccess access) {
    const xen::SharedPages& pages = shared_.emplace_back(grants_, backend_domain_, page_count, access);
    return {pages.bytes(), pages.refs()};
}

std::uint32_t GuestHost::add_queue() {
    return channels_.emplace_back(xen::EventChannel::bind_unbound(events_, backend_domain_)).port();
}

void GuestHost::acknowledge() noexcept {
    // One look per channel and no last one that finds nothing: with one queue that would double the system calls.
    for (std::size_t i = 0; i < channels_.size(); ++i) {
        const auto port = events_.pending();
        if (!port) return;
        events_.unmask(*port);
    }
}

// ---- a program beside the tapdisk ----

LocalHost::LocalHost() : memory_(SealedMemory::create("ring-replay", local_memory_bytes)) {}

FrontendPages LocalHost::share(std::uint32_t page_count, xen::PageAccess access) {
    if (access == xen::PageAccess::read_only) throw std::runtime_error("a local ring has no pages that are only read");
    if (page_count > local_memory_bytes / page_size_bytes - pages_used_)
        throw std::runtime_error("a local ring has " + std::to_string(local_memory_bytes) +
                                 " bytes of memory, and no more");
    std::vector<xen::GrantRef>& refs = refs_.emplace_back(page_count);
    std::iota(refs.begin(), refs.end(), pages_used_);
    const FrontendPages pages{
        memory_.bytes().subspan(pages_used_ * page_size_bytes, std::size_t{page_count} * page_size_bytes), refs};
    pages_used_ += page_count;
    return pages;
}

std::uint32_t LocalHost::add_queue() {
    ++queue_count_;
    return 0;
}

void LocalHost::connected(std::vector<UniqueFd> descriptors) {
    if (descriptors.size() != 1 + queue_count_)
        throw std::runtime_error("the backend sent " + std::to_string(descriptors.size()) + " descriptors for " +
                                 std::to_string(queue_count_) + " local rings");
    requests_ = std::move(descriptors.front());
    answers_.assign(std::make_move_iterator(descriptors.begin() + 1), std::make_move_iterator(descriptors.end()));
    any_ = UniqueFd{::epoll_create1(EPOLL_CLOEXEC)};
    for (const UniqueFd& answers : answers_) {
        epoll_event event{.events = EPOLLIN, .data = {}};
        if (!any_ || ::epoll_ctl(any_.get(), EPOLL_CTL_ADD, answers.get(), &event) != 0) throw_system_error("epoll");
    }
}

void LocalHost::notify(unsigned) noexcept {
    ::eventfd_write(requests_.get(), 1);
}

void LocalHost::acknowledge() noexcept {
    std::array<char, 64> wakes;
    for (const UniqueFd& answers : answers_) {
        while (::read(answers.get(), wakes.data(), wakes.size()) == static_cast<ssize_t>(wakes.size())) {
        }
    }
}

}  // namespace blktap::replay
