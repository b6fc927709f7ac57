// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Arguments and results of the control protocol's messages (messages.hpp): images, devices, rings, problems and files,
// each of which several messages carry, or a program keeps. docs/control-protocol.md has the tables.
//
// Tested by tests/unit/ipc/messages_test.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "libblktap/ipc/channel.hpp"

namespace blktap::ipc {

inline constexpr unsigned queues_max = 16;       ///< multi-queue-max-queues; bounds a guest's share of dom0 memory
inline constexpr unsigned local_queues_max = 7;  ///< for local rings: the reply has a descriptor for each, and one more
/// For the recovery logs of local rings: one for each connection besides the guest's.
inline constexpr std::size_t local_logs_max = 7;
inline constexpr unsigned ring_pages_max = 16;   ///< max-ring-page-order 4
inline constexpr unsigned domain_max = 0x7fef;   ///< Xen reserves the numbers from 0x7ff0 on
inline constexpr std::size_t problems_max = 16;  ///< in one message; far more than there are kinds
inline constexpr std::size_t files_max = 8;      ///< in one message: its limit of descriptors
/// For an array of a result: only the message's size limits it.
inline constexpr std::size_t no_limit = static_cast<std::size_t>(-1);

/// An image. The format is always named.
struct OpenArguments {
    static constexpr const char* label = "open";
    std::string format{};
    std::string path{};
    bool read_only = false;
    std::map<std::string, std::string> options{};
    /// Files are opened by the controller ("open-file" on the same connection) instead of by tapdisk.
    bool files_from_controller = false;

    static void fields(auto& io, auto& it) {
        io.required("format", it.format);
        io.not_empty("format", it.format);
        io.required("path", it.path);
        io.optional("read-only", it.read_only);
        io.optional("options", it.options);
        io.choice("files", it.files_from_controller, {{"tapdisk", false}, {"controller", true}}, Presence::optional);
    }
    friend bool operator==(const OpenArguments&, const OpenArguments&) = default;
};

/// What a connected guest is offered.
struct DeviceDescription {
    static constexpr const char* label = "description";
    static constexpr Others others = Others::ignored;
    std::uint64_t size_sectors = 0;  ///< of 512 bytes
    bool read_only = false;
    std::uint32_t physical_sector_size_bytes = 512;
    bool discard = false;
    std::uint32_t discard_granularity_bytes = 0;
    std::uint32_t discard_alignment_bytes = 0;
    std::uint32_t indirect_segments_max = 0;

    static void fields(auto& io, auto& it) {
        io.required("size-sectors", it.size_sectors);
        io.required("read-only", it.read_only);
        io.derived("sector-size", 512);
        io.optional("physical-sector-size", it.physical_sector_size_bytes);
        io.optional("discard", it.discard);
        io.optional("discard-granularity", it.discard_granularity_bytes);
        io.optional("discard-alignment", it.discard_alignment_bytes);
        io.derived("flush", true);
        io.derived("barrier", true);
        io.derived("persistent", true);
        io.optional("indirect-segments-max", it.indirect_segments_max);
        io.derived("ring-pages-max", ring_pages_max);
        io.derived("queues-max", queues_max);
    }
    friend bool operator==(const DeviceDescription&, const DeviceDescription&) = default;
};

struct QueueArguments {
    static constexpr const char* label = "queue";
    std::vector<std::uint32_t> ring_refs{};  ///< 1 to ring_pages_max, in order; local rings: page numbers
    std::uint32_t event_channel = 0;         ///< the guest's port; local: 0

    static void fields(auto& io, auto& it) {
        io.array("ring-refs", it.ring_refs, ring_pages_max, 1);
        io.required("event-channel", it.event_channel);
    }
    friend bool operator==(const QueueArguments&, const QueueArguments&) = default;
};

/// A frontend's ring.
struct ConnectArguments {
    static constexpr const char* label = "connect";
    std::uint16_t domain = 0;
    std::string protocol = "native";  ///< "x86_32-abi", "x86_64-abi" or "native"
    bool persistent = false;          ///< the frontend wrote feature-persistent
    bool discard_enabled = true;      ///< the toolstack's discard-enable
    bool direct_io_safe = false;      ///< the toolstack's direct-io-safe
    /// Disconnect when the control connection that sent this closes: for a guest that is its own controller.
    bool until_hangup = false;
    std::vector<QueueArguments> queues{};  ///< 1 to queues_max, all of one size
    /// The name of the connection: several may be connected to one disk; "" is the guest that the disk is for.
    std::string connection{};
    /// The rings are in memory of this host, whose descriptor comes with the message; the reply has the descriptors
    /// that wake both sides.
    bool local = false;

    static void fields(auto& io, auto& it) {
        io.required("domain", it.domain);
        io.at_most("domain", it.domain, domain_max);
        io.choice("protocol", it.protocol,
                  {{"native", std::string("native")},
                   {"x86_32-abi", std::string("x86_32-abi")},
                   {"x86_64-abi", std::string("x86_64-abi")}},
                  Presence::optional);
        io.optional("persistent", it.persistent);
        io.optional("discard-enabled", it.discard_enabled);
        io.optional("direct-io-safe", it.direct_io_safe);
        io.choice("lifetime", it.until_hangup, {{"tapdisk", false}, {"connection", true}}, Presence::optional);
        io.array("queues", it.queues, queues_max, 1);
        io.sparing("connection", it.connection);  // an older tapdisk serves one
        io.choice("transport", it.local, {{"xen", false}, {"local", true}}, Presence::sparing);
        io.check([&](const Fields& fields) { it.check_queues(fields); });
    }
    friend bool operator==(const ConnectArguments&, const ConnectArguments&) = default;

  private:
    void check_queues(const Fields& fields) const;
};

/// The fate of requests that are still in the rings when a frontend is disconnected.
enum class RingsLeft : std::uint8_t {
    untouched,  ///< nobody waits for them: their frontend is gone, or has closed by itself
    served,     ///< served, until the frontend sends no more
    failed,     ///< taken until the frontend sends no more, but answered with an error, as are waiting requests
};

/// A condition that keeps a disk from being served as it should, or soon will.
struct Problem {
    static constexpr const char* label = "problem";
    std::string name{};       ///< for programs: "no-space", "low-space", ... (docs/control-protocol.md)
    std::uint64_t since = 0;  ///< seconds since 1970
    std::string text{};       ///< for people

    static void fields(auto& io, auto& it) {
        io.required("name", it.name);
        io.optional("since", it.since);
        io.optional("text", it.text);
    }
    friend bool operator==(const Problem&, const Problem&) = default;
};

/// All current problems of a disk.
struct Problems {
    static constexpr const char* label = "problems";
    static constexpr Others others = Others::ignored;
    std::vector<Problem> problems{};

    static void fields(auto& io, auto& it) { io.array("problems", it.problems, problems_max); }
    friend bool operator==(const Problems&, const Problems&) = default;
};

/// A file of an image, and how the driver wants it opened.
struct OpenFileArguments {
    static constexpr const char* label = "open-file";
    static constexpr Others others = Others::refused;
    std::string path{};
    bool read_only = false;
    bool buffered = false;
    /// The image of the chain that names this file; empty: the file is the image of "open", or that image names it.
    std::string named_by{};

    static void fields(auto& io, auto& it) {
        io.required("path", it.path);
        io.not_empty("path", it.path);
        io.optional("read-only", it.read_only);
        io.optional("buffered", it.buffered);
        // A controller of an earlier version does not know the field, and most chains do not need it.
        io.sparing("named-by", it.named_by);
    }
    friend bool operator==(const OpenFileArguments&, const OpenFileArguments&) = default;
};

/// What comes with the descriptor of a file: of a block device, what sysfs says about discards.
struct OpenFileResult {
    static constexpr const char* label = "open-file";
    static constexpr Others others = Others::ignored;
    std::optional<std::uint64_t> discard_max_bytes{}, discard_granularity{}, discard_alignment{};

    static void fields(auto& io, auto& it) {
        io.optional("discard-max-bytes", it.discard_max_bytes);
        io.optional("discard-granularity", it.discard_granularity);
        io.optional("discard-alignment", it.discard_alignment);
    }
    friend bool operator==(const OpenFileResult&, const OpenFileResult&) = default;
};

/// The program that serves a disk.
struct AboutResult {
    static constexpr const char* label = "about";
    static constexpr Others others = Others::ignored;
    std::string version{};  ///< as "tapdisk --version" prints it
    std::uint32_t pid = 0;
    std::uint64_t running_seconds = 0;
    std::uint32_t protocol = 0;  ///< the version of its control protocol
    std::string sandbox{};       ///< "on", "debug" or "off", and what is missing; empty: a version without one

    static void fields(auto& io, auto& it) {
        io.required("version", it.version);
        io.required("pid", it.pid);
        io.required("running-seconds", it.running_seconds);
        io.required("protocol", it.protocol);
        io.optional("sandbox", it.sandbox);
    }
    friend bool operator==(const AboutResult&, const AboutResult&) = default;
};

/// The files of an image; one descriptor for each comes with the message, in the same order.
struct FilesResult {
    static constexpr const char* label = "files";
    static constexpr Others others = Others::ignored;
    std::vector<OpenFileArguments> files{};

    static void fields(auto& io, auto& it) { io.array("files", it.files, files_max); }
    friend bool operator==(const FilesResult&, const FilesResult&) = default;
};

}  // namespace blktap::ipc
