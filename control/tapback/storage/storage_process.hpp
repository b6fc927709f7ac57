// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The inside of a storage process: it opens, locks, keeps and closes the files of one disk for tapback, one request
// after the other. Any call may hang for as long as the storage does; only this disk waits for it, and tapback can end
// meanwhile. When tapback is gone, the process ends after its current call.
//
// Tested by tests/unit/tapback/storage/storage_process_test.cpp.
#pragma once

#include "control/tapback/storage/held_files.hpp"
#include "libblktap/ipc/message_socket.hpp"

namespace blktap::tapback::storage {

/// Serves tapback until it hangs up. Errors: none; a failure is sent as the answer, or logged.
void serve_disk(ipc::MessageSocket tapback, ImageDirectories directories) noexcept;

/// The program "tapback-storage", as ProcessStarter runs it: makes a storage process for each socket that tapback
/// sends, until tapback hangs up. Returns the exit status.
int run_starter(int argument_count, char** arguments) noexcept;
/// Whether this is the command line of that program.
bool is_starter(int argument_count, char** arguments) noexcept;

}  // namespace blktap::tapback::storage
