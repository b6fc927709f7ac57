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

/// `path` without its "." and doubled slashes. Each ".." stays: behind a link to a folder it leads somewhere else than
/// the text before it says.
std::string tidied(const std::filesystem::path& path);

/// The file that the image at `image_path` calls `name`: a relative name begins in the folder where the image is found,
/// as it does for QEMU; the prefix of "file:/path" is none of the path, as for QEMU.
std::string path_beside(const std::string& image_path, const std::string& name);

/// "file:path": QEMU looks for such a relative path where it happens to run, so that it names no file of its own.
bool depends_on_working_directory(const std::string& name) noexcept;

/// `path` is `folder`, or below it. Both without links and "..", as canonical() gives them; whole names count:
/// /srv-old is not below /srv.
bool is_below(const std::filesystem::path& path, const std::filesystem::path& folder);

}  // namespace blktap
