// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tap_ctl/backing_note.hpp"

#include <filesystem>
#include <ostream>

#include "control/tap_ctl/table.hpp"
#include "libblktap/files/image_path.hpp"

namespace blktap::tap_ctl {

namespace fs = std::filesystem;

void note_where_base_is(const std::string& path, const std::string& base, std::ostream& notes) {
    std::error_code error;
    const fs::path image = fs::canonical(path, error);
    const fs::path named = fs::canonical(base, error);
    if (error) return;
    if (!fs::is_block_file(image, error) && is_below(named, image.parent_path())) return;
    notes << "tap-ctl: note: " << printable(named.string()) << " is not below the folder of " << printable(path)
          << "; tapback opens it only where backing-directories says so, see tapdisk.conf(5)\n";
}

}  // namespace blktap::tap_ctl
