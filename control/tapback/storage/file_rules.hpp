// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FileRules: which files each disk has, and which it may have. A tapdisk that its guest has taken over may ask for any
// file, and is refused here. Pure: the facts about a file come from the storage process.
//
// An image names its backing files itself, in a header that its owner, or a guest, may have written. Such a file is
// granted only below the folder of the image that names it, or in the operator's backing-directories.
//
// Tested by tests/unit/tapback/storage/image_files_test.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "libblktap/ipc/messages.hpp"

namespace blktap::tapback {

/// What a storage process found out about a file.
struct FileFacts {
    static constexpr const char* label = "facts";
    std::uint64_t device = 0;  ///< 0, as is the inode: there is no such file
    std::uint64_t inode = 0;
    bool block_device = false;
    bool in_image_directories = false;    ///< the file is inside of one of them, links followed
    bool in_backing_directories = false;  ///< as above
    bool below_naming_image = false;      ///< below the folder of the image that names it
    std::string naming_folder{};          ///< that folder, for people

    static void fields(auto& io, auto& it) {
        io.required("device", it.device);
        io.required("inode", it.inode);
        io.required("block-device", it.block_device);
        io.required("in-image-directories", it.in_image_directories);
        io.required("in-backing-directories", it.in_backing_directories);
        io.required("below-naming-image", it.below_naming_image);
        io.required("naming-folder", it.naming_folder);
    }
    friend bool operator==(const FileFacts&, const FileFacts&) = default;
};

class FileRules {
  public:
    /// Both are only for messages: the facts say whether a file is in them.
    explicit FileRules(std::vector<std::string> image_directories, std::vector<std::string> backing_directories = {})
        : directories_(std::move(image_directories)), backing_directories_(std::move(backing_directories)) {}

    /// Whether the tapdisk of `image` may ask for this file at all; a file that the disk has open needs no other check.
    /// Errors: throws std::system_error, its text beginning with the path: EPERM (another file than the image's, for
    /// writing or where the format has no backing files; any file for writing, if the disk is read-only), EINVAL (a
    /// relative path).
    static void require_granted(const ipc::OpenArguments& image, const ipc::OpenFileArguments& file);
    /// The path of the disk's image that names `file`, according to the tapdisk. It must be one that the disk has.
    static const std::string& naming_image(const ipc::OpenArguments& image, const ipc::OpenFileArguments& file);

    /// Whether `owner` may have the file with these facts. Asked before it is opened, because opening some files has
    /// effects, and again when it is open, because the path may have been replaced. Errors: throws std::system_error:
    /// EPERM, EBUSY (another disk has it; the text names that disk).
    void require_allowed(const std::string& owner, const ipc::OpenArguments& image, const ipc::OpenFileArguments& file,
                         const FileFacts& facts) const;
    /// Records that `owner` has the file.
    void hold(const std::string& owner, const ipc::OpenFileArguments& file, const FileFacts& facts);
    /// As hold(), for a file that the tapdisk of `owner` got from an earlier tapback, by that one's rules: it will be
    /// granted again for this image. Errors: as require_granted().
    void keep(const std::string& owner, const ipc::OpenArguments& image, const ipc::OpenFileArguments& file,
              const FileFacts& facts);
    /// Gives the files of `from`, and those kept for it, to the disk `to`.
    void hand_over(const std::string& from, const std::string& to);

    /// Records that `owner` has no file any more.
    void release(const std::string& owner) noexcept { held_.erase(owner); }
    /// Forgets what was kept for `owner`: the disk is gone.
    void forget_kept(const std::string& owner) noexcept { kept_.erase(owner); }
    /// The number of files that `owner` has.
    std::size_t count(const std::string& owner) const noexcept { return held_.count(owner); }

  private:
    struct Held {
        ipc::OpenFileArguments file;
        FileFacts facts;
    };
    struct Kept {
        std::string image;
        std::string path;
        std::uint64_t device;
        std::uint64_t inode;
    };

    void require_not_served(const std::string& owner, const ipc::OpenFileArguments& file, const FileFacts& facts) const;
    const Held& require_naming_image(const std::string& owner, const ipc::OpenArguments& image,
                                     const ipc::OpenFileArguments& file) const;
    bool was_kept(const std::string& owner, const ipc::OpenArguments& image, const ipc::OpenFileArguments& file,
                  const FileFacts& facts) const;

    const std::vector<std::string> directories_;
    const std::vector<std::string> backing_directories_;
    std::multimap<std::string, Held> held_;
    std::multimap<std::string, Kept> kept_;
};

}  // namespace blktap::tapback
