// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/image_files.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <sys/stat.h>

#include "drivers/formats/formats.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/files/image_path.hpp"
#include "libblktap/files/local_image_opener.hpp"

namespace blktap {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(int error, const std::string& text) {
    throw_reason({error, std::system_category()}, text);
}

/// What only an image's own tapdisk can find out: that it names others below it. Nobody says so of an unknown format.
bool has_backing_files(const std::string& name) {
    const Format* const format = find_format(name);
    return format != nullptr && format->names_other_files;
}

/// By which the operator says where an image's data is; empty: by none.
std::string data_file_option(const std::string& name) {
    const Format* const format = find_format(name);
    return std::string(format != nullptr ? format->data_file_option : "");
}

/// Where an image's data is, when the operator says so.
bool is_data_file(const ipc::OpenArguments& image, const std::string& path) {
    const std::string option = data_file_option(image.format);
    if (option.empty()) return false;
    const auto named = image.options.find(option);
    return named != image.options.end() && named->second == path;
}

/// What the operator names, and not only an image.
bool is_own(const ipc::OpenArguments& image, const ipc::OpenFileArguments& file) {
    return file.path == image.path || is_data_file(image, file.path);
}

/// A tapdisk that a guest has taken over may ask for anything: it gets what it was started for, and to read, where the
/// format has backing files, what else its image may name.
void require_granted(const ipc::OpenArguments& image, const ipc::OpenFileArguments& file) {
    const bool backing = has_backing_files(image.format) && file.read_only;
    if (!is_own(image, file) && !backing) {
        const std::string option = data_file_option(image.format);
        refuse(EPERM,
               file.path + ": not the image that this disk was given" +
                   (option.empty() ? "" : " (to write a data file, name it with the option " + option + "=PATH)"));
    }
    if (image.read_only && !file.read_only) refuse(EPERM, file.path + ": this disk is read-only");
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

bool is_inside_any(const fs::path& path, const std::vector<std::string>& directories) {
    return std::ranges::any_of(directories, [&](const std::string& directory) {
        std::error_code absent;  // and holds nothing then
        const fs::path where = fs::canonical(directory, absent);
        return !absent && is_below(path, where);
    });
}

std::string list(const std::vector<std::string>& directories) {
    std::string names;
    for (const std::string& directory : directories)
        names += (names.empty() ? "" : ", ") + directory;
    return names;
}

bool opened_alike(const ipc::OpenFileArguments& one, const ipc::OpenFileArguments& other) {
    return one.path == other.path && one.read_only == other.read_only && one.buffered == other.buffered;
}

}  // namespace

/// Of the chain's files the tapdisk says which one names `file`; it can only mean one that it was given.
const ImageFiles::Held& ImageFiles::naming_image(const std::string& vbd, const ipc::OpenArguments& image,
                                                 const ipc::OpenFileArguments& file) const {
    const std::string& by = file.named_by.empty() ? image.path : file.named_by;
    const auto [begin, end] = held_.equal_range(vbd);
    const auto found = std::find_if(begin, end, [&](const auto& entry) { return entry.second.file.path == by; });
    if (found == end || is_data_file(image, by)) refuse(EPERM, file.path + ": no image of this disk names it");
    return found->second;
}

/// Paused and resumed, or with a snapshot over it, a disk goes on with what it had.
bool ImageFiles::was_kept(const std::string& vbd, const ipc::OpenArguments& image, const ipc::OpenFileArguments& file,
                          const struct stat& status) const {
    const auto [begin, end] = kept_.equal_range(vbd);
    return std::any_of(begin, end, [&](const auto& entry) {
        const Kept& kept = entry.second;
        const bool named = kept.image == image.path || kept.image == file.named_by;
        return named && kept.path == file.path && kept.device == status.st_dev && kept.inode == status.st_ino;
    });
}

void ImageFiles::require_allowed(const std::string& vbd, const ipc::OpenArguments& image,
                                 const ipc::OpenFileArguments& file, const std::string& resolved,
                                 const struct stat& status) const {
    const auto require_inside_directories = [&] {
        if (is_inside_any(resolved, directories_)) return;
        refuse(EPERM, file.path + ": outside of image-directories (" + list(directories_) + ")");
    };
    if (is_own(image, file)) return require_inside_directories();
    if (is_inside_any(resolved, backing_directories_) || was_kept(vbd, image, file, status)) return;
    const Held& by = naming_image(vbd, image, file);
    const fs::path folder = fs::path{path_of(by.fd.get(), by.file.path)}.parent_path();
    // Beside a block device are all others.
    if (!by.block_device && is_below(resolved, folder)) return require_inside_directories();
    const std::string why =
        by.block_device ? "a block device, names it" : "names it, it is not below " + folder.string();
    refuse(EPERM, file.path + ": only the image " + by.file.path + (by.block_device ? ", " : " ") + why +
                      ", and it is not in backing-directories (" +
                      (backing_directories_.empty() ? "none" : list(backing_directories_)) + ")");
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
    const auto same =
        std::find_if(begin, end, [&](const auto& entry) { return opened_alike(entry.second.file, file); });
    if (same != end) return same->second.fd.get();

    if (!file.path.starts_with('/')) refuse(EINVAL, file.path + ": not an absolute path");
    struct stat status {};
    ::stat(file.path.c_str(), &status);  // of what is absent, opening says so
    require_allowed(vbd, image, file, resolve(file.path), status);
    require_not_served(vbd, file);
    LocalImageOpener opener;
    UniqueFd fd = opener.open(file.path, file.read_only ? Access::read_only : Access::read_write,
                              file.buffered ? Caching::buffered : Caching::direct);
    if (::fstat(fd.get(), &status) != 0) throw_system_error(file.path);
    require_allowed(vbd, image, file, path_of(fd.get(), file.path), status);
    return hold(vbd, file, std::move(fd));
}

int ImageFiles::hold(const std::string& vbd, const ipc::OpenFileArguments& file, UniqueFd fd) {
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) throw_system_error(file.path);
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        refuse(EINVAL, file.path + ": neither a regular file nor a block device");
    Held held{file, std::move(fd), status.st_dev, status.st_ino, S_ISBLK(status.st_mode)};
    return held_.emplace(vbd, std::move(held))->second.fd.get();
}

void ImageFiles::keep(const std::string& vbd, const ipc::OpenArguments& image, const ipc::OpenFileArguments& file,
                      UniqueFd fd) {
    require_granted(image, file);
    struct stat status {};
    if (::fstat(hold(vbd, file, std::move(fd)), &status) != 0) throw_system_error(file.path);
    if (is_own(image, file)) return;
    kept_.emplace(vbd,
                  Kept{file.named_by.empty() ? image.path : file.named_by, file.path, status.st_dev, status.st_ino});
}

void ImageFiles::forget(const std::string& vbd) noexcept {
    held_.erase(vbd);
    kept_.erase(vbd);
}

void ImageFiles::hand_over(const std::string& from, const std::string& to) {
    const auto rename = [&](auto& files) {
        auto [next, end] = files.equal_range(from);
        while (next != end) {
            auto entry = files.extract(next++);
            entry.key() = to;
            files.insert(std::move(entry));
        }
    };
    rename(held_);
    rename(kept_);
}

}  // namespace blktap
