// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// CrashKernel: a Linux AIO that performs submitted operations in any order, when the test says so, and logs every write
// and every fdatasync in the order in which they happened. The log gives the state of the disk after a loss of power at
// any moment: all sectors that an fdatasync covered are there, and any of the others. Blocking writes to the watched
// files are logged only where a test has note_write() and note_sync() called for them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <random>
#include <span>
#include <string>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <vector>

#include "libblktap/aio/aio_kernel.hpp"

namespace blktap::testing {

struct DiskEvent {
    std::size_t file = 0;  ///< of those that are watched
    bool sync = false;
    std::uint64_t offset = 0;
    std::vector<std::byte> data{};
    std::uint64_t file_bytes = 0;  ///< the file's length when it happened
};

class CrashKernel final : public AioKernel {
  public:
    /// `watched`: all files that are written.
    CrashKernel(std::uint64_t seed, const std::vector<std::string>& watched) : random_(seed) {
        for (const std::string& path : watched) {
            struct stat status {};
            if (::stat(path.c_str(), &status) != 0) std::abort();
            inodes_.push_back(status.st_ino);
        }
        current() = this;
    }
    CrashKernel(const CrashKernel&) = delete;
    CrashKernel& operator=(const CrashKernel&) = delete;
    ~CrashKernel() { current() = nullptr; }
    /// The one that there is, or null.
    static CrashKernel*& current() {
        static CrashKernel* the_one = nullptr;
        return the_one;
    }
    void note_write(int fd, std::span<const std::byte> data, std::uint64_t offset) {
        note(fd, {.offset = offset, .data = {data.begin(), data.end()}});
    }
    void note_sync(int fd) { note(fd, {.sync = true}); }

    const std::vector<DiskEvent>& events() const { return events_; }
    std::size_t held() const { return held_.size(); }
    /// Does some operations, at least one if there is one.
    void do_some() {
        for (std::size_t count = 1 + random_() % 4; count > 0 && !held_.empty(); --count)
            do_one(random_() % held_.size());
    }

    int setup(unsigned, io_context_t* context) noexcept override {
        *context = reinterpret_cast<io_context_t>(&no_ring_);  // of no layout that IoQueue knows
        return 0;
    }
    int submit(io_context_t, long count, iocb** blocks) noexcept override {
        for (long i = 0; i < count; ++i)
            held_.push_back({*blocks[i], blocks[i]});
        return static_cast<int>(count);
    }
    int get_events(io_context_t, long, long maximum, io_event* events, timespec*) noexcept override {
        int count = 0;
        for (; count < maximum && !done_.empty(); ++count) {
            events[count] = done_.front();
            done_.pop_front();
        }
        return count;
    }
    int destroy(io_context_t) noexcept override { return 0; }

  private:
    void note(int fd, DiskEvent event) {
        struct stat status {};
        if (::fstat(fd, &status) != 0) std::abort();
        const auto file = std::ranges::find(inodes_, status.st_ino);
        if (file == inodes_.end()) return;
        event.file = static_cast<std::size_t>(file - inodes_.begin());
        event.file_bytes = static_cast<std::uint64_t>(status.st_size);
        events_.push_back(std::move(event));
    }
    struct Held {
        iocb block;
        iocb* address;
    };

    void do_one(std::size_t index) {
        const Held held = held_[index];
        held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(index));
        const long result = perform(held.block);
        done_.push_back({held.block.data, held.address, static_cast<unsigned long>(result), 0});
        if ((held.block.u.c.flags & 1) != 0) ::eventfd_write(static_cast<int>(held.block.u.c.resfd), 1);
    }
    long perform(const iocb& block) {
        const auto* const data = static_cast<const iovec*>(block.u.c.buf);
        const int fd = block.aio_fildes;
        if (block.aio_lio_opcode == IO_CMD_PREADV) {
            return ::preadv(fd, data, static_cast<int>(block.u.c.nbytes), block.u.c.offset);
        }
        DiskEvent event;
        if (block.aio_lio_opcode == IO_CMD_PWRITEV) {
            event.offset = static_cast<std::uint64_t>(block.u.c.offset);
            for (unsigned long i = 0; i < block.u.c.nbytes; ++i) {
                const auto* const from = static_cast<const std::byte*>(data[i].iov_base);
                event.data.insert(event.data.end(), from, from + data[i].iov_len);
            }
            const long written = ::pwritev(fd, data, static_cast<int>(block.u.c.nbytes), block.u.c.offset);
            if (written != static_cast<long>(event.data.size())) std::abort();
        } else {
            event.sync = true;
        }
        const auto result = static_cast<long>(event.data.size());
        note(fd, std::move(event));
        return result;
    }

    std::mt19937_64 random_;
    std::vector<::ino_t> inodes_;
    std::uint64_t no_ring_[16] = {};
    std::deque<Held> held_;
    std::deque<io_event> done_;
    std::vector<DiskEvent> events_;
};

}  // namespace blktap::testing
