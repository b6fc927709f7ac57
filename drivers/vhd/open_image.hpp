// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Opening a VHD image: reads and checks a valid footer, header and table of blocks of the image and all its parents,
// before a guest's first request.
//
// Tested by tests/unit/vhd/open_image_test.cpp and parent_test.cpp.
#pragma once

#include <functional>
#include <memory>

#include "drivers/shared/memory_budget.hpp"
#include "drivers/tables/chain_files.hpp"
#include "drivers/vhd/layer.hpp"
#include "libblktap/driver_api/image_driver.hpp"

namespace blktap::vhd {

struct OpenedImage {
    std::unique_ptr<MemoryBudget> memory;  ///< for all images of `chain`
    Chain chain;                           ///< begins with the image itself
    ImageInfo info;
};

using tables::chain_length_max;

/// Opens the image at `path`, and its parents for reading. For writing, calls prepare_for_writing(). Errors: throws
/// std::system_error whose text names the file and the reason: Errc::image_invalid (no valid footer; a header, a table
/// or a block outside of the file or overlapping; a loop in the chain; a parent with another UUID; tables that need
/// more than `memory_bytes` together); ENOTSUP (an unsupported kind of image, by name); those of `files`. Context:
/// blocks.
OpenedImage open_chain(const std::string& path, Access access, Caching caching, ImageOpener& files,
                       std::uint64_t memory_bytes = default_memory_budget_bytes);

/// How much of a table to read if it has more entries than the disk has blocks: the rest is needed only for a resize.
enum class TablePart { whole, of_disk };
/// Reads footer, header and table of `layer`, whose file is open and whose name, lengths and alignments are set.
/// Errors: as open_chain().
void read_image(Layer& layer, TablePart part, MemoryBudget& memory);

/// The used parts of a file, and what is wrong with them.
struct Occupied {
    std::uint64_t end = 0;
    std::uint64_t blocks = 0;
    std::uint64_t problems = 0;  ///< number of parts outside of the file, or overlapping others
    std::string first_problem;

    void complain(const std::string& text) {
        if (problems++ == 0) first_problem = text;
    }
};
/// Finds the used parts of `layer`, which is not raw. With any problem the image is not opened for writing, and a check
/// reports it. Calls `visit` for each part, [begin, end) in bytes, ordered by beginning, unless there are more blocks
/// than the file has room for. Takes 4 bytes of memory for each block in use. Errors: throws std::system_error (I/O).
Occupied find_occupied(const Layer& layer,
                       const std::function<void(std::uint64_t begin, std::uint64_t end)>& visit = nullptr);
/// Memory for each table entry of an image that is written: for find_occupied(), when the image is opened and closed,
/// and for the allocator.
inline constexpr std::uint64_t writing_bytes_per_entry = 4 + 4;

/// Checks that no parts of the file overlap, and sets layer.file_end behind the last one; repairs the footer at the
/// file's beginning. Errors: throws std::system_error as above. Context: blocks.
void prepare_for_writing(Layer& layer, MemoryBudget& memory);

}  // namespace blktap::vhd
