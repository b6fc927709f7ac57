// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// JudgedFiles: FileRules and HeldFiles together, without a storage process between the two.
#pragma once

#include <map>
#include <string>
#include <unistd.h>
#include <vector>

#include "control/tapback/storage/held_files.hpp"

namespace blktap::tapback {

/// What tapback and its storage processes do, at once.
class JudgedFiles {
  public:
    explicit JudgedFiles(const std::vector<std::string>& images, const std::vector<std::string>& backing = {})
        : directories_{images, backing}, rules_(images, backing) {}

    UniqueFd open(const std::string& vbd, const ipc::OpenArguments& image, const ipc::OpenFileArguments& file) {
        FileRules::require_granted(image, file);
        const auto judge = [&](const FileFacts& facts, HeldFiles::Stage stage) {
            rules_.require_allowed(vbd, image, file, facts);
            if (stage == HeldFiles::Stage::open) rules_.hold(vbd, file, facts);
        };
        return of(vbd).open(file, FileRules::naming_image(image, file), own_id(), judge);
    }
    void keep(const std::string& vbd, const ipc::OpenArguments& image, const ipc::OpenFileArguments& file,
              UniqueFd fd) {
        of(vbd).keep(file, std::move(fd), own_id(),
                     [&](const auto& facts, auto) { rules_.keep(vbd, image, file, facts); });
    }
    void hand_over(const std::string& from, const std::string& to) {
        rules_.hand_over(from, to);
        auto files = files_.extract(from);
        if (files.empty()) return;
        files.key() = to;
        files_.insert(std::move(files));
    }
    void release(const std::string& vbd) {
        rules_.release(vbd);
        of(vbd).release();
    }
    void forget(const std::string& vbd) {
        rules_.forget_kept(vbd);
        release(vbd);
    }
    std::size_t count(const std::string& vbd) const { return rules_.count(vbd); }

  private:
    /// The test is the tapdisk too.
    static ProcessId own_id() { return identify(::getpid()).value(); }
    HeldFiles& of(const std::string& vbd) { return files_.try_emplace(vbd, directories_).first->second; }

    const ImageDirectories directories_;
    FileRules rules_;
    std::map<std::string, HeldFiles> files_{};
};

}  // namespace blktap::tapback
