// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The paths by which images name each other.
//
// Tested by tests/unit/files/image_path_test.cpp.
#pragma once

#include <filesystem>
#include <string>

namespace blktap {

/// Returns `path` without its "." and doubled slashes. Each ".." stays: behind a link to a folder it does not lead to
/// the folder before it in the text.
std::string tidied(const std::filesystem::path& path);

/// Returns the path of the file that the image at `image_path` calls `name`. As in QEMU, a relative name begins in the
/// folder where the image is found, and the prefix of "file:/path" does not belong to the path.
std::string path_beside(const std::string& image_path, const std::string& name);

/// Whether `name` is "file:path": QEMU resolves such a relative path from its working directory, so it names no certain
/// file.
bool depends_on_working_directory(const std::string& name) noexcept;

/// Whether `path` is `folder` or below it. Both must be canonical, without links and "..". Whole names count: /srv-old
/// is not below /srv.
bool is_below(const std::filesystem::path& path, const std::filesystem::path& folder);

}  // namespace blktap
