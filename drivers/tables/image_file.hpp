// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ImageFile: one file of a chain of images, without its format: descriptors, alignments of direct I/O, and where it
// ends. A format's Layer is an ImageFile with that format's header and tables.
#pragma once

#include <cstdint>
#include <string>

#include "libblktap/base/unique_fd.hpp"

namespace blktap::tables {

struct ImageFile {
    std::string name;
    UniqueFd fd;
    bool raw = false;              ///< the file's bytes are the disk's, from the first on; no tables
    std::uint64_t size_bytes = 0;  ///< size of the image's disk
    /// Bytes behind this offset, which need not be aligned, read as zeros. For an image that is written: the end of the
    /// used part, or of the space that was made ahead.
    std::uint64_t file_end = 0;
    UniqueFd data_fd;                      ///< of an image with an external data file
    std::string data_path;                 ///< of that
    std::uint64_t data_file_end = 0;       ///< of that, as file_end
    std::uint32_t memory_alignment = 512;  ///< of direct I/O to this file
    std::uint32_t offset_alignment = 512;
    bool growable = true;  ///< a file, not a block device

    ImageFile() = default;
    ImageFile(ImageFile&&) = default;
    ImageFile& operator=(ImageFile&&) = default;
    virtual ~ImageFile() = default;

    /// The unit in which tables are read, cached and written, in bytes: a power of two, at most
    /// SliceCache::slice_bytes_max.
    virtual std::uint64_t slice_bytes() const noexcept = 0;
    /// The end of the file for tables: a slice that extends beyond it is read up to it; the rest is zeros.
    virtual std::uint64_t tables_end() const noexcept { return file_end; }

    /// The file with the guest's data: an Extent's host_offset is an offset in it.
    int data_descriptor() const noexcept { return data_fd ? data_fd.get() : fd.get(); }
    const std::string& data_name() const noexcept { return data_fd ? data_path : name; }
    std::uint64_t data_end() const noexcept { return data_fd ? data_file_end : file_end; }
};

}  // namespace blktap::tables
