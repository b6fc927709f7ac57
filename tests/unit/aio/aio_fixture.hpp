// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Shared by the tests of the AIO queue: an operation with memory of its own that counts its completions, a file in
// memory, and a loop that runs turns until every operation is done.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "libblktap/aio/io_queue.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/mapping.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/sim_aio_kernel.hpp"

namespace blktap::testing {

struct TestOp : IoOp {
    TestOp() {
        completed = [](IoOp& op) noexcept {
            auto& self = static_cast<TestOp&>(op);
            ++self.completions;
            if (self.then) self.then(self);
        };
    }
    /// `parts` pieces of `part_size_bytes` each, filled with `fill`.
    void prepare(Kind what, int file, std::uint64_t offset, std::size_t part_size_bytes, std::size_t parts, char fill) {
        kind = what;
        fd = file;
        offset_bytes = offset;
        memory = Mapping::anonymous(part_size_bytes * parts);
        std::memset(memory.data(), fill, memory.size_bytes());
        pieces.clear();
        for (std::size_t part = 0; part < parts; ++part) {
            pieces.push_back({memory.data() + part * part_size_bytes, part_size_bytes});
        }
        data = pieces;
    }
    void prepare_read(int file, std::uint64_t offset, std::size_t part_size_bytes, std::size_t parts = 1) {
        prepare(Kind::read, file, offset, part_size_bytes, parts, '?');
    }
    void prepare_write(int file, std::uint64_t offset, std::size_t part_size_bytes, std::size_t parts, char fill) {
        prepare(Kind::write, file, offset, part_size_bytes, parts, fill);
    }
    void prepare_flush(int file) {
        kind = Kind::fdatasync;
        fd = file;
    }
    /// The memory's first `size_bytes` are all `expected`.
    bool holds(char expected, std::size_t size_bytes) const {
        const auto bytes = memory.bytes().first(size_bytes);
        return std::all_of(bytes.begin(), bytes.end(), [=](std::byte byte) { return byte == std::byte(expected); });
    }
    bool succeeded_with(std::uint64_t bytes) const {
        return completions == 1 && !error && transferred_bytes == bytes && state == State::idle;
    }
    bool failed_with(int code) const {
        return completions == 1 && error == std::error_code(code, std::system_category()) && state == State::idle;
    }

    Mapping memory;
    std::vector<iovec> pieces;
    int completions = 0;
    std::function<void(TestOp&)> then;
};

/// A file in memory of `size_bytes` times `fill`.
inline UniqueFd memory_file(std::size_t size_bytes, char fill = 0) {
    UniqueFd file{::memfd_create("disk", MFD_CLOEXEC)};
    const std::vector<char> content(size_bytes, fill);
    if (!file || ::pwrite(file.get(), content.data(), size_bytes, 0) != static_cast<ssize_t>(size_bytes)) {
        throw_system_error("memory file");
    }
    return file;
}

/// `size_bytes` of the file from `offset` are all `expected`.
inline bool file_holds(int fd, std::uint64_t offset, std::size_t size_bytes, char expected) {
    std::vector<char> content(size_bytes);
    const ssize_t got = ::pread(fd, content.data(), size_bytes, static_cast<off_t>(offset));
    return got == static_cast<ssize_t>(size_bytes) &&
           std::all_of(content.begin(), content.end(), [=](char byte) { return byte == expected; });
}

/// Runs turns until the queue is idle.
inline void finish(IoQueue& queue, SimAioKernel& kernel) {
    for (int turn = 0; !queue.idle(); ++turn) {
        REQUIRE(turn < 10'000);
        if (queue.needs_retry_timer()) queue.retry();
        queue.submit_staged();
        kernel.complete_all_shuffled();
        queue.reap();
    }
}

}  // namespace blktap::testing
