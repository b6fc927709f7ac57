// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ImageFiles: the image files of all disks, which tapback judges (file_rules.hpp) and never touches: for each disk that
// has files, or is about to, a storage process opens, locks, keeps and closes them (docs/decisions/0020). So a call
// that hangs keeps one disk waiting, and tapback can be ended and replaced meanwhile.
//
// An owner is a disk by its name ("5/51712"), or a tapdisk that is no disk's yet.
//
// Tested by tests/unit/tapback/storage_process_test.cpp.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/tapback/storage/file_request.hpp"
#include "control/tapback/storage/file_rules.hpp"
#include "control/tapback/storage/held_files.hpp"
#include "control/tapback/storage/storage_link.hpp"

namespace blktap::tapback {

class ImageFiles {
  public:
    /// A connection to a new storage process. May throw std::system_error.
    using StartProcess = std::function<ipc::MessageSocket()>;
    using Then = std::function<void()>;
    /// After which a tapdisk is told that a file's storage does not answer: it waits for 30 s itself, and the scripts
    /// of xl for 35 s, of which something is to be left to say so.
    static constexpr Nanoseconds patience = std::chrono::seconds(25);
    /// Files that one tapdisk waits for: it asks for one after the other.
    static constexpr std::size_t openings_max = 16;
    /// Processes of disks that are gone, in a call that has not returned.
    static constexpr std::size_t hung_max = 1024;

    /// `loop` outlives this.
    ImageFiles(EventLoop& loop, const ImageDirectories& directories, StartProcess start);
    ImageFiles(const ImageFiles&) = delete;
    ImageFiles& operator=(const ImageFiles&) = delete;
    /// Hangs up on all storage processes; what was to be called is not.
    ~ImageFiles();

    /// Opens a file for the tapdisk of `owner`, which serves `image`, and answers it: with the descriptor, or the error
    /// of FileRules or HeldFiles, or ETIMEDOUT: its storage does not answer.
    void open(const std::string& owner, const ipc::OpenArguments& image, FileRequest request);
    /// Gets the files that the tapdisk of `owner` has from an earlier tapback, and keeps them. `then`: called later,
    /// whatever comes of it; what goes wrong is logged, and the tapdisk alone locks them.
    void take(const std::string& owner, const ipc::OpenArguments& image, const std::string& socket_path, pid_t tapdisk,
              Then then);
    /// What `from` has open is the disk `to`'s from now on, and what it was granted.
    void hand_over(const std::string& from, const std::string& to);

    /// Closes what `owner` has open, and so gives its locks up. For an image that is closed, paused, or was not opened
    /// after all: kept, it would be served instead of what its path names by then. `then`: called when it is done, at
    /// once if there is nothing to do. What is asked for after this comes after it.
    void release(
        const std::string& owner, Then then = [] {});
    /// The same, and forgets what was kept: the disk is gone. A call that opens is not waited for.
    void forget(
        const std::string& owner, Then then = [] {});
    /// The tapdisk of `owner` is to end: it is told so where it waits for a file.
    void refuse_open(const std::string& owner);

    /// For a question about something else whose answer may hang as well. Errors: as of StartProcess.
    ipc::MessageSocket start_process() const { return start_(); }

    /// Files that are open for `owner`.
    std::size_t count(const std::string& owner) const noexcept { return rules_.count(owner); }

  private:
    struct Opening {
        ipc::OpenArguments image;
        FileRequest request;
        Nanoseconds deadline;
        bool refused = false;
    };
    struct Owner {
        Owner(EventLoop& loop, std::string name, ipc::MessageSocket socket)
            : name(std::move(name)), link(loop, std::move(socket)) {}
        std::string name;
        StorageLink link;
        std::list<Opening> openings{};
        bool gone = false;  ///< nobody calls it by its name any more
    };

    Owner& owner(const std::string& name);
    Owner* find(const std::string& name);
    void leave(const std::string& name);
    void judge(const Owner& owner, const Opening& opening, const ipc::Request& question);
    void opened(Owner& owner, const Opening& opening, const ipc::Reply& reply);
    void refuse(Opening& opening, std::error_code code, const std::string& message);
    void tidy();

    EventLoop& loop_;
    FileRules rules_;
    const StartProcess start_;
    std::map<std::string, std::unique_ptr<Owner>> owners_;
    std::vector<std::unique_ptr<Owner>> gone_;
    EventLoop::Timer tidy_timer_;
};

}  // namespace blktap::tapback
