// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/crash/mortal/file_keeper.hpp"

#include <algorithm>
#include <fcntl.h>

#include "libblktap/files/local_image_opener.hpp"

namespace blktap::testing {

FileKeeper::FileKeeper(const std::string& directory, bool careless)
    : careless_(careless), files_({.images = {directory}}, [this] {
          waiting_ = true;
          tapback::HeldFiles::pause_shortly();
      }) {}

UniqueFd FileKeeper::open(const ipc::OpenFileArguments& file, pid_t tapdisk) {
    if (careless_) {
        auto same = std::ranges::find(opened_, file.path, &Opened::path);
        if (same == opened_.end()) {
            const Access access = file.read_only ? Access::read_only : Access::read_write;
            opened_.push_back({file.path, LocalImageOpener().open(file.path, access, Caching::direct)});
            same = std::prev(opened_.end());
        }
        return UniqueFd{::fcntl(same->fd.get(), F_DUPFD_CLOEXEC, 0)};
    }
    const auto process = tapback::identify(tapdisk);
    if (!process) throw_error(std::make_error_code(std::errc::no_such_process), file.path);
    waiting_ = false;
    UniqueFd fd = files_.open(file, {}, *process, [](const tapback::FileFacts&, tapback::HeldFiles::Stage) {});
    if (waiting_) ++waited_;
    return fd;
}

}  // namespace blktap::testing
