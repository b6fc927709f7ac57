// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Opening a VHD image: its footer, wherever that is whole, its header and table of blocks, and its parents down to the
// last. Everything is checked before a guest's first request.
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
    std::unique_ptr<MemoryBudget> memory;  ///< of all below
    Chain chain;                           ///< the image itself first
    ImageInfo info;
};

using tables::chain_length_max;

/// Opens the image at `path` and its parents, which are opened for reading. For writing it is made ready for it: see
/// prepare_for_writing(). Errors: throws std::system_error whose text names the file and the reason:
/// Errc::image_invalid (no footer; a header, a table or a block outside of the file or over each other; a loop in the
/// chain; a parent that is another image than it was); ENOTSUP (of a sort that is not implemented, by name); what
/// `files` throws. Tables that would take more than `memory_bytes`, all together, are refused (Errc::image_invalid).
/// Context: blocks.
OpenedImage open_chain(const std::string& path, Access access, Caching caching, ImageOpener& files,
                       std::uint64_t memory_bytes = default_memory_budget_bytes);

/// Of a table that is longer than the disk has blocks, the rest is of use only to who makes the disk larger.
enum class TablePart { whole, of_disk };
/// Reads footer, header and table of `layer`, whose file is open, and of which name, lengths and alignments are known.
/// Errors: as open_chain().
void read_image(Layer& layer, TablePart part, MemoryBudget& memory);

/// What of the file holds something, and what is wrong with that.
struct Occupied {
    std::uint64_t end = 0;
    std::uint64_t blocks = 0;
    std::uint64_t problems = 0;  ///< parts outside of the file, or over others
    std::string first_problem;

    void complain(const std::string& text) {
        if (problems++ == 0) first_problem = text;
    }
};
/// Of `layer`, which is not raw. What it complains of keeps an image from being written, and is what checking one
/// tells. Calls `visit` for each part, [begin, end) in bytes, in the order of where they begin;
/// not where there are more blocks than the file has room for. Takes 4 bytes of memory for each block in use.
/// Errors: throws std::system_error (I/O).
Occupied find_occupied(const Layer& layer,
                       const std::function<void(std::uint64_t begin, std::uint64_t end)>& visit = nullptr);
/// For each entry of the table of an image that is written: for find_occupied(), now and when the image is closed, and
/// for the allocator.
inline constexpr std::uint64_t writing_bytes_per_entry = 4 + 4;

/// Checks that nothing in the file lies over anything else, and sets layer.file_end behind all of it; sees to a whole
/// footer at the file's beginning. Errors: throws std::system_error as above. Context: blocks.
void prepare_for_writing(Layer& layer, MemoryBudget& memory);

}  // namespace blktap::vhd
