// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/image_files.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <iterator>
#include <string_view>
#include <sys/stat.h>

#include "drivers/shared/local_image_opener.hpp"
#include "libblktap/base/error.hpp"

namespace blktap {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(int error, const std::string& text) {
    throw_reason({error, std::system_category()}, text);
}

/// Images of these formats name others below them, which only their own tapdisk can find out.
bool has_backing_files(const std::string& format) {
    constexpr std::string_view those[] = {"qcow2", "vhd"};
    return std::ranges::find(those, format) != std::end(those);
}

/// Where an image's data is, when the operator says so. What the image itself says a guest may have written.
bool is_data_file(const ipc::OpenArguments& image, const std::string& path) {
    const auto named = image.options.find("data-file");
    return has_backing_files(image.format) && named != image.options.end() && named->second == path;
}

/// A tapdisk that a guest has taken over may ask for anything: it gets what it was started for, and to read, where the
/// format has backing files, what else is inside the directories.
void require_granted(const ipc::OpenArguments& image, const ipc::OpenFileArguments& file) {
    const bool backing = has_backing_files(image.format) && file.read_only;
    if (file.path != image.path && !backing && !is_data_file(image, file.path)) {
        const bool may_be_data = has_backing_files(image.format);
        refuse(EPERM, file.path + ": not the image that this disk was given" +
                          (may_be_data ? " (to write a data file, name it with the option data-file=PATH)" : ""));
    }
    if (image.read_only && !file.read_only) refuse(EPERM, file.path + ": this disk is read-only");
}

bool is_inside(const fs::path& path, const fs::path& directory) {
    // Whole names: /srv-old is not inside /srv.
    const auto end = std::mismatch(directory.begin(), directory.end(), path.begin(), path.end()).first;
    return end == directory.end();
}

/// Where the open file is, whatever its path was made to name while we opened it.
std::string path_of(int fd, const std::string& path) {
    std::error_code error;
    const fs::path target = fs::read_symlink("/proc/self/fd/" + std::to_string(fd), error);
    if (error) throw_error(error, path + ": cannot find out where it is");
    return target;
}

/// `path` without symbolic links; of a path that does not exist, as far as it does.
std::string resolve(const std::string& path) {
    std::error_code error;
    const fs::path resolved = fs::weakly_canonical(path, error);
    if (error) throw_error(error, path + ": cannot open");
    return resolved;
}

}  // namespace

std::string ImageFiles::outside_text() const {
    std::string names;
    for (const std::string& directory : directories_)
        names += (names.empty() ? "" : ", ") + directory;
    return ": outside of image-directories (" + names + ")";
}

void ImageFiles::require_inside(const std::string& path, const std::string& resolved) const {
    for (const std::string& directory : directories_) {
        std::error_code absent;  // and holds nothing then
        const fs::path where = fs::canonical(directory, absent);
        if (!absent && is_inside(resolved, where)) return;
    }
    refuse(EPERM, path + outside_text());
}

/// The lock would refuse it as well, but names processes, tapback among them, where an operator thinks of disks.
void ImageFiles::require_not_served(const std::string& vbd, const ipc::OpenFileArguments& file) const {
    struct stat status {};
    if (::stat(file.path.c_str(), &status) != 0) return;  // opening it says why
    for (const auto& [owner, held] : held_) {
        const bool same = held.device == status.st_dev && held.inode == status.st_ino;
        const bool both_read = held.file.read_only && file.read_only;
        if (same && !both_read && owner != vbd) refuse(EBUSY, file.path + ": in use by the disk " + owner);
    }
}

int ImageFiles::open(const std::string& vbd, const ipc::OpenArguments& image, const ipc::OpenFileArguments& file) {
    require_granted(image, file);
    const auto [begin, end] = held_.equal_range(vbd);
    const auto same = std::find_if(begin, end, [&](const auto& entry) { return entry.second.file == file; });
    if (same != end) return same->second.fd.get();

    if (!file.path.starts_with('/')) refuse(EINVAL, file.path + ": not an absolute path");
    require_inside(file.path, resolve(file.path));
    require_not_served(vbd, file);
    LocalImageOpener opener;
    UniqueFd fd = opener.open(file.path, file.read_only ? Access::read_only : Access::read_write,
                              file.buffered ? Caching::buffered : Caching::direct);
    require_inside(file.path, path_of(fd.get(), file.path));
    return hold(vbd, file, std::move(fd));
}

int ImageFiles::hold(const std::string& vbd, const ipc::OpenFileArguments& file, UniqueFd fd) {
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) throw_system_error(file.path);
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        refuse(EINVAL, file.path + ": neither a regular file nor a block device");
    return held_.emplace(vbd, Held{file, std::move(fd), status.st_dev, status.st_ino})->second.fd.get();
}

void ImageFiles::keep(const std::string& vbd, const ipc::OpenArguments& image, const ipc::OpenFileArguments& file,
                      UniqueFd fd) {
    require_granted(image, file);
    hold(vbd, file, std::move(fd));
}

void ImageFiles::hand_over(const std::string& from, const std::string& to) {
    auto [next, end] = held_.equal_range(from);
    while (next != end) {
        auto entry = held_.extract(next++);
        entry.key() = to;
        held_.insert(std::move(entry));
    }
}

}  // namespace blktap
