// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FileRules: which file a disk may have, and which files each disk has. A tapdisk that was taken over by its guest may
// ask for anything; it is refused here. Pure: the facts about a file come from whoever looked at it.
//
// An image names its backing files itself, in a header that its owner, or a guest, may have written. Such a file is
// granted only below the folder of the image that names it, or where the operator says that backing files are.
//
// Tested by tests/unit/tapback/image_files_test.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "libblktap/ipc/messages.hpp"

namespace blktap::tapback {

/// What a process that touches storage says of a file.
struct FileFacts {
    static constexpr const char* label = "facts";
    std::uint64_t device = 0;  ///< 0, as the inode: there is no such file
    std::uint64_t inode = 0;
    bool block_device = false;
    bool in_image_directories = false;    ///< the file is inside of one of them, links followed
    bool in_backing_directories = false;  ///< the same
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
    /// Both only for messages: the facts have what follows from them.
    explicit FileRules(std::vector<std::string> image_directories, std::vector<std::string> backing_directories = {})
        : directories_(std::move(image_directories)), backing_directories_(std::move(backing_directories)) {}

    /// Whether the tapdisk of `image` may ask for this file at all. What the disk has open already it gets again by
    /// this alone. Errors: throws std::system_error, its text beginning with the path: EPERM (another file than the
    /// image's, for writing or where the format has no backing files; a read-only disk's, for writing), EINVAL (a
    /// relative path).
    static void require_granted(const ipc::OpenArguments& image, const ipc::OpenFileArguments& file);
    /// Which of the disk's images names `file`, as the tapdisk says; it can only mean one that the disk has.
    static const std::string& naming_image(const ipc::OpenArguments& image, const ipc::OpenFileArguments& file);

    /// Whether `owner` may have the file of which these are the facts: asked before it is opened, because to open some
    /// files has effects, and again when it is open, because a path can be exchanged in between. Errors: throws
    /// std::system_error: EPERM, EBUSY (another disk has it; the text says which).
    void require_allowed(const std::string& owner, const ipc::OpenArguments& image, const ipc::OpenFileArguments& file,
                         const FileFacts& facts) const;
    /// `owner` has the file from now on.
    void hold(const std::string& owner, const ipc::OpenFileArguments& file, const FileFacts& facts);
    /// The same for a file that the tapdisk of `owner` got from an earlier tapback, by the rules of that one: for this
    /// image it is granted again. Errors: as require_granted().
    void keep(const std::string& owner, const ipc::OpenArguments& image, const ipc::OpenFileArguments& file,
              const FileFacts& facts);
    /// What `from` has is the disk `to`'s from now on, and what was kept for it.
    void hand_over(const std::string& from, const std::string& to);

    /// `owner` has no file any more.
    void release(const std::string& owner) noexcept { held_.erase(owner); }
    /// Forgets what was kept for `owner`: the disk is gone.
    void forget_kept(const std::string& owner) noexcept { kept_.erase(owner); }
    /// Files that `owner` has.
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
