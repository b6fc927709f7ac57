// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// HeldFiles: opens and locks the image files of one disk, and keeps them open. So the locks stay while a killed tapdisk
// is replaced, and the next tapdisk gets the same files. `judge` decides whether the disk may have a file.
//
// A file that is kept is given to a tapdisk as another open file description, with the same locks and with the token
// (io_token.hpp). That tapdisk and its requests in the kernel are the only users of the description. So it is known
// when the last request of a dead tapdisk is over: no other tapdisk gets the file before, and no lock is released
// before.
//
// Every function may wait for as long as the storage does, so this lives in a storage process (storage_process.hpp).
//
// Tested by tests/unit/tapback/storage/image_files_test.cpp, held_files_test.cpp and late_io_test.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "control/tapback/storage/file_rules.hpp"
#include "control/tapback/storage/io_token.hpp"
#include "control/tapback/system/process_id.hpp"
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

    /// Passes some time between two looks at a dead process's I/O.
    using Pause = std::function<void()>;

    /// Milliseconds: nobody is told when a token is gone, because only a lock for writing could wait for it.
    static void pause_shortly();
    explicit HeldFiles(ImageDirectories directories, Pause pause = &pause_shortly)
        : directories_(std::move(directories)), pause_(std::move(pause)) {}

    /// Opens the file to keep it, unless one is kept that was opened the same way, whatever its path names now; of that
    /// one `judge` is not asked. Returns a description for `tapdisk`. The caller passes it on and closes its own
    /// descriptor. Waits for the I/O of dead processes that were given the file. `naming_image`: the path of the file
    /// that names this one. Errors: throws std::system_error: what `judge` throws, EBUSY (in use, by another program or
    /// because a living tapdisk has it for writing; the text names the processes), those of ImageOpener::open().
    UniqueFd open(const ipc::OpenFileArguments& file, const std::string& naming_image, const ProcessId& tapdisk,
                  const Judge& judge);
    /// Keeps the file of `fd`, which `tapdisk` was given by another HeldFiles, as if open() had opened and given it.
    /// Errors: throws std::system_error: EINVAL (neither a regular file nor a block device), what `judge` throws, those
    /// of open(2).
    void keep(const ipc::OpenFileArguments& file, UniqueFd fd, const ProcessId& tapdisk, const Judge& judge);
    /// Closes all files, and so releases their locks, when no I/O is under way any more.
    void release();

  private:
    struct Held {
        ipc::OpenFileArguments file;
        UniqueFd fd;
        std::vector<IoToken> given{};  ///< tokens that may be on the file
        bool told_of_no_token = false;

        void wait_for(const IoToken& token, const Pause& pause) const;
    };

    Held& hold(const ipc::OpenFileArguments& file, const std::string& naming_image, const Judge& judge);
    UniqueFd open_unused(const ipc::OpenFileArguments& file) const;
    enum class Users : std::uint8_t { unknown, dead, alive };  ///< whose tokens are on a file
    Users wait_for_dead(const ipc::OpenFileArguments& file) const;
    void wait_for_others(Held& held) const;
    static UniqueFd give(Held& held, const ProcessId& tapdisk);
    FileFacts facts_of(const std::string& location, const std::string& naming_image) const;
    FileFacts facts_of_open(int fd, const ipc::OpenFileArguments& file, const std::string& naming_image) const;

    const ImageDirectories directories_;
    const Pause pause_;
    std::vector<Held> files_;
};

}  // namespace blktap::tapback
