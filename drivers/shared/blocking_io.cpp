// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/shared/blocking_io.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

#include "libblktap/base/unique_fd.hpp"
#include "libblktap/base/units.hpp"

namespace blktap {
namespace {

std::error_code allocate_range(int fd, int mode, std::uint64_t begin, std::uint64_t end) noexcept {
    while (::fallocate(fd, mode, static_cast<off_t>(begin), static_cast<off_t>(end - begin)) != 0) {
        if (errno != EINTR) return last_system_error();
    }
    return {};
}

}  // namespace

Result<std::size_t> read_at(int fd, std::span<std::byte> data, std::uint64_t offset_bytes) noexcept {
    std::size_t done = 0;
    while (done < data.size()) {
        const ssize_t count =
            ::pread(fd, data.data() + done, data.size() - done, static_cast<off_t>(offset_bytes + done));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return last_system_error();
        done += static_cast<std::size_t>(count);
        // A count that is no multiple of a sector has met the end of the file; direct I/O could not continue there.
        if (count == 0 || !is_aligned(static_cast<std::uint64_t>(count), sector_size_bytes)) break;
    }
    return done;
}

std::error_code read_to_end(int fd, std::span<std::byte> data, std::uint64_t offset_bytes,
                            std::uint64_t file_end) noexcept {
    const auto count = read_at(fd, data, offset_bytes);
    if (!count) return count.error();
    const std::uint64_t left = file_end - std::min(file_end, offset_bytes);
    const std::size_t wanted = std::min<std::uint64_t>(data.size(), left);
    if (count.value() < wanted) return Errc::unexpected_end_of_file;
    std::ranges::fill(data.subspan(wanted), std::byte{0});
    return {};
}

std::error_code write_at(int fd, std::span<const std::byte> data, std::uint64_t offset_bytes) noexcept {
    while (!data.empty()) {
        const ssize_t count = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset_bytes));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return last_system_error();
        if (count == 0) return std::make_error_code(std::errc::io_error);
        data = data.subspan(static_cast<std::size_t>(count));
        offset_bytes += static_cast<std::uint64_t>(count);
    }
    return {};
}

std::error_code write_all_at(int fd, std::span<iovec> data, std::uint64_t offset_bytes) noexcept {
    while (!data.empty()) {
        const ssize_t count =
            ::pwritev(fd, data.data(), static_cast<int>(data.size()), static_cast<off_t>(offset_bytes));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return last_system_error();
        if (count == 0) return std::make_error_code(std::errc::no_space_on_device);
        auto done = static_cast<std::size_t>(count);
        offset_bytes += done;
        while (!data.empty() && done >= data.front().iov_len) {
            done -= data.front().iov_len;
            data = data.subspan(1);
        }
        if (data.empty()) break;
        iovec& first = data.front();
        first.iov_base = static_cast<std::byte*>(first.iov_base) + done;
        first.iov_len -= done;
    }
    return {};
}

std::error_code set_length(int fd, std::uint64_t length_bytes) noexcept {
    while (::ftruncate(fd, static_cast<off_t>(length_bytes)) != 0) {
        if (errno != EINTR) return last_system_error();
    }
    return {};
}

std::error_code require_length(int fd, std::uint64_t bytes) noexcept {
    struct stat status {};
    if (::fstat(fd, &status) != 0) return last_system_error();
    if (!S_ISREG(status.st_mode)) return {};
    return static_cast<std::uint64_t>(status.st_size) < bytes ? Errc::unexpected_end_of_file : std::error_code{};
}

std::error_code lengthen(int fd, std::uint64_t old_end, std::uint64_t begin, std::uint64_t end) noexcept {
    while (::fallocate(fd, 0, static_cast<off_t>(begin), static_cast<off_t>(end - begin)) != 0) {
        if (errno == EINTR) continue;
        if (errno == EOPNOTSUPP) return set_length(fd, end);  // NFS before 4.2, some of FUSE
        const std::error_code error = last_system_error();
        // A file system that ran out of space keeps the blocks that it allocated first, even behind the file's end.
        if (const std::error_code cutting = set_length(fd, old_end)) return cutting;
        return error;
    }
    return {};
}

std::error_code zero_range(int fd, std::uint64_t begin, std::uint64_t end) noexcept {
    return allocate_range(fd, FALLOC_FL_ZERO_RANGE, begin, end);
}

std::error_code zero_and_free(int fd, std::uint64_t begin, std::uint64_t end) noexcept {
    return allocate_range(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, begin, end);
}

std::error_code sync_directory_of(const std::string& path) {
    const std::filesystem::path directory = std::filesystem::absolute(path).parent_path();
    const UniqueFd fd{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    return fd && ::fsync(fd.get()) == 0 ? std::error_code{} : last_system_error();
}

}  // namespace blktap
