// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// tapback's messages, each declared once; shared by the daemon and its clients (tap-ctl, block-tapdisk).
// docs/tapback-protocol.md has the tables. A request's arguments are read strictly, as in messages.hpp; a result may
// have unknown fields, which a newer daemon sends.
//
// Tested by tests/unit/ipc/tapback_messages_test.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libblktap/base/log.hpp"
#include "libblktap/ipc/image_arguments.hpp"
#include "libblktap/ipc/messages.hpp"
#include "libblktap/ipc/tap_messages.hpp"
#include "libblktap/ipc/vbd_address.hpp"

namespace blktap::ipc {

/// Where tapback listens.
inline constexpr const char* tapback_socket_path = "/run/tapdisk/tapback.sock";
/// Entries of one reply to "list".
inline constexpr std::size_t list_entries_max = 100;

// On the wire an address is one field, the path of its backend directory.
Json to_field(const VbdAddress& backend);
void from_field(const Fields& fields, std::string_view key, const Json& json, VbdAddress& backend);

struct BackendArguments {
    static constexpr const char* label = "arguments";
    VbdAddress backend{};

    static void fields(auto& io, auto& it) { io.required("backend", it.backend); }
    friend bool operator==(const BackendArguments&, const BackendArguments&) = default;
};

/// The frontend's device. tapback finds its backend directory.
struct VbdArguments {
    static constexpr const char* label = "arguments";
    std::uint16_t domain = 0;  ///< to domain_max
    std::uint32_t device = 0;

    static void fields(auto& io, auto& it) {
        io.required("domain", it.domain);
        io.at_most("domain", it.domain, domain_max);
        io.required("device", it.device);
    }
    friend bool operator==(const VbdArguments&, const VbdArguments&) = default;
};

/// One VBD: an entry of "list"; with `description`, and options in `image`, the result of "info".
struct VbdEntry {
    static constexpr const char* label = "vbd";
    static constexpr Others others = Others::ignored;
    VbdAddress backend{};           ///< "vbd", "domain", "device", "vdev" and "backend" follow from it
    std::string state{};            ///< for people
    std::uint32_t backend_state{};  ///< of xenbus; 0: no such node
    std::uint32_t frontend_state{};
    std::optional<std::uint32_t> pid{};  ///< of its tapdisk
    std::optional<ImageArguments> image{};
    std::optional<std::string> problem{};  ///< why the VBD is not served, or a problem of its storage
    std::optional<std::uint32_t> minor{};
    std::optional<DeviceDescription> description{};
    bool takeover = false;  ///< made by a plain disk line, through the wrapper of "tap-ctl takeover"

    static void fields(auto& io, auto& it) {
        io.required("backend", it.backend);
        io.derived("vbd", it.backend.name());
        io.derived("domain", it.backend.domain);
        io.derived("device", it.backend.device);
        io.derived("vdev", device_name(it.backend.device));
        io.required("state", it.state);
        io.required("backend-state", it.backend_state);
        io.required("frontend-state", it.frontend_state);
        io.optional("pid", it.pid);
        io.optional("image", it.image);
        io.optional("problem", it.problem);
        io.optional("minor", it.minor);
        io.optional("description", it.description);
        io.sparing("takeover", it.takeover);
    }
    friend bool operator==(const VbdEntry&, const VbdEntry&) = default;
};

struct ListResult {
    static constexpr const char* label = "list";
    static constexpr Others others = Others::ignored;
    std::vector<VbdEntry> vbds{};
    bool more = false;
    std::string sandbox{};  ///< of tapdisks that are started now, if it is not simply on: "debug", "off"

    static void fields(auto& io, auto& it) {
        io.array("vbds", it.vbds, no_limit);
        io.required("more", it.more);
        io.optional("sandbox", it.sandbox);
    }
    friend bool operator==(const ListResult&, const ListResult&) = default;
};

struct StatusResult {
    static constexpr const char* label = "status";
    static constexpr Others others = Others::ignored;
    std::string version{};
    std::uint32_t pid = 0;
    std::uint64_t vbds = 0;
    bool xenstore = false;  ///< xenstored answers

    static void fields(auto& io, auto& it) {
        io.required("version", it.version);
        io.required("pid", it.pid);
        io.required("vbds", it.vbds);
        io.required("xenstore", it.xenstore);
    }
    friend bool operator==(const StatusResult&, const StatusResult&) = default;
};

struct OwnerResult {
    static constexpr const char* label = "owner";
    static constexpr Others others = Others::ignored;
    bool owned = false;

    static void fields(auto& io, auto& it) { io.optional("owned", it.owned); }
    friend bool operator==(const OwnerResult&, const OwnerResult&) = default;
};

struct ClaimResult {
    static constexpr const char* label = "claim";
    static constexpr Others others = Others::ignored;
    std::string life{};  ///< the mark of the directory; empty: from an earlier tapback, which writes none

    static void fields(auto& io, auto& it) { io.sparing("life", it.life); }
    friend bool operator==(const ClaimResult&, const ClaimResult&) = default;
};

// Requests of scripts that add and remove disks.

/// Writes our claim and a mark into a backend directory.
struct Claim : BackendArguments {
    static constexpr const char* name = "claim";
    using Result = ClaimResult;
};

/// Opens the image of a disk.
struct Attach {
    static constexpr const char* name = "attach";
    using Result = DeviceDescription;
    VbdAddress backend{};
    ImageArguments image{};
    std::string life{};  ///< the mark from "claim"; empty: any directory

    static void fields(auto& io, auto& it) {
        io.required("backend", it.backend);
        io.required("image", it.image);
        io.sparing("life", it.life);
    }
    friend bool operator==(const Attach&, const Attach&) = default;
};

/// Gives a disk up.
struct Detach : BackendArguments {
    static constexpr const char* name = "detach";
    using Result = Nothing;
};

/// Returns whether a disk is tapback's.
struct Owner : BackendArguments {
    static constexpr const char* name = "owner";
    using Result = OwnerResult;
};

// Requests of operators.

struct List {
    static constexpr const char* name = "list";
    using Result = ListResult;
    std::string after{};  ///< the name of a VBD, "5/51712"; empty: from the first

    static void fields(auto& io, auto& it) { io.optional("after", it.after); }
    friend bool operator==(const List&, const List&) = default;
};

struct Status : NoArguments {
    static constexpr const char* name = "status";
    using Result = StatusResult;
};

/// Sets how much tapback logs, until it ends or is told again. Its tapdisks log as its options say.
struct LogLevel {
    static constexpr const char* name = "log-level";
    using Result = Nothing;
    log::Level level = log::Level::info;

    static void fields(auto& io, auto& it) {
        io.choice("level", it.level,
                  {{"debug", log::Level::debug},
                   {"info", log::Level::info},
                   {"warning", log::Level::warning},
                   {"error", log::Level::error}},
                  Presence::required);
    }
    friend bool operator==(const LogLevel&, const LogLevel&) = default;
};

/// All about one disk.
struct Info : VbdArguments {
    static constexpr const char* name = "info";
    using Result = VbdEntry;
};

/// Stats of a VBD's tapdisk.
struct VbdStats : VbdArguments {
    static constexpr const char* name = "stats";
    using Result = Stats::Result;
};

/// Asks a VBD's tapdisk "about".
struct VbdAbout : VbdArguments {
    static constexpr const char* name = "about";
    using Result = About::Result;
};

/// Pause of a VBD's tapdisk.
struct VbdPause : VbdArguments {
    static constexpr const char* name = "pause";
    using Result = Pause::Result;
};

/// Has another tapdisk go on with the image and the rings of a VBD's tapdisk that died. Answered when it does.
struct VbdRecover : VbdArguments {
    static constexpr const char* name = "recover";
    using Result = Nothing;
};

/// Has the installed tapdisk go on in place of the one that serves a VBD. Answered when it does.
struct VbdUpgrade : VbdArguments {
    static constexpr const char* name = "upgrade";
    using Result = Nothing;
};

/// Resume of a VBD's tapdisk.
struct VbdResume {
    static constexpr const char* name = "resume";
    using Result = Resume::Result;
    VbdArguments vbd{};
    std::optional<ImageArguments> image{};  ///< absent: the image that was paused
    bool accept_loss = false;

    static void fields(auto& io, auto& it) {
        VbdArguments::fields(io, it.vbd);
        io.optional("image", it.image);
        io.optional("accept-loss", it.accept_loss);
    }
    friend bool operator==(const VbdResume&, const VbdResume&) = default;
};

/// Record of a VBD's tapdisk; `start` comes with one descriptor.
struct VbdRecording {
    static constexpr const char* name = "record";
    using Result = Record::Result;
    VbdArguments vbd{};
    bool start = true;

    static void fields(auto& io, auto& it) {
        VbdArguments::fields(io, it.vbd);
        Record::fields(io, it);
    }
    friend bool operator==(const VbdRecording&, const VbdRecording&) = default;
};

/// Resize of a VBD.
struct VbdResize {
    static constexpr const char* name = "resize";
    using Result = Resize::Result;
    VbdArguments vbd{};
    std::uint64_t size_bytes = 0;

    static void fields(auto& io, auto& it) {
        VbdArguments::fields(io, it.vbd);
        Resize::fields(io, it);
    }
    friend bool operator==(const VbdResize&, const VbdResize&) = default;
};

/// Gives a running domain a disk, without a toolstack.
struct Plug {
    static constexpr const char* name = "plug";
    using Result = DeviceDescription;
    VbdArguments vbd{};
    ImageArguments image{};

    static void fields(auto& io, auto& it) {
        VbdArguments::fields(io, it.vbd);
        io.required("image", it.image);
    }
    friend bool operator==(const Plug&, const Plug&) = default;
};

/// Removes a plugged disk.
struct Unplug {
    static constexpr const char* name = "unplug";
    using Result = Nothing;
    VbdArguments vbd{};
    bool force = false;

    static void fields(auto& io, auto& it) {
        VbdArguments::fields(io, it.vbd);
        io.optional("force", it.force);
    }
    friend bool operator==(const Unplug&, const Unplug&) = default;
};

/// All messages that tapback serves.
using TapbackMessages = MessageList<Claim, Attach, Detach, Owner, List, Status, LogLevel, Info, VbdStats, VbdAbout,
                                    VbdPause, VbdRecover, VbdUpgrade, VbdResume, VbdRecording, VbdResize, Plug, Unplug,
                                    TapAllocate, TapSpawn, TapAttach, TapOpen, TapDestroy, TapFree, TapList>;

/// Returns the arguments of a tapdisk's "open" for the same image.
OpenArguments open_arguments(const ImageArguments& image, bool files_from_controller);

}  // namespace blktap::ipc
