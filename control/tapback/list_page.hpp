// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ListPage: the part of a list that fits into one reply.
//
// Tested by tests/control/scale_test.cpp.
#pragma once

#include <utility>
#include <vector>

#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tapback {

template <class Entry>
class ListPage {
  public:
    explicit ListPage(std::vector<Entry>& entries) noexcept : entries_(entries) {}

    /// Returns false if the page is full: the entry belongs on the next one.
    bool add(Entry entry) {
        if (entries_.size() == ipc::list_entries_max || size_bytes_ > size_max_bytes) return false;
        size_bytes_ += ipc::Json(entry).dump(-1, ' ', false, ipc::Json::error_handler_t::replace).size();
        entries_.push_back(std::move(entry));
        return true;
    }

  private:
    /// Leaves room in a message for the longest entry.
    static constexpr std::size_t size_max_bytes = ipc::message_size_max_bytes / 2;

    std::vector<Entry>& entries_;
    std::size_t size_bytes_ = 0;
};

}  // namespace blktap::tapback
