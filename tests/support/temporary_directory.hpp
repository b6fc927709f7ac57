// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TemporaryDirectory: a directory of its own for one test, removed with everything in it.
#pragma once

#include <cstdint>
#include <fcntl.h>
#include <filesystem>
#include <stdlib.h>
#include <string>
#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap::testing {

class TemporaryDirectory {
  public:
    explicit TemporaryDirectory(const std::filesystem::path& parent = std::filesystem::temp_directory_path())
        : path_(parent / "blktap-test-XXXXXX") {
        if (::mkdtemp(path_.data()) == nullptr) throw_system_error(path_);
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    ~TemporaryDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    std::string path(const std::string& name) const { return path_ + "/" + name; }
    /// Makes a sparse file and returns its path.
    std::string make_file(const std::string& name, std::uint64_t size_bytes) const {
        const UniqueFd fd{::open(path(name).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
        if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(size_bytes)) != 0) throw_system_error(path(name));
        return path(name);
    }

  private:
    std::string path_;
};

}  // namespace blktap::testing
