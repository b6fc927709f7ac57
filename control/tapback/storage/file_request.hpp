// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FileRequest: a tapdisk's question for a file, with the way to answer it: a connection of its own to that tapdisk. The
// descriptor of the file goes from the storage process that opened it straight to the tapdisk, and is never tapback's:
// to close even a duplicate of it may take as long as the storage does.
#pragma once

#include <cstdint>
#include <string>

#include "libblktap/ipc/channel.hpp"
#include "libblktap/ipc/messages.hpp"

namespace blktap::tapback {

class FileRequest {
  public:
    /// `id`: of the tapdisk's request, on the connection of which `connection` is a duplicate.
    FileRequest(ipc::OpenFileArguments file, std::uint64_t id, UniqueFd connection);

    const ipc::OpenFileArguments& file() const noexcept { return file_; }
    std::uint64_t id() const noexcept { return id_; }
    int connection() const noexcept { return connection_.fd(); }
    /// Answers it with an error. A second answer is one that the tapdisk does not wait for any more.
    void refuse(std::error_code code, const std::string& message) noexcept;

  private:
    ipc::OpenFileArguments file_;
    std::uint64_t id_;
    ipc::Channel connection_;
};

}  // namespace blktap::tapback
