// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/storage/file_rules.hpp"

#include <algorithm>
#include <cerrno>

#include "drivers/formats/formats.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::tapback {
namespace {

[[noreturn]] void refuse(int error, const std::string& text) {
    throw_reason({error, std::system_category()}, text);
}

/// Whether images of this format may name backing files, which only their tapdisk can read. Not for an unknown format.
bool has_backing_files(const std::string& name) {
    const Format* const format = find_format(name);
    return format != nullptr && format->names_other_files;
}

/// The option by which the operator names an image's data file; empty: none.
std::string data_file_option(const std::string& name) {
    const Format* const format = find_format(name);
    return std::string(format != nullptr ? format->data_file_option : "");
}

/// Whether `path` is the data file that the operator names for the image.
bool is_data_file(const ipc::OpenArguments& image, const std::string& path) {
    const std::string option = data_file_option(image.format);
    if (option.empty()) return false;
    const auto named = image.options.find(option);
    return named != image.options.end() && named->second == path;
}

/// Whether the operator names the file, and not only an image.
bool is_own(const ipc::OpenArguments& image, const ipc::OpenFileArguments& file) {
    return file.path == image.path || is_data_file(image, file.path);
}

std::string list(const std::vector<std::string>& directories) {
    std::string names;
    for (const std::string& directory : directories)
        names += (names.empty() ? "" : ", ") + directory;
    return names;
}

}  // namespace

void FileRules::require_granted(const ipc::OpenArguments& image, const ipc::OpenFileArguments& file) {
    const bool backing = has_backing_files(image.format) && file.read_only;
    if (!is_own(image, file) && !backing) {
        const std::string option = data_file_option(image.format);
        refuse(EPERM,
               file.path + ": not the image that this disk was given" +
                   (option.empty() ? "" : " (to write a data file, name it with the option " + option + "=PATH)"));
    }
    if (image.read_only && !file.read_only) refuse(EPERM, file.path + ": this disk is read-only");
    if (!file.path.starts_with('/')) refuse(EINVAL, file.path + ": not an absolute path");
}

const std::string& FileRules::naming_image(const ipc::OpenArguments& image, const ipc::OpenFileArguments& file) {
    return file.named_by.empty() ? image.path : file.named_by;
}

const FileRules::Held& FileRules::require_naming_image(const std::string& owner, const ipc::OpenArguments& image,
                                                       const ipc::OpenFileArguments& file) const {
    const std::string& by = naming_image(image, file);
    const auto [begin, end] = held_.equal_range(owner);
    const auto found = std::find_if(begin, end, [&](const auto& entry) { return entry.second.file.path == by; });
    if (found == end || is_data_file(image, by)) refuse(EPERM, file.path + ": no image of this disk names it");
    return found->second;
}

/// Whether the disk had this file before: it goes on with it after a resume, also below a new snapshot.
bool FileRules::was_kept(const std::string& owner, const ipc::OpenArguments& image, const ipc::OpenFileArguments& file,
                         const FileFacts& facts) const {
    const auto [begin, end] = kept_.equal_range(owner);
    return std::any_of(begin, end, [&](const auto& entry) {
        const Kept& kept = entry.second;
        const bool named = kept.image == image.path || kept.image == file.named_by;
        return named && kept.path == file.path && kept.device == facts.device && kept.inode == facts.inode;
    });
}

/// Throws if another disk has the file. Its lock would fail as well, but that names processes instead of disks, and not
/// every file system has locks.
void FileRules::require_not_served(const std::string& owner, const ipc::OpenFileArguments& file,
                                   const FileFacts& facts) const {
    for (const auto& [other, held] : held_) {
        const bool same = held.facts.device == facts.device && held.facts.inode == facts.inode;
        const bool both_read = held.file.read_only && file.read_only;
        if (same && !both_read && other != owner) refuse(EBUSY, file.path + ": in use by the disk " + other);
    }
}

void FileRules::require_allowed(const std::string& owner, const ipc::OpenArguments& image,
                                const ipc::OpenFileArguments& file, const FileFacts& facts) const {
    const auto judge_by_image_directories = [&] {
        if (!facts.in_image_directories)
            refuse(EPERM, file.path + ": outside of image-directories (" + list(directories_) + ")");
        require_not_served(owner, file, facts);
    };
    if (is_own(image, file)) return judge_by_image_directories();
    if (facts.in_backing_directories || was_kept(owner, image, file, facts))
        return require_not_served(owner, file, facts);
    const Held& by = require_naming_image(owner, image, file);
    // The folder of a block device holds all other devices.
    const bool on_device = by.facts.block_device;
    if (!on_device && facts.below_naming_image) return judge_by_image_directories();
    const std::string why = on_device ? "a block device, names it" : "names it, it is not below " + facts.naming_folder;
    refuse(EPERM, file.path + ": only the image " + by.file.path + (on_device ? ", " : " ") + why +
                      ", and it is not in backing-directories (" +
                      (backing_directories_.empty() ? "none" : list(backing_directories_)) + ")");
}

void FileRules::hold(const std::string& owner, const ipc::OpenFileArguments& file, const FileFacts& facts) {
    held_.emplace(owner, Held{file, facts});
}

void FileRules::keep(const std::string& owner, const ipc::OpenArguments& image, const ipc::OpenFileArguments& file,
                     const FileFacts& facts) {
    require_granted(image, file);
    hold(owner, file, facts);
    if (is_own(image, file)) return;
    kept_.emplace(owner, Kept{naming_image(image, file), file.path, facts.device, facts.inode});
}

void FileRules::hand_over(const std::string& from, const std::string& to) {
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

}  // namespace blktap::tapback
