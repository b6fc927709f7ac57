// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/storage/file_request.hpp"

#include "libblktap/base/log.hpp"

namespace blktap::tapback {
namespace {

/// All disks would wait for one tapdisk that does not read.
ipc::MessageSocket impatient(UniqueFd connection) {
    ipc::MessageSocket socket(std::move(connection));
    socket.set_patience(std::chrono::nanoseconds{0});
    return socket;
}

}  // namespace

FileRequest::FileRequest(ipc::OpenFileArguments file, const ProcessId& tapdisk, std::uint64_t id, UniqueFd connection)
    : file_(std::move(file)), tapdisk_(tapdisk), id_(id), connection_(impatient(std::move(connection))) {}

void FileRequest::refuse(std::error_code code, const std::string& message) noexcept {
    try {
        connection_.reply_error(id_, code, message);
    } catch (const std::exception& error) {
        log::warning("open-file", {{"path", file_.path}, {"reason", error.what()}, {"state", "not answered"}});
    }
}

}  // namespace blktap::tapback
