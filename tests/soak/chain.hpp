// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Chain: the files of one disk: an image, and those below it after snapshots. It is told what was done with the disk,
// and does what an operator does to an image that nobody has open: renames it, replaces it by its copy, checks it.
#pragma once

#include "libblktap/ipc/image_arguments.hpp"
#include "tests/soak/host/storage.hpp"
#include "tests/soak/host/tap_ctl.hpp"

namespace blktap::soak {

inline constexpr std::uint64_t mib = 1u << 20;

struct ChainPlan {
    std::string disk{};    ///< "d3", for the names of files
    std::string format{};  ///< of the first image
    std::uint64_t size_bytes = 0;
    Place place = Place::roomy;
    unsigned number = 0;  ///< of a hanging place
};

class Chain {
  public:
    /// So many snapshots; then a disk begins anew.
    static constexpr std::size_t depth_max = 6;

    /// Makes the image. Errors: throws Wrong with tap-ctl's reason; waits while the storage is full.
    Chain(ChainPlan plan, const Storage& storage, const TapCtl& tap_ctl);
    Chain(const Chain&) = delete;
    Chain& operator=(const Chain&) = delete;
    /// Removes its files.
    ~Chain();

    ipc::ImageArguments top() const { return {layers_.back().format, layers_.back().path, false, {}}; }
    std::size_t depth() const noexcept { return layers_.size(); }
    bool may_move() const noexcept { return plan_.place != Place::hanging; }

    // For an image that nobody has open. Errors: throw Wrong; std::system_error. Where there is no room for a copy it
    // is not made.
    void rename_top();
    void copy_top();
    /// tap-ctl image check, of each layer: what it says against one of them; empty: nothing.
    std::string complaint() const;

    /// A name for a new layer: "qcow2:/path".
    std::string next_layer(bool vhd);
    /// The disk goes on with an image that was made over the present one, perhaps.
    void now_has(const ipc::ImageArguments& image);

  private:
    struct Layer {
        std::string format;
        std::string path;
    };
    std::string new_path();
    void create();

    const ChainPlan plan_;
    const Storage& storage_;
    const TapCtl& tap_ctl_;
    std::vector<Layer> layers_{};
    unsigned names_ = 0;
};

}  // namespace blktap::soak
