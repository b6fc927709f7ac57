// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Implements the protocol of <linux/fuse.h>, as far as one file needs it.
#include "tests/support/images/hanging_file_system.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "tests/support/images/small_file_system.hpp"

namespace blktap::testing {
namespace {

constexpr std::uint64_t file_node = 2;
constexpr std::uint32_t data_max_bytes = 128u << 10;
constexpr std::uint32_t block_bytes = 4096;

/// Returns the part of a request at `offset` behind its header.
template <class Part>
Part part_of(const std::vector<char>& request, std::size_t offset = 0) {
    Part part{};
    const std::size_t begin = sizeof(fuse_in_header) + offset;
    if (request.size() >= begin + sizeof part) std::memcpy(&part, request.data() + begin, sizeof part);
    return part;
}

fuse_in_header header_of(const std::vector<char>& request) {
    fuse_in_header header{};
    std::memcpy(&header, request.data(), sizeof header);
    return header;
}

fuse_attr attributes(std::uint64_t node, std::size_t file_bytes) {
    fuse_attr attributes{};
    attributes.ino = node;
    attributes.nlink = 1;
    attributes.blksize = block_bytes;
    attributes.mode = node == file_node ? S_IFREG | 0600 : S_IFDIR | 0700;
    if (node != file_node) return attributes;
    attributes.size = file_bytes;
    attributes.blocks = file_bytes / 512;
    return attributes;
}

HangingFileSystem::Call kind_of(std::uint32_t operation) {
    using Call = HangingFileSystem::Call;
    switch (operation) {
        case FUSE_LOOKUP:
        case FUSE_GETATTR:
            return Call::look;
        case FUSE_OPEN:
            return Call::open;
        case FUSE_READ:
            return Call::read;
        case FUSE_WRITE:
            return Call::write;
        case FUSE_FSYNC:
            return Call::sync;
        case FUSE_FLUSH:
            return Call::close;
        default:
            return Call::none;
    }
}

bool wants_no_answer(std::uint32_t operation) {
    return operation == FUSE_FORGET || operation == FUSE_BATCH_FORGET || operation == FUSE_INTERRUPT;
}

}  // namespace

bool HangingFileSystem::available() {
    return SmallFileSystem::available() && ::access("/dev/fuse", R_OK | W_OK) == 0;
}

HangingFileSystem::HangingFileSystem(std::size_t file_bytes)
    : device_(::open("/dev/fuse", O_RDWR | O_CLOEXEC)), bytes_(file_bytes) {
    if (!device_) throw_system_error("/dev/fuse");
    ::mkdir(path_.c_str(), 0700);
    const std::string options =
        "fd=" + std::to_string(device_.get()) + ",rootmode=40700,user_id=0,group_id=0,allow_other";
    if (::mount("hanging", path_.c_str(), "fuse", 0, options.c_str()) != 0) throw_system_error(path_);
    thread_ = std::thread([this] { serve(); });
}

HangingFileSystem::~HangingFileSystem() {
    let_go();
    ::umount2(path_.c_str(), MNT_FORCE);  // ends the thread's read, and all calls that wait
    ::umount2(path_.c_str(), MNT_DETACH);
    thread_.join();
}

void HangingFileSystem::hold(Call call, std::function<bool(pid_t)> whose) {
    const std::lock_guard lock{mutex_};
    call_ = call;
    whose_ = std::move(whose);
}

void HangingFileSystem::fail_syncs(bool fail) {
    const std::lock_guard lock{mutex_};
    syncs_fail_ = fail;
}

std::size_t HangingFileSystem::held() const {
    const std::lock_guard lock{mutex_};
    return held_.size();
}

void HangingFileSystem::let_go() {
    const std::lock_guard lock{mutex_};
    call_ = Call::none;
    for (const Request& request : std::exchange(held_, {}))
        answer(request);
}

void HangingFileSystem::serve() {
    for (;;) {
        Request request(data_max_bytes + block_bytes);
        const ssize_t size = ::read(device_.get(), request.data(), request.size());
        if (size < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN)) continue;
        if (size < static_cast<ssize_t>(sizeof(fuse_in_header))) return;  // unmounted
        request.resize(static_cast<std::size_t>(size));
        const fuse_in_header header = header_of(request);
        const std::lock_guard lock{mutex_};
        const bool wanted = call_ != Call::none && kind_of(header.opcode) == call_;
        if (wanted && (!whose_ || whose_(static_cast<pid_t>(header.pid)))) {
            held_.push_back(std::move(request));
        } else {
            answer(request);
        }
    }
}

void HangingFileSystem::reply(const Request& to, int error, const void* data, std::size_t size_bytes) const {
    fuse_out_header header{};
    header.len = static_cast<std::uint32_t>(sizeof header + size_bytes);
    header.error = -error;
    header.unique = header_of(to).unique;
    const std::array<iovec, 2> parts{iovec{&header, sizeof header}, iovec{const_cast<void*>(data), size_bytes}};
    [[maybe_unused]] const ssize_t sent = ::writev(device_.get(), parts.data(), 2);  // ENOENT: nobody waits any more
}

void HangingFileSystem::answer(const Request& request) {
    const std::uint32_t operation = header_of(request).opcode;
    if (wants_no_answer(operation)) return;
    switch (operation) {
        case FUSE_INIT: {
            const auto asked = part_of<fuse_init_in>(request);
            fuse_init_out out{};
            out.major = FUSE_KERNEL_VERSION;
            out.minor = std::min<std::uint32_t>(asked.minor, FUSE_KERNEL_MINOR_VERSION);
            out.flags = asked.flags & FUSE_ASYNC_DIO;
            out.max_write = data_max_bytes;
            return reply(request, 0, &out, sizeof out);
        }
        case FUSE_LOOKUP:
        case FUSE_GETATTR:
        case FUSE_SETATTR:
            return answer_look(request);
        case FUSE_OPEN: {
            fuse_open_out out{};
            out.open_flags = FOPEN_DIRECT_IO;
            return reply(request, 0, &out, sizeof out);
        }
        case FUSE_READ:
        case FUSE_WRITE:
            return answer_data(request);
        case FUSE_STATFS: {
            fuse_statfs_out out{};
            out.st.bsize = out.st.frsize = block_bytes;
            out.st.blocks = out.st.bfree = out.st.bavail = 1u << 20;
            return reply(request, 0, &out, sizeof out);
        }
        case FUSE_FSYNC:
            return reply(request, syncs_fail_ ? EIO : 0, nullptr, 0);
        case FUSE_FLUSH:
        case FUSE_RELEASE:
            return reply(request, 0, nullptr, 0);
        default:
            return reply(request, ENOSYS, nullptr, 0);
    }
}

void HangingFileSystem::answer_look(const Request& request) const {
    const fuse_in_header header = header_of(request);
    if (header.opcode != FUSE_LOOKUP) {
        fuse_attr_out out{};  // validity zero: the kernel caches nothing
        out.attr = attributes(header.nodeid, bytes_.size());
        return reply(request, 0, &out, sizeof out);
    }
    const std::string name(request.data() + sizeof header);
    if (name != "image") return reply(request, ENOENT, nullptr, 0);
    fuse_entry_out out{};
    out.nodeid = file_node;
    out.attr = attributes(file_node, bytes_.size());
    reply(request, 0, &out, sizeof out);
}

void HangingFileSystem::answer_data(const Request& request) {
    const auto asked = part_of<fuse_read_in>(request);  // fuse_write_in begins alike
    const std::size_t begin = std::min<std::size_t>(asked.offset, bytes_.size());
    const std::size_t size = std::min<std::size_t>(asked.size, bytes_.size() - begin);
    if (header_of(request).opcode == FUSE_READ) return reply(request, 0, bytes_.data() + begin, size);
    std::memcpy(bytes_.data() + begin, request.data() + sizeof(fuse_in_header) + sizeof(fuse_write_in), size);
    fuse_write_out out{};
    out.size = static_cast<std::uint32_t>(size);
    reply(request, 0, &out, sizeof out);
}

}  // namespace blktap::testing
