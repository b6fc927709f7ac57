// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// HeldFiles: opens and locks the image files of one disk, and keeps them: what is kept holds the files' locks while a
// killed tapdisk is replaced, and its successor gets the same open file. It asks whether the disk may have a file, and
// decides nothing itself. Every function may wait for as long as the storage does, so it lives in a process of its own
// (storage_process.hpp).
//
// Tested by tests/unit/tapback/image_files_test.cpp.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "control/tapback/storage/file_rules.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap::tapback {

/// Where images may be, and where files may be that only images name: absolute paths.
struct ImageDirectories {
    std::vector<std::string> images{};
    std::vector<std::string> backing{};
};

class HeldFiles {
  public:
    /// Whether the file is open yet.
    enum class Stage : std::uint8_t { named, open };
    /// Throws std::system_error where the disk may not have the file of which these are the facts.
    using Judge = std::function<void(const FileFacts& facts, Stage stage)>;

    explicit HeldFiles(ImageDirectories directories) : directories_(std::move(directories)) {}

    /// What is open already, opened the same way, is returned again, whatever its path names now; without a question.
    /// `naming_image`: the path of the file that names this one. The descriptor stays ours, and open until release().
    /// Errors: throws std::system_error: what `judge` throws, EBUSY (in use; the text says by which processes), those
    /// of ImageOpener::open().
    int open(const ipc::OpenFileArguments& file, const std::string& naming_image, const Judge& judge);
    /// Keeps an open file as if open() had opened it. Errors: throws std::system_error: EINVAL (neither a regular file
    /// nor a block device), and what `judge` throws.
    void keep(const ipc::OpenFileArguments& file, UniqueFd fd, const Judge& judge);
    /// Closes all, and so gives the locks up.
    void release() noexcept { files_.clear(); }

  private:
    struct Held {
        ipc::OpenFileArguments file;
        UniqueFd fd;
    };

    FileFacts facts_of(const std::string& location, const std::string& naming_image) const;
    FileFacts facts_of_open(int fd, const ipc::OpenFileArguments& file, const std::string& naming_image) const;

    const ImageDirectories directories_;
    std::vector<Held> files_;
};

}  // namespace blktap::tapback
