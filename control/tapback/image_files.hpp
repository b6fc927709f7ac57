// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ImageFiles: opens image files for tapdisks, which have no right to the file system (docs/decisions/0007), and keeps
// them. What is kept holds the file's locks while a killed tapdisk is replaced: its successor gets the same open file.
//
// An image names its backing files itself, in a header that its owner, or a guest, may have written. Such a file is
// opened only below the folder of the image that names it, or where the operator says that backing files are.
//
// Tested by tests/unit/tapback/image_files_test.cpp.
#pragma once

#include <map>
#include <string>
#include <sys/stat.h>
#include <vector>

#include "libblktap/base/unique_fd.hpp"
#include "libblktap/ipc/messages.hpp"

namespace blktap {

class ImageFiles {
  public:
    /// All absolute. `directories`: images outside of them are refused; "/" allows all. `backing_directories`: where
    /// files that only an image names may be too.
    explicit ImageFiles(std::vector<std::string> directories, std::vector<std::string> backing_directories = {})
        : directories_(std::move(directories)), backing_directories_(std::move(backing_directories)) {}
    ImageFiles(const ImageFiles&) = delete;
    ImageFiles& operator=(const ImageFiles&) = delete;

    /// Opens and locks `file` for the tapdisk of `vbd` ("5/51712"), which serves `image`. What this VBD has open
    /// already, opened the same way, is returned again, whatever its path names now.
    /// Lifetime: the descriptor stays ours, and open until release(); a message carries its duplicate.
    /// Another file than the image's is granted only for reading, only where the format has backing files, and only
    /// below the folder of the image that names it, which is open for `vbd` and is no block device, or in the backing
    /// directories; but for the data file that the image's options name (which formats have what: drivers/formats).
    /// What keep() was given for this image is granted again. Errors: throws std::system_error, its text beginning with
    /// the path: EPERM (outside of the directories, or more than `image` grants), EBUSY (in use; the text says by
    /// whom); those of ImageOpener::open(). Context: may block.
    int open(const std::string& vbd, const ipc::OpenArguments& image, const ipc::OpenFileArguments& file);

    /// Keeps a file that the tapdisk of `vbd` got from an earlier tapback, as if open() had opened it. Errors: throws
    /// std::system_error: EPERM (not the image's), EINVAL (no file).
    void keep(const std::string& vbd, const ipc::OpenArguments& image, const ipc::OpenFileArguments& file, UniqueFd fd);
    /// What `from` has open is the disk `to`'s from now on, and what it was granted.
    void hand_over(const std::string& from, const std::string& to);

    /// Closes what `vbd` has open, and so gives its locks up. For an image that is closed, paused, or was not opened
    /// after all: kept, it would be served instead of what its path names by then.
    void release(const std::string& vbd) noexcept { held_.erase(vbd); }
    /// The same, and forgets what keep() was given: the disk is gone.
    void forget(const std::string& vbd) noexcept;

    /// Files that are open for `vbd`.
    std::size_t count(const std::string& vbd) const noexcept { return held_.count(vbd); }

  private:
    struct Held {
        ipc::OpenFileArguments file;
        UniqueFd fd;
        dev_t device;
        ino_t inode;
        bool block_device;
    };
    /// A file that a disk had when this tapback found it. It was judged by the rules of the one that opened it.
    struct Kept {
        std::string image;
        std::string path;
        dev_t device;
        ino_t inode;
    };

    const Held& naming_image(const std::string& vbd, const ipc::OpenArguments& image,
                             const ipc::OpenFileArguments& file) const;
    bool was_kept(const std::string& vbd, const ipc::OpenArguments& image, const ipc::OpenFileArguments& file,
                  const struct stat& status) const;
    void require_allowed(const std::string& vbd, const ipc::OpenArguments& image, const ipc::OpenFileArguments& file,
                         const std::string& resolved, const struct stat& status) const;
    int hold(const std::string& vbd, const ipc::OpenFileArguments& file, UniqueFd fd);
    void require_not_served(const std::string& vbd, const ipc::OpenFileArguments& file) const;

    const std::vector<std::string> directories_;
    const std::vector<std::string> backing_directories_;
    std::multimap<std::string, Held> held_;
    std::multimap<std::string, Kept> kept_;
};

}  // namespace blktap
