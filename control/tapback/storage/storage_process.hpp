// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The inside of a storage process: it opens, locks, keeps and closes the files of one disk for tapback, one request
// after the other. Any call may hang for as long as the storage does; nobody but this disk waits for it, and tapback
// can end meanwhile. When tapback is gone the process ends, with the call that it is in.
//
// Tested by tests/unit/tapback/storage_process_test.cpp.
#pragma once

#include "control/tapback/storage/held_files.hpp"
#include "libblktap/ipc/message_socket.hpp"

namespace blktap::tapback::storage {

/// Serves tapback until it hangs up. Errors: none; what fails is an answer, or is logged.
void serve_disk(ipc::MessageSocket tapback, ImageDirectories directories) noexcept;

/// The program "tapback-storage", as ProcessStarter starts it: makes a storage process for each socket that it is sent,
/// until tapback hangs up. Returns the exit status.
int run_starter(int argument_count, char** arguments) noexcept;
/// Whether this command line is that program's.
bool is_starter(int argument_count, char** arguments) noexcept;

}  // namespace blktap::tapback::storage
