// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/storage/held_files.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <sys/stat.h>

#include "libblktap/base/error.hpp"
#include "libblktap/base/utf8.hpp"
#include "libblktap/files/image_path.hpp"
#include "libblktap/files/local_image_opener.hpp"

namespace blktap::tapback {
namespace {

namespace fs = std::filesystem;

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
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
        throw_reason({EINVAL, std::system_category()}, file.path + ": neither a regular file nor a block device");
    }
    FileFacts facts = facts_of(path_of(fd, file.path), naming_image);
    set_identity(facts, status);
    return facts;
}

int HeldFiles::open(const ipc::OpenFileArguments& file, const std::string& naming_image, const Judge& judge) {
    const auto same = std::ranges::find_if(files_, [&](const Held& held) { return opened_alike(held.file, file); });
    if (same != files_.end()) return same->fd.get();

    FileFacts facts = facts_of(resolve(file.path), naming_image);
    struct stat status {};
    if (::stat(file.path.c_str(), &status) == 0) set_identity(facts, status);  // else open() below fails
    judge(facts, Stage::named);
    LocalImageOpener opener;
    UniqueFd fd = opener.open(file.path, file.read_only ? Access::read_only : Access::read_write,
                              file.buffered ? Caching::buffered : Caching::direct);
    judge(facts_of_open(fd.get(), file, naming_image), Stage::open);
    return files_.emplace_back(Held{file, std::move(fd)}).fd.get();
}

void HeldFiles::keep(const ipc::OpenFileArguments& file, UniqueFd fd, const Judge& judge) {
    judge(facts_of_open(fd.get(), file, file.named_by), Stage::open);
    files_.push_back(Held{file, std::move(fd)});
}

}  // namespace blktap::tapback
