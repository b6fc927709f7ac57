// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The arguments and results of the control protocol's requests, as structs: what tapdisk, its controllers and
// ring-replay share. Parsing is strict: a missing, unknown, ill-typed or out-of-range field is an error that names it.
//
// Tested by tests/unit/ipc/messages_test.cpp, tests/fuzz/fuzz_control.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "libblktap/ipc/channel.hpp"

namespace blktap::ipc {

inline constexpr unsigned queues_max = 16;      ///< multi-queue-max-queues; bounds a guest's share of dom0 memory
inline constexpr unsigned ring_pages_max = 16;  ///< max-ring-page-order 4
inline constexpr unsigned domain_max = 0x7fef;  ///< the numbers from 0x7ff0 on mean something else to Xen

/// "open", and optionally "resume": an image. The format is always named.
struct OpenArguments {
    std::string format{};
    std::string path{};
    bool read_only = false;
    std::map<std::string, std::string> options{};
    /// Files are opened by the controller ("open-file" on the same connection) instead of by tapdisk.
    bool files_from_controller = false;

    friend bool operator==(const OpenArguments&, const OpenArguments&) = default;
};

/// What a connected guest is offered: the result of "open" and "connect".
struct DeviceDescription {
    std::uint64_t size_sectors = 0;  ///< of 512 bytes
    bool read_only = false;
    std::uint32_t physical_sector_size_bytes = 512;
    bool discard = false;
    std::uint32_t discard_granularity_bytes = 0;
    std::uint32_t discard_alignment_bytes = 0;
    std::uint32_t indirect_segments_max = 0;

    friend bool operator==(const DeviceDescription&, const DeviceDescription&) = default;
};

struct QueueArguments {
    std::vector<std::uint32_t> ring_refs{};  ///< 1 to ring_pages_max, in order
    std::uint32_t event_channel = 0;         ///< the guest's port

    friend bool operator==(const QueueArguments&, const QueueArguments&) = default;
};

/// "connect": a frontend's ring.
struct ConnectArguments {
    std::uint16_t domain = 0;
    std::string protocol = "native";  ///< "x86_32-abi", "x86_64-abi" or "native"
    bool persistent = false;          ///< the frontend wrote feature-persistent
    bool discard_enabled = true;      ///< the toolstack's discard-enable
    bool direct_io_safe = false;      ///< the toolstack's direct-io-safe
    /// Disconnect when the control connection that asked for this closes: a guest that is its own controller.
    bool until_hangup = false;
    std::vector<QueueArguments> queues{};  ///< 1 to queues_max, all of one size

    friend bool operator==(const ConnectArguments&, const ConnectArguments&) = default;
};

/// What becomes of requests that are still in the rings when they are given up.
enum class RingsLeft : std::uint8_t {
    untouched,  ///< nobody waits for them: their frontend is gone, or has closed by itself
    served,     ///< until the frontend sends no more
    failed,     ///< the same, but each is answered with an error, as are those that wait for something
};

/// "disconnect"
struct DisconnectArguments {
    RingsLeft rings = RingsLeft::untouched;

    friend bool operator==(const DisconnectArguments&, const DisconnectArguments&) = default;
};

/// "resume"
struct ResumeArguments {
    std::optional<OpenArguments> image{};  ///< absent: the image that was paused
    bool accept_loss = false;              ///< let flushes that failed be answered with an error

    friend bool operator==(const ResumeArguments&, const ResumeArguments&) = default;
};

/// "record": starts writing a trace to the one descriptor of the message, or stops.
struct RecordArguments {
    bool start = true;

    friend bool operator==(const RecordArguments&, const RecordArguments&) = default;
};

/// "resize"
struct ResizeArguments {
    std::uint64_t size_bytes = 0;

    friend bool operator==(const ResizeArguments&, const ResizeArguments&) = default;
};

/// Something that keeps a disk from being served as it should, or soon will.
struct Problem {
    std::string name{};       ///< for programs: "no-space", "low-space", "io-error", "flush-failed"
    std::uint64_t since = 0;  ///< seconds since 1970
    std::string text{};       ///< for people

    friend bool operator==(const Problem&, const Problem&) = default;
};

/// "problems", tapdisk's request to those who watch it, and the result of "watch": all that there are now.
struct Problems {
    std::vector<Problem> problems{};

    friend bool operator==(const Problems&, const Problems&) = default;
};

/// "open-file", tapdisk's request to its controller; the reply carries one descriptor.
struct OpenFileArguments {
    std::string path{};
    bool read_only = false;
    bool buffered = false;
    /// The image of the chain that names this file; empty: the one of "open" does, or it is that image.
    std::string named_by{};

    friend bool operator==(const OpenFileArguments&, const OpenFileArguments&) = default;
};

/// The result of "files"; as many descriptors come with it, in the same order.
struct FilesResult {
    std::vector<OpenFileArguments> files{};

    friend bool operator==(const FilesResult&, const FilesResult&) = default;
};

// A field may be absent if the struct gives it a default that means something; strings that name something may be
// neither empty nor contain a NUL. Only a description and a problem may have fields that are not known here: a newer
// tapdisk may say more. Errors: throws std::system_error (Errc::bad_message) naming the field: "connect:
// queues[1].ring-refs: 17 entries, ...".
void from_json(const Json& json, OpenArguments& value);
void to_json(Json& json, const OpenArguments& value);
void from_json(const Json& json, DeviceDescription& value);
void to_json(Json& json, const DeviceDescription& value);
void from_json(const Json& json, ConnectArguments& value);
void to_json(Json& json, const ConnectArguments& value);
void from_json(const Json& json, DisconnectArguments& value);
void to_json(Json& json, const DisconnectArguments& value);
void from_json(const Json& json, ResumeArguments& value);
void to_json(Json& json, const ResumeArguments& value);
void from_json(const Json& json, RecordArguments& value);
void to_json(Json& json, const RecordArguments& value);
void from_json(const Json& json, ResizeArguments& value);
void to_json(Json& json, const ResizeArguments& value);
void from_json(const Json& json, Problems& value);
void to_json(Json& json, const Problems& value);
void from_json(const Json& json, OpenFileArguments& value);
void to_json(Json& json, const OpenFileArguments& value);
void from_json(const Json& json, FilesResult& value);
void to_json(Json& json, const FilesResult& value);

/// `json` must be an empty object: for requests without arguments. Errors: as from_json.
void expect_no_arguments(const Json& json);

}  // namespace blktap::ipc
