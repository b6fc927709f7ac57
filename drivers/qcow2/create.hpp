// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Making qcow2 images: version 3, refcounts of 16 bits, nothing allocated.
//
// Tested by tests/unit/qcow2/create_test.cpp.
#pragma once

#include <cstdint>
#include <string>

namespace blktap::qcow2 {

struct NewImage {
    std::string path;
    std::uint64_t size_bytes = 0;  ///< a multiple of 512
    std::uint64_t cluster_bytes = 65536;
    std::string backing_file{};    ///< the name that is stored in the image; empty: none
    std::string backing_format{};  ///< raw or qcow2
    std::string data_file{};       ///< the name that is stored in the image; empty: the image holds its data itself
    bool raw_data = false;         ///< the data file is always a raw image of the disk; not with a backing file
    bool extended_l2 = false;      ///< clusters have 32 subclusters, and at least 16384 bytes
};

/// Makes the file `image.path` and its data file, which must not exist, and makes them durable. On failure no file is
/// left.
/// Errors: throws std::system_error naming the path: EEXIST; EINVAL (a cluster size that is no power of two from 4096
/// bytes to 2 MiB; a size of 0, or one that the clusters cannot map; a backing file without a known format, or with too
/// long a name); those of writing. Context: blocks.
void create_image(const NewImage& image);

}  // namespace blktap::qcow2
