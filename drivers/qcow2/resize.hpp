// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Resize: makes a disk larger while it is used. Tables that are too short move first: clusters at the end of the file
// are allocated and counted, then the tables are written there whole while no group changes the old ones. The new size,
// and offsets and lengths of the tables, are in one sector of the header, which is written last. Then the old places
// are freed.
//
// Before that, data behind the disk's end, left by a program that made the image smaller, is removed: the rest of the
// last cluster is zeroed, clusters behind it are discarded, by the resize's own requests beside the guest's.
//
// Tested by tests/unit/qcow2/resize_test.cpp and tests/crash/qcow2_crash_test.cpp.
#pragma once

#include <vector>

#include "drivers/qcow2/writer.hpp"
#include "drivers/tables/table_driver.hpp"

namespace blktap::qcow2 {

class Resize final : public tables::Resizer {
  public:
    /// Lifetime: all outlive this.
    Resize(tables::TableDriver& driver, Image& image, Writer& writer) noexcept;

    /// Grows the disk to `size_sectors`, which is at least its current size, then calls end_resize() of the driver. One
    /// at a time. Errors go to end_resize(): EOPNOTSUPP (more than an image's tables can map; tables that must move on
    /// a block device; a backing file that is larger than the disk is now), EINVAL, ENOSPC, ENOMEM, those of the I/O;
    /// the size has not changed then.
    void start(std::uint64_t size_sectors, ImageRequest& request) noexcept override;

  private:
    struct OwnTask : Task {
        Resize* resize = nullptr;
    };
    struct OwnRequest : ImageRequest {
        explicit OwnRequest(Resize& its_resize) noexcept : resize(its_resize), ours(*this, its_resize.driver_) {}
        Resize& resize;
        void (Resize::*then)() noexcept = nullptr;
        tables::TableRequest ours;
    };
    /// Offset and length of a table's clusters, in bytes.
    struct Place {
        std::uint64_t offset = 0;
        std::uint64_t length = 0;
    };
    /// The size and the tables of the larger disk.
    struct Plan {
        std::uint64_t size_bytes = 0;
        std::uint64_t clusters = 0;  ///< the most clusters of the file
        std::uint32_t l1_count = 0;
        Place l1{};                   ///< where the L1 table will be
        Place table{};                ///< where the refcount table will be
        std::uint64_t l1_wanted = 0;  ///< clusters; 0: it stays
        std::uint64_t table_wanted = 0;
        std::uint64_t moved_first = 0;
        std::uint64_t moved_clusters = 0;  ///< of tables that move; 0: none has its place yet

        std::uint64_t wanted() const noexcept { return l1_wanted + table_wanted; }
    };
    /// A Task::Next that continues with `step`, or ends the resize after an error.
    template <void (Resize::*step)() noexcept>
    static void then(tables::Task& waited, std::error_code error) noexcept {
        Resize& self = *static_cast<OwnTask&>(waited).resize;
        if (error) return self.give_up(error);
        (self.*step)();
    }
    bool hides_backing_file() const noexcept;
    void look_at_last_cluster() noexcept;
    void clear_last_cluster() noexcept;
    void forget_left_behind() noexcept;
    void begin_plan() noexcept;
    std::error_code make_plan();
    void reach_places() noexcept;
    std::error_code take_places() noexcept;
    void count_places() noexcept;
    void begin_writing() noexcept;
    void copy_table() noexcept;
    std::error_code write_tables();
    void write_words(const Place& place, std::uint64_t first, std::span<const std::uint64_t> words) const;
    void done() noexcept;
    void use_new_tables() noexcept;
    void give_up(std::error_code error) noexcept;

    void ask(ImageRequest::Kind kind, std::uint64_t begin, std::uint64_t end, void (Resize::*then)() noexcept) noexcept;

    tables::TableDriver& driver_;
    Image& image_;
    Writer& writer_;
    OwnTask task_;
    Job<Resize> job_;
    OwnRequest own_{*this};
    Mapping zeros_;
    iovec zeros_entry_{};
    std::error_code error_{};
    bool header_begun_ = false;  ///< the header may have the new size
    Plan plan_;
    std::uint64_t counted_bytes_ = 0;        ///< memory of next_l1_ and next_table_
    std::vector<std::uint64_t> next_l1_;     ///< empty, with reserved memory
    std::vector<std::uint64_t> next_table_;  ///< entries as on disk
    ImageRequest* request_ = nullptr;
};

}  // namespace blktap::qcow2
