// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ImageFiles: opens image files for tapdisks, which have no right to the file system (docs/decisions/0007), and keeps
// them. What is kept holds the file's locks while a killed tapdisk is replaced: its successor gets the same open file.
//
// Tested by tests/unit/tapback/image_files_test.cpp.
#pragma once

#include <map>
#include <string>
#include <sys/types.h>
#include <vector>

#include "libblktap/base/unique_fd.hpp"
#include "libblktap/ipc/messages.hpp"

namespace blktap {

class ImageFiles {
  public:
    /// `directories`: absolute; files outside of them are refused. "/" allows all.
    explicit ImageFiles(std::vector<std::string> directories) : directories_(std::move(directories)) {}
    ImageFiles(const ImageFiles&) = delete;
    ImageFiles& operator=(const ImageFiles&) = delete;

    /// Opens and locks `file` for the tapdisk of `vbd` ("5/51712"), which serves `image`. What this VBD has open
    /// already, opened the same way, is returned again, whatever its path names now.
    /// Lifetime: the descriptor stays ours, and open until release(); a message carries its duplicate.
    /// Another file than the image's is granted only for reading, and only where the format has backing files; but for
    /// the one that the image's option data-file names.
    /// Errors: throws std::system_error, its text beginning with the path: EPERM (outside of the directories, or more
    /// than `image` grants), EBUSY (in use; the text says by whom); those of ImageOpener::open(). Context: may block.
    int open(const std::string& vbd, const ipc::OpenArguments& image, const ipc::OpenFileArguments& file);

    /// Keeps a file that the tapdisk of `vbd` got from an earlier tapback, as if open() had opened it. Errors: throws
    /// std::system_error: EPERM (not the image's), EINVAL (no file).
    void keep(const std::string& vbd, const ipc::OpenArguments& image, const ipc::OpenFileArguments& file, UniqueFd fd);
    /// What `from` has open is the disk `to`'s from now on.
    void hand_over(const std::string& from, const std::string& to);

    /// Closes what `vbd` has open, and so gives its locks up. For an image that is closed, paused, or was not opened
    /// after all: kept, it would be served instead of what its path names by then.
    void release(const std::string& vbd) noexcept { held_.erase(vbd); }

    /// Files that are open for `vbd`.
    std::size_t count(const std::string& vbd) const noexcept { return held_.count(vbd); }

  private:
    struct Held {
        ipc::OpenFileArguments file;
        UniqueFd fd;
        dev_t device;
        ino_t inode;
    };

    std::string outside_text() const;
    void require_inside(const std::string& path, const std::string& resolved) const;
    int hold(const std::string& vbd, const ipc::OpenFileArguments& file, UniqueFd fd);
    void require_not_served(const std::string& vbd, const ipc::OpenFileArguments& file) const;

    const std::vector<std::string> directories_;
    std::multimap<std::string, Held> held_;
};

}  // namespace blktap
