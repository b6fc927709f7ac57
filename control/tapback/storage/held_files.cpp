// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/storage/held_files.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <thread>
#include <utility>

#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/base/utf8.hpp"
#include "libblktap/files/image_lock.hpp"
#include "libblktap/files/image_path.hpp"
#include "libblktap/files/local_image_opener.hpp"

namespace blktap::tapback {
namespace {

namespace fs = std::filesystem;

/// Of a file that is locked, before it is taken for in use: about a second, which whoever is refused waits as well.
constexpr int looks_max = 100;

/// The path of the open file itself: the path it was opened by may name another file by now.
std::string path_of(int fd, const std::string& path) {
    std::error_code error;
    const fs::path target = fs::read_symlink("/proc/self/fd/" + std::to_string(fd), error);
    if (error) throw_error(error, path + ": cannot find out where it is");
    return target;
}

/// `path` without symbolic links, as far as it exists.
std::string resolve(const std::string& path) {
    std::error_code error;
    const fs::path resolved = fs::weakly_canonical(path, error);
    if (error) throw_error(error, path + ": cannot open");
    return resolved;
}

bool is_inside_any(const fs::path& path, const std::vector<std::string>& directories) {
    return std::ranges::any_of(directories, [&](const std::string& directory) {
        std::error_code absent;  // an absent directory holds no file
        const fs::path where = fs::canonical(directory, absent);
        return !absent && is_below(path, where);
    });
}

bool opened_alike(const ipc::OpenFileArguments& one, const ipc::OpenFileArguments& other) {
    return one.path == other.path && one.read_only == other.read_only && one.buffered == other.buffered;
}

Access access_of(const ipc::OpenFileArguments& file) noexcept {
    return file.read_only ? Access::read_only : Access::read_write;
}

bool is_image_file(const struct stat& status) noexcept {
    return S_ISREG(status.st_mode) || S_ISBLK(status.st_mode);
}

/// The flags by which a file was opened that another description needs too.
int flags_of(int fd) {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0) throw_system_error("fcntl");
    return flags & (O_ACCMODE | O_DIRECT);
}

/// Another open file description of the very same file, whatever its path names by now.
UniqueFd reopen(int fd, int flags, const std::string& path) {
    UniqueFd another{::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), flags | O_CLOEXEC | O_NOCTTY)};
    if (!another) throw_system_error(path + ": cannot open it again");
    return another;
}

/// Opens a block device once more, so that nothing else of this host can claim it; only one description can. Returns an
/// empty descriptor if there is nothing to claim, or another program has claimed it while nobody kept it.
UniqueFd claim(int fd, const ipc::OpenFileArguments& file) {
    struct stat status {};
    if (file.read_only || ::fstat(fd, &status) != 0 || !S_ISBLK(status.st_mode)) return {};
    try {
        return reopen(fd, flags_of(fd) | O_EXCL, file.path);
    } catch (const std::system_error& error) {
        log::warning("image.unclaimed", {{"path", file.path},
                                         {"reason", error.what()},
                                         {"state", "served all the same; the kernel may use the device as well"}});
        return {};
    }
}

void set_identity(FileFacts& facts, const struct stat& status) {
    facts.device = status.st_dev;
    facts.inode = status.st_ino;
    facts.block_device = S_ISBLK(status.st_mode);
}

}  // namespace

FileFacts HeldFiles::facts_of(const std::string& location, const std::string& naming_image) const {
    FileFacts facts;
    facts.in_image_directories = is_inside_any(location, directories_.images);
    facts.in_backing_directories = is_inside_any(location, directories_.backing);
    const auto by = std::ranges::find_if(files_, [&](const Held& held) { return held.file.path == naming_image; });
    if (by == files_.end()) return facts;
    const fs::path folder = fs::path{path_of(by->fd.get(), naming_image)}.parent_path();
    facts.below_naming_image = is_below(location, folder);
    facts.naming_folder = escape_invalid_utf8(folder.string());
    return facts;
}

FileFacts HeldFiles::facts_of_open(int fd, const ipc::OpenFileArguments& file, const std::string& naming_image) const {
    struct stat status {};
    if (::fstat(fd, &status) != 0) throw_system_error(file.path);
    if (!is_image_file(status)) {
        throw_reason({EINVAL, std::system_category()}, file.path + ": neither a regular file nor a block device");
    }
    FileFacts facts = facts_of(path_of(fd, file.path), naming_image);
    set_identity(facts, status);
    return facts;
}

// Keeping and giving.

void HeldFiles::pause_shortly() {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

UniqueFd HeldFiles::open(const ipc::OpenFileArguments& file, const std::string& naming_image, const ProcessId& tapdisk,
                         const Judge& judge) {
    Held& held = hold(file, naming_image, judge);
    wait_for_others(held);
    return give(held, tapdisk);
}

HeldFiles::Held& HeldFiles::hold(const ipc::OpenFileArguments& file, const std::string& naming_image,
                                 const Judge& judge) {
    const auto same = std::ranges::find_if(files_, [&](const Held& held) { return opened_alike(held.file, file); });
    if (same != files_.end()) return *same;

    FileFacts facts = facts_of(resolve(file.path), naming_image);
    struct stat status {};
    if (::stat(file.path.c_str(), &status) == 0) set_identity(facts, status);  // else open_unused() fails
    judge(facts, Stage::named);
    UniqueFd fd = open_unused(file);
    judge(facts_of_open(fd.get(), file, naming_image), Stage::open);
    return files_.emplace_back(Held{file, std::move(fd)});
}

/// Opens and locks the file. What has it locked may be about to let go: a dead tapdisk's last requests, or the storage
/// process of a tapback that was killed, which ends by itself.
UniqueFd HeldFiles::open_unused(const ipc::OpenFileArguments& file) const {
    for (int looks = 0;; ++looks) {
        try {
            return LocalImageOpener().open(file.path, access_of(file),
                                           file.buffered ? Caching::buffered : Caching::direct);
        } catch (const std::system_error& error) {
            if (error.code() != std::errc::device_or_resource_busy || looks == looks_max) throw;
            const Users users = wait_for_dead(file);
            if (users == Users::alive) throw;
            if (users == Users::unknown) pause_();
        }
    }
}

/// Waits for the I/O of dead processes on a file that is not open yet.
HeldFiles::Users HeldFiles::wait_for_dead(const ipc::OpenFileArguments& file) const {
    // Nothing is done to the file before it is known to be no device with effects.
    const UniqueFd found{::open(file.path.c_str(), O_PATH | O_CLOEXEC)};
    struct stat status {};
    if (!found || ::fstat(found.get(), &status) != 0 || !is_image_file(status)) return Users::unknown;
    const Held used{file, reopen(found.get(), O_RDONLY, file.path)};
    Users users = Users::unknown;
    for (const IoToken& token : IoToken::all_on(used.fd.get())) {
        if (token.process_lives()) {
            users = Users::alive;
        } else {
            used.wait_for(token, pause_);
            if (users == Users::unknown) users = Users::dead;
        }
    }
    return users;
}

/// Waits until the token is gone.
void HeldFiles::Held::wait_for(const IoToken& token, const Pause& pause) const {
    const auto tell = [&](const char* state) {
        log::info("image.late-io", {{"path", file.path}, {"pid", std::to_string(token.pid())}, {"state", state}});
    };
    int looks = 0;
    for (; token.is_on(fd.get()); ++looks) {
        // The kernel lets go of a description some moments after its last request was answered.
        if (looks == 1) tell("waits for the last requests of the process");
        pause();
    }
    if (looks > 1) tell("over");
}

/// Waits until no dead process has I/O on the file. A living one may only have it if both read.
void HeldFiles::wait_for_others(Held& held) const {
    std::vector<IoToken> others = held.given;
    for (const IoToken& token : IoToken::all_on(held.fd.get()))
        if (std::ranges::count(others, token) == 0) others.push_back(token);
    for (const IoToken& token : others) {
        if (!token.is_on(held.fd.get())) {
            std::erase(held.given, token);
        } else if (!token.process_lives()) {
            held.wait_for(token, pause_);
        } else if (!held.file.read_only) {
            throw_reason({EBUSY, std::system_category()},
                         held.file.path + ": process " + std::to_string(token.pid()) + " has it for writing");
        }
    }
}

UniqueFd HeldFiles::give(Held& held, const ProcessId& tapdisk) {
    const std::string& path = held.file.path;
    UniqueFd fd = reopen(held.fd.get(), flags_of(held.fd.get()), path);
    std::error_code error = lock_image_again(fd.get(), path, access_of(held.file));
    const IoToken token(tapdisk);
    if (!error) error = token.put_on(fd.get());
    if (!error) {
        if (std::ranges::count(held.given, token) == 0) held.given.push_back(token);
    } else if (!std::exchange(held.told_of_no_token, true)) {
        log::warning("image.no-token",
                     {{"path", path},
                      {"reason", error.message()},
                      {"state", "served all the same; the last requests of a tapdisk that dies are not waited for"}});
    }
    return fd;
}

/// A tapdisk of a version without tokens shares its description with whoever kept the file, so this is kept as it is;
/// so is one of a file system without locks.
void HeldFiles::keep(const ipc::OpenFileArguments& file, UniqueFd fd, const ProcessId& tapdisk, const Judge& judge) {
    judge(facts_of_open(fd.get(), file, file.named_by), Stage::open);
    UniqueFd own = reopen(fd.get(), flags_of(fd.get()), file.path);
    const IoToken token(tapdisk);
    if (!token.is_on(own.get())) {
        files_.push_back(Held{file, std::move(fd)});
        return;
    }
    if (UniqueFd claimed = claim(own.get(), file)) own = std::move(claimed);
    lock_image_again(own.get(), file.path, access_of(file));
    files_.push_back(Held{file, std::move(own), {token}});
}

void HeldFiles::release() {
    for (const Held& held : files_) {
        for (const IoToken& token : held.given)
            held.wait_for(token, pause_);
    }
    files_.clear();
}

}  // namespace blktap::tapback
