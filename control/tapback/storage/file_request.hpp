// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FileRequest: a tapdisk's request for a file, with its own connection to that tapdisk for the answer. The storage
// process that opens the file sends the descriptor straight to the tapdisk. tapback never has it: closing even a
// duplicate may take as long as the storage does.
#pragma once

#include <cstdint>
#include <string>

#include "control/tapback/system/process_id.hpp"
#include "libblktap/ipc/channel.hpp"
#include "libblktap/ipc/messages.hpp"

namespace blktap::tapback {

class FileRequest {
  public:
    /// `id`: the id of the tapdisk's request. `connection`: a duplicate of the connection that it came by.
    FileRequest(ipc::OpenFileArguments file, const ProcessId& tapdisk, std::uint64_t id, UniqueFd connection);

    const ipc::OpenFileArguments& file() const noexcept { return file_; }
    const ProcessId& tapdisk() const noexcept { return tapdisk_; }
    std::uint64_t id() const noexcept { return id_; }
    int connection() const noexcept { return connection_.fd(); }
    /// Answers the request with an error. The tapdisk ignores a second answer.
    void refuse(std::error_code code, const std::string& message) noexcept;

  private:
    ipc::OpenFileArguments file_;
    ProcessId tapdisk_;
    std::uint64_t id_;
    ipc::Channel connection_;
};

}  // namespace blktap::tapback
