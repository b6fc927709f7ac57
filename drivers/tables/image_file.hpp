// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ImageFile: one file of a chain of images, as far as its bytes matter: where they are, how direct I/O takes them, and
// where they end. A format's Layer is an ImageFile with that format's header and tables.
#pragma once

#include <cstdint>
#include <string>

#include "libblktap/base/unique_fd.hpp"

namespace blktap::tables {

struct ImageFile {
    std::string name;
    UniqueFd fd;
    bool raw = false;              ///< the file's bytes are the disk's, from the first on; no tables
    std::uint64_t size_bytes = 0;  ///< of the disk that it describes
    /// What is behind this reads as zeros, to the byte, for a file may end anywhere. Of an image that is written: the
    /// end of what is in use, or of what it was made longer by.
    std::uint64_t file_end = 0;
    UniqueFd data_fd;                      ///< of an image with an external data file
    std::string data_path;                 ///< of that
    std::uint64_t data_file_end = 0;       ///< of that, as file_end
    std::uint32_t memory_alignment = 512;  ///< of direct I/O to this file
    std::uint32_t offset_alignment = 512;
    bool growable = true;  ///< a file; a block device is as large as it is

    ImageFile() = default;
    ImageFile(ImageFile&&) = default;
    ImageFile& operator=(ImageFile&&) = default;
    virtual ~ImageFile() = default;

    /// Pieces in which tables are read, cached and written. Unit: bytes, a power of two, at most
    /// SliceCache::slice_bytes_max.
    virtual std::uint64_t slice_bytes() const noexcept = 0;
    /// A slice that reaches behind this is read as far as it goes; the rest is zeros.
    virtual std::uint64_t tables_end() const noexcept { return file_end; }

    /// Where what the guest stores is: an Extent's host_offset is an offset there.
    int data_descriptor() const noexcept { return data_fd ? data_fd.get() : fd.get(); }
    const std::string& data_name() const noexcept { return data_fd ? data_path : name; }
    std::uint64_t data_end() const noexcept { return data_fd ? data_file_end : file_end; }
};

}  // namespace blktap::tables
