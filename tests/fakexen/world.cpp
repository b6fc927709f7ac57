// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The world's file, and the processes in it: coming, going, and clearing up after those that were killed.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"
#include "tests/fakexen/channels.hpp"
#include "tests/fakexen/grants.hpp"
#include "tests/fakexen/shared_world.hpp"

namespace fakexen {
namespace {

using blktap::Mapping;
using blktap::throw_error;
using blktap::throw_system_error;
using blktap::UniqueFd;

constexpr const char* file_name = "world";

UniqueFd open_directory(const std::string& path) {
    // A process may change its user after it has entered, and others of any user may come: these are test worlds.
    if (::mkdir(path.c_str(), 0777) == 0) ::chmod(path.c_str(), 0777);
    UniqueFd directory{::open(path.c_str(), O_DIRECTORY | O_PATH | O_CLOEXEC)};
    if (!directory) throw_system_error("fakexen: " + path);
    return directory;
}

// The file gets its name only when it is complete, so nobody sees half of it; who is second takes the first one's.
void create_file(int directory) {
    const std::string draft = "draft." + std::to_string(::getpid()) + "." + std::to_string(::gettid());
    const UniqueFd file{::openat(directory, draft.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666)};
    if (!file || ::fchmod(file.get(), 0666) != 0 || ::ftruncate(file.get(), sizeof(Layout)) != 0) {
        throw_system_error("fakexen: new world file");
    }
    const bool named = ::linkat(directory, draft.c_str(), directory, file_name, 0) == 0;
    const int error = errno;
    ::unlinkat(directory, draft.c_str(), 0);
    if (!named && error != EEXIST) throw_error({error, std::system_category()}, "fakexen: new world file");
}

UniqueFd open_file(int directory) {
    UniqueFd file{::openat(directory, file_name, O_RDWR | O_CLOEXEC)};
    if (!file && errno == ENOENT) {
        create_file(directory);
        file.reset(::openat(directory, file_name, O_RDWR | O_CLOEXEC));
    }
    if (!file) throw_system_error("fakexen: world file");
    return file;
}

constexpr ProcessId lock_of_tables = 0;  // nobody's number: its byte is the lock over the tables

struct flock byte_of(ProcessId process) noexcept {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(sizeof(Layout)) + process;
    lock.l_len = 1;
    return lock;
}

// Every step may be the last of this process too: whoever comes next starts again from the beginning.
void bury(SharedWorld& world, const WorldLock& lock, const ProcessSet& dead) noexcept {
    forget_channels(world, lock, dead);
    forget_grants(world, lock, dead);
    for (ProcessId process = 1; process < process_count; ++process) {
        if (dead[process]) world.layout().processes[process].pid = 0;
    }
}

ProcessId find_free(const SharedWorld& world) noexcept {
    const auto& processes = world.layout().processes;
    const auto* const entry =
        std::find_if(processes.begin() + 1, processes.end(), [](const Process& each) { return each.pid == 0; });
    return entry == processes.end() ? ProcessId{0} : static_cast<ProcessId>(entry - processes.begin());
}

UniqueFd open_datagram_socket(int flags) {
    UniqueFd fd{::socket(AF_UNIX, SOCK_DGRAM | flags, 0)};
    if (!fd) throw_system_error("fakexen: a socket");
    return fd;
}

void set_handle(sockaddr_un& name, socklen_t size, HandleId handle) noexcept {
    std::memcpy(reinterpret_cast<std::byte*>(&name) + size - sizeof handle, &handle, sizeof handle);
}

}  // namespace

SharedWorld::SharedWorld(const std::string& directory)
    : directory_(open_directory(directory)),
      file_(open_file(directory_.get())),
      life_(open_file(directory_.get())),
      mapping_(Mapping::shared_file(file_.get(), sizeof(Layout))),
      ringer_(open_datagram_socket(SOCK_CLOEXEC)) {
    name_bells();
    const WorldLock lock{*this};
    enter(lock);
}

/// Abstract names, which need no file, of the device and inode of the world's file.
void SharedWorld::name_bells() {
    struct stat status {};
    if (::fstat(file_.get(), &status) != 0) throw_system_error("fakexen: world file");
    bell_name_.sun_family = AF_UNIX;
    char* end = bell_name_.sun_path + 1;
    for (const char c : "fakexen-" + std::to_string(status.st_dev) + '-' + std::to_string(status.st_ino) + '-')
        *end++ = c;
    const auto fixed_size = static_cast<std::size_t>(end - reinterpret_cast<char*>(&bell_name_));
    bell_name_size_ = static_cast<socklen_t>(fixed_size + sizeof(HandleId));
}

UniqueFd SharedWorld::open_bell(HandleId handle, bool close_on_exec) const {
    UniqueFd bell = open_datagram_socket(close_on_exec ? SOCK_CLOEXEC : 0);
    sockaddr_un name = bell_name_;
    set_handle(name, bell_name_size_, handle);
    if (::bind(bell.get(), reinterpret_cast<const sockaddr*>(&name), bell_name_size_) == 0) return bell;
    if (errno == EADDRINUSE) return {};
    throw_system_error("fakexen: the socket of handle " + std::to_string(handle));
}

bool SharedWorld::ring_bell(HandleId handle, Port port) const noexcept {
    sockaddr_un name = bell_name_;
    set_handle(name, bell_name_size_, handle);
    iovec data{.iov_base = &port, .iov_len = sizeof port};
    msghdr message{};
    message.msg_name = &name;
    message.msg_namelen = bell_name_size_;
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    // Any other error: nobody is there.
    return ::sendmsg(ringer_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno != EAGAIN;
}

HandleId SharedWorld::handle_behind(int fd) const noexcept {
    sockaddr_un name{};
    socklen_t size = sizeof name;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0 || size != bell_name_size_) return 0;
    if (std::memcmp(&name, &bell_name_, size - sizeof(HandleId)) != 0) return 0;
    HandleId handle = 0;
    std::memcpy(&handle, reinterpret_cast<const std::byte*>(&name) + size - sizeof handle, sizeof handle);
    return handle < handle_count ? handle : HandleId{0};
}

void* SharedWorld::map_pool(std::span<const std::uint32_t> pages, int protection) const noexcept {
    const std::size_t size_bytes = pages.size() * page_size_bytes;
    void* const base = ::mmap(nullptr, size_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) return nullptr;
    for (std::size_t first = 0, end = 0; first < pages.size(); first = end) {
        for (end = first + 1; end < pages.size() && pages[end] == pages[end - 1] + 1; ++end) {
        }
        void* const address = static_cast<std::byte*>(base) + first * page_size_bytes;
        const auto offset = static_cast<off_t>(offsetof(Layout, pool) + pages[first] * page_size_bytes);
        if (::mmap(address, (end - first) * page_size_bytes, protection, MAP_SHARED | MAP_FIXED, file_.get(), offset) ==
            MAP_FAILED) {
            const int error = errno;
            ::munmap(base, size_bytes);
            errno = error;
            return nullptr;
        }
    }
    return base;
}

void SharedWorld::zero_pool(std::uint32_t first, std::uint32_t count) const noexcept {
    const auto offset = static_cast<off_t>(offsetof(Layout, pool) + first * page_size_bytes);
    const auto length = static_cast<off_t>(count * page_size_bytes);
    BLKTAP_ASSERT(::fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length) == 0);
}

WorldLock::WorldLock(SharedWorld& world) noexcept : world_(world), threads_(world.threads_) {
    auto byte = byte_of(lock_of_tables);
    while (::fcntl(world.life_.get(), F_OFD_SETLKW, &byte) != 0)
        BLKTAP_ASSERT(errno == EINTR);
    // The kernel takes the lock from a process that dies, and the mark stays.
    std::uint32_t& held = world.layout().header.held;
    const bool died_inside = std::exchange(held, 1) != 0;
    if (died_inside) count_maps(world, *this);
}

WorldLock::~WorldLock() {
    world_.layout().header.held = 0;
    auto byte = byte_of(lock_of_tables);
    byte.l_type = F_UNLCK;
    ::fcntl(world_.life_.get(), F_OFD_SETLK, &byte);
}

void SharedWorld::enter(const WorldLock& lock) {
    self_ = find_free(*this);
    if (self_ == 0) {
        bury_the_dead(*this, lock);
        self_ = find_free(*this);
    }
    auto byte = byte_of(self_);
    if (self_ == 0 || ::fcntl(life_.get(), F_OFD_SETLK, &byte) != 0) {
        blktap::throw_error({EUSERS, std::system_category()}, "fakexen: too many processes in a world");
    }
    layout().processes[self_].pid = ::getpid();
}

SharedWorld::~SharedWorld() {
    const WorldLock lock{*this};
    bury(*this, lock, ProcessSet{}.set(self_));
}

bool is_alive(const SharedWorld& world, ProcessId process) noexcept {
    if (world.layout().processes[process].pid == 0) return false;
    auto byte = byte_of(process);
    return ::fcntl(world.file_.get(), F_OFD_GETLK, &byte) != 0 || byte.l_type != F_UNLCK;
}

void bury_the_dead(SharedWorld& world, const WorldLock& lock) noexcept {
    ProcessSet dead;
    for (ProcessId process = 1; process < process_count; ++process) {
        const bool entered = world.layout().processes[process].pid != 0;
        dead[process] = entered && !is_alive(world, process);
    }
    if (dead.any()) bury(world, lock, dead);
}

}  // namespace fakexen
