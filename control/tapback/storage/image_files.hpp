// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ImageFiles: the image files of all disks. tapback judges them (file_rules.hpp) and never touches them: each disk that
// has files, or is about to, has a storage process that opens, locks, keeps and closes them (docs/decisions/0020). So a
// call that hangs delays only one disk, and tapback can be ended and replaced meanwhile.
//
// An owner is a disk by its name ("5/51712"), or a tapdisk that has no disk yet.
//
// Tested by tests/unit/tapback/storage/storage_process_test.cpp.
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
    /// After this time a tapdisk is told that a file's storage does not answer. The tapdisk itself waits for 30 s, and
    /// xl's scripts for 35 s: some of that must be left to report the error.
    static constexpr Nanoseconds patience = std::chrono::seconds(25);
    /// Limit of files that one tapdisk waits for: it asks for one after the other.
    static constexpr std::size_t openings_max = 16;
    /// Limit of processes whose disks are gone and whose call has not returned.
    static constexpr std::size_t hung_max = 1024;

    /// `loop` outlives this.
    ImageFiles(EventLoop& loop, const ImageDirectories& directories, StartProcess start);
    ImageFiles(const ImageFiles&) = delete;
    ImageFiles& operator=(const ImageFiles&) = delete;
    /// Hangs up on all storage processes; no callback is called any more.
    ~ImageFiles();

    /// Opens a file for the tapdisk of `owner`, which serves `image`, and answers the tapdisk: with the descriptor, an
    /// error of FileRules or HeldFiles, or ETIMEDOUT: the storage does not answer. Errors, which the caller answers:
    /// throws std::system_error: FileRules::require_granted()'s, EAGAIN: too many files, or StartProcess's.
    void open(const std::string& owner, const ipc::OpenArguments& image, FileRequest request);
    /// Gets the files that the tapdisk of `owner` has from an earlier tapback, and keeps them. `then` is called in any
    /// case. A failure is logged; then only the tapdisk holds the locks.
    void take(const std::string& owner, const ipc::OpenArguments& image, const std::string& socket_path, pid_t tapdisk,
              Then then);
    /// Gives the open files of `from`, and what it was granted, to the disk `to`.
    void hand_over(const std::string& from, const std::string& to);

    /// Closes the files of `owner`, and so releases their locks: for an image that is closed, paused, or was not opened
    /// after all. A kept file would be served although its path may name another file by then. `then` is called when
    /// this is done, at once if there is nothing to do. Later requests are done after this one.
    void release(
        const std::string& owner, Then then = [] {});
    /// As release(), and forgets what was granted: the disk is gone. It does not wait for files that are being opened.
    void forget(
        const std::string& owner, Then then = [] {});
    /// Refuses the files that the tapdisk of `owner` waits for: it is to end.
    void refuse_open(const std::string& owner);

    /// Starts a storage process for other work that may hang. Errors: as of StartProcess.
    ipc::MessageSocket start_process() const { return start_(); }

    /// The number of files that are open for `owner`.
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
        bool gone = false;  ///< the name is no longer this owner's
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
