// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Storage: the file systems on which the disks of a soak lie: one with room, one that becomes full, and some that hang.
// Weather: when they do.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "tests/replay/load/random.hpp"
#include "tests/soak/tally.hpp"
#include "tests/support/images/hanging_file_system.hpp"
#include "tests/support/images/small_file_system.hpp"

namespace blktap::soak {

enum class Place : std::uint8_t {
    roomy,
    small,    ///< it becomes full, now and then
    hanging,  ///< one file, which cannot be renamed; its calls hang, now and then
};

class Storage {
  public:
    /// Before any thread is started: mounts are made visible to this process only. `hanging` file systems, if the host
    /// can. Errors: throws std::system_error.
    explicit Storage(unsigned hanging_wanted);

    bool has(Place place) const noexcept;
    /// A path for a new file. A `hanging` place is that of one disk, by its number.
    std::string path(Place place, const std::string& name, unsigned number) const;

    void fill() const { small_->fill(); }
    void free_space() const { small_->free_space(); }
    std::size_t hanging_count() const noexcept { return hanging_.size(); }
    testing::HangingFileSystem& hanging(std::size_t number) noexcept { return *hanging_[number]; }

  private:
    testing::TemporaryDirectory roomy_;
    std::optional<testing::SmallFileSystem> small_{};
    std::vector<std::unique_ptr<testing::HangingFileSystem>> hanging_{};
};

class Weather {
  public:
    Weather(Storage& storage, Tally& tally, std::uint64_t seed) : storage_(storage), tally_(tally), random_(seed) {}
    /// Does what is due. Context: one thread.
    void turn(Nanoseconds now);
    /// Fair from now on.
    void clear_up();

  private:
    struct Spell {
        bool bad = false;
        Nanoseconds until{0};
    };
    bool is_due(Spell& spell, Nanoseconds now);

    Storage& storage_;
    Tally& tally_;
    replay::Random random_;
    Spell full_{};
    std::vector<Spell> hangs_{};
};

}  // namespace blktap::soak
