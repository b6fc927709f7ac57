// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// HangingFileSystem: a file system with one file, whose calls a test can make wait, like those of a network file system
// whose server is away. A thread of the test serves it, through /dev/fuse. Only this process and its children see it;
// it ends with the process, and so do the calls that still wait.
//
//     if (!HangingFileSystem::available()) return (void)WARN("needs root and /dev/fuse");
//     HangingFileSystem storage{8 << 20};
//     storage.hold(HangingFileSystem::Call::open);
//     ...                        // opening storage.file() waits
//     storage.let_go();
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "libblktap/base/unique_fd.hpp"
#include "tests/support/temporary_directory.hpp"

namespace blktap::testing {

class HangingFileSystem {
  public:
    enum class Call : std::uint8_t {
        none,
        look,  ///< stat(), and each look-up of a path
        open,
        read,
        write,
        sync,
        close,  ///< of each descriptor, not only of the last
    };

    static bool available();

    /// Errors: throws std::system_error.
    explicit HangingFileSystem(std::size_t file_bytes);
    HangingFileSystem(const HangingFileSystem&) = delete;
    HangingFileSystem& operator=(const HangingFileSystem&) = delete;
    ~HangingFileSystem();

    std::string file() const { return path_ + "/image"; }
    /// From now on calls of this kind wait; if `whose` is set, only those of processes for which it returns true.
    void hold(Call call, std::function<bool(pid_t)> whose = {});
    /// While set, syncs fail (EIO); what was written stays as it is.
    void fail_syncs(bool fail);
    /// Number of calls that wait.
    std::size_t held() const;
    /// Answers all waiting calls; later ones do not wait.
    void let_go();

  private:
    using Request = std::vector<char>;

    void serve();
    void answer(const Request& request);
    void answer_look(const Request& request) const;
    void answer_data(const Request& request);
    void reply(const Request& to, int error, const void* data, std::size_t size_bytes) const;

    TemporaryDirectory directory_{};
    const std::string path_ = directory_.path("hanging");
    UniqueFd device_;
    std::vector<char> bytes_;
    mutable std::mutex mutex_{};  ///< for all below, and bytes_
    Call call_ = Call::none;
    std::function<bool(pid_t)> whose_{};
    bool syncs_fail_ = false;
    std::vector<Request> held_{};
    std::thread thread_{};
};

}  // namespace blktap::testing
