// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Toolstack: xl's part in the life of a disk, key by key and in xl's order, for the xl of Xen 4.17 (backend/vbd, which
// the kernel's blkback takes first) and of 4.19 and later (backend/vbd3). It plays that blkback too.
//
// Source of what it does: tools/libs/light of the two releases (libxl_disk.c, libxl_device.c, libxl_linux.c).
#pragma once

#include <functional>
#include <vector>

#include "tests/control/host/control_host.hpp"
#include "tests/support/places.hpp"

namespace blktap::control_test {

enum class Xl { v4_17, v4_19 };

struct Disk {
    std::uint16_t domain = 5;
    std::uint32_t device = 51712;
    std::string target{};  ///< "raw:/path", as in target= of a disk line
    bool read_only = false;
    bool discard = true;
};

class Toolstack {
  public:
    /// Empty `error`: it worked.
    struct Outcome {
        std::string error{};
        bool okay() const noexcept { return error.empty(); }
    };
    static constexpr Nanoseconds detach_limit = std::chrono::seconds(10);

    Toolstack(const ControlHost& host, Xl version) : host_(host), version_(version) {}
    /// With a connection of its own to xenstored, for a thread of its own; it must outlive this.
    Toolstack(const ControlHost& host, Xl version, const XenStore& store)
        : host_(host), version_(version), own_store_(&store) {}

    /// Called before each step of attach(), detach() and destroy_domain(), with its name: a place to interfere.
    std::function<void(const std::string& step)> before_step = [](const std::string&) {};

    /// What it runs for a disk, and what that finds in its environment besides what xl tells it.
    std::string script = BLKTAP_BIN_DIR "/block-tapdisk";
    std::vector<std::string> script_environment{};

    void create_domain(std::uint16_t domain);
    /// As "xl destroy" does: its disks by force, its nodes, the domain.
    void destroy_domain(std::uint16_t domain);

    /// The disk of "xl create" and of "xl block-attach": all three steps.
    Outcome attach(const Disk& disk);
    // Its steps.
    void write_nodes(const Disk& disk);
    Outcome wait_for_offers(const Disk& disk) const;
    Outcome run_script(const Disk& disk, const std::string& command) const;

    /// "xl block-detach": asks, and after `limit` leaves everything as it is.
    Outcome detach(const Disk& disk, Nanoseconds limit = detach_limit);
    /// "xl block-detach --force", and what becomes of a disk whose domain is destroyed. Always ends with no nodes.
    Outcome detach_by_force(const Disk& disk, Nanoseconds limit = detach_limit);

    // Their steps, one transaction each: asks for the end of a disk that is there, and removes what is left.
    void ask_to_close(const Disk& disk, bool force) const;
    void remove_nodes(const Disk& disk);

    std::string backend(const Disk& disk) const;
    static std::string frontend(const Disk& disk);
    /// A node of the backend's or the frontend's directory; "none" where there is none.
    std::string backend_node(const Disk& disk, const std::string& name) const;
    std::string frontend_node(const Disk& disk, const std::string& name) const;
    bool wait_for_backend_state(const Disk& disk, const std::string& state, Nanoseconds limit) const;

    /// Both ends say that they are connected.
    bool wait_until_connected(const Disk& disk) const;

  private:
    const XenStore& store() const { return own_store_ != nullptr ? *own_store_ : host_.store(); }
    std::string kind() const { return version_ == Xl::v4_17 ? "vbd" : "vbd3"; }
    std::string libxl(const Disk& disk) const;
    void offer_as_blkback(const Disk& disk);
    void close_as_blkback(const Disk& disk) const;

    const ControlHost& host_;
    const Xl version_;
    const XenStore* const own_store_ = nullptr;
    std::vector<Disk> disks_{};
};

}  // namespace blktap::control_test
