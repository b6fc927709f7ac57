// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// HeldFiles: opens and locks the image files of one disk, and keeps them open. So the locks stay while a killed tapdisk
// is replaced, and the next tapdisk gets the same open files. `judge` decides whether the disk may have a file. Every
// function may wait for as long as the storage does, so this lives in a storage process (storage_process.hpp).
//
// Tested by tests/unit/tapback/storage/image_files_test.cpp.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "control/tapback/storage/file_rules.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap::tapback {

/// Where images may be, and where files named only by images may be: absolute paths.
struct ImageDirectories {
    std::vector<std::string> images{};
    std::vector<std::string> backing{};
};

class HeldFiles {
  public:
    /// Whether the judged file is open yet.
    enum class Stage : std::uint8_t { named, open };
    /// Throws std::system_error if the disk may not have the file with these facts.
    using Judge = std::function<void(const FileFacts& facts, Stage stage)>;

    explicit HeldFiles(ImageDirectories directories) : directories_(std::move(directories)) {}

    /// Opens the file, or returns the descriptor of one that is open the same way, whatever its path names now, without
    /// asking `judge`. `naming_image`: the path of the file that names this one. HeldFiles owns the descriptor, open
    /// until release(). Errors: throws std::system_error: what `judge` throws, EBUSY (in use; the text names the
    /// processes), those of ImageOpener::open().
    int open(const ipc::OpenFileArguments& file, const std::string& naming_image, const Judge& judge);
    /// Keeps an open file as if open() had opened it. Errors: throws std::system_error: EINVAL (neither a regular file
    /// nor a block device), and what `judge` throws.
    void keep(const ipc::OpenFileArguments& file, UniqueFd fd, const Judge& judge);
    /// Closes all files, and so releases their locks.
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
