// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The control protocol's messages, each declared once: name, fields and result. Shared by tapdisk, its controllers and
// ring-replay. docs/control-protocol.md has the tables. Only a description, and messages that a tapdisk sends by
// itself, may have unknown fields: a newer tapdisk may send more.
//
// Tested by tests/unit/ipc/messages_test.cpp, tests/fuzz/fuzz_control.cpp.
#pragma once

#include <cstdint>
#include <string>

#include "libblktap/ipc/parts_of_messages.hpp"

namespace blktap::ipc {

// What tapdisk is asked.

/// Opens an image.
struct Open : OpenArguments {
    static constexpr const char* name = "open";
    using Result = DeviceDescription;
};

/// Connects a frontend's rings. Descriptors: the memory of local rings; for others a recovery log, if one is to be
/// kept. The reply for local rings has an eventfd that announces requests, and for each queue a pipe that announces
/// answers.
struct Connect : ConnectArguments {
    static constexpr const char* name = "connect";
    using Result = DeviceDescription;
};

/// Makes a tapdisk without an image go on where another one died: paused, as if the image were open that guests were
/// told of. "adopt" follows for each of its connections, then "resume". Descriptors: the files for the logs of local
/// rings that the dead one had from "give-logs".
struct Recover {
    static constexpr const char* name = "recover";
    using Result = Nothing;
    OpenArguments image{};
    DeviceDescription device{};  ///< as the guests know it

    static void fields(auto& io, auto& it) {
        io.required("image", it.image);
        io.required("device", it.device);
    }
    friend bool operator==(const Recover&, const Recover&) = default;
};

/// Gives it the rings of a tapdisk that died, as they were connected there. Descriptors, and those of the reply: as
/// "connect" has them, and the log that the dead tapdisk left; for local rings without that if "recover" brought it.
struct Adopt : ConnectArguments {
    static constexpr const char* name = "adopt";
    using Result = DeviceDescription;
};

/// Gives files for the recovery logs of local rings that connect later: 1 to local_logs_max descriptors. A tapdisk that
/// is older than this message answers "unknown-request".
struct GiveLogs : NoArguments {
    static constexpr const char* name = "give-logs";
    using Result = Nothing;
};

/// Disconnects a frontend's rings.
struct Disconnect {
    static constexpr const char* name = "disconnect";
    using Result = Nothing;
    RingsLeft rings = RingsLeft::untouched;
    std::string connection{};  ///< the name under which it was connected

    static void fields(auto& io, auto& it) {
        // A tapdisk that is older than these fields accepts no arguments.
        io.choice("rings", it.rings,
                  {{"untouched", RingsLeft::untouched}, {"served", RingsLeft::served}, {"failed", RingsLeft::failed}},
                  Presence::sparing);
        io.sparing("connection", it.connection);
    }
    friend bool operator==(const Disconnect&, const Disconnect&) = default;
};

/// Answers with errors the requests that a dead tapdisk has left in these rings. One descriptor: its recovery log.
struct Abandon : ConnectArguments {
    static constexpr const char* name = "abandon";
    using Result = Nothing;
};

/// Closes the image and keeps the rings.
struct Pause : NoArguments {
    static constexpr const char* name = "pause";
    using Result = Nothing;
};

/// Ends a pause, or retries waiting requests.
struct Resume {
    static constexpr const char* name = "resume";
    using Result = DeviceDescription;
    std::optional<OpenArguments> image{};  ///< absent: the image that was paused
    bool accept_loss = false;              ///< answer held flushes with an error

    static void fields(auto& io, auto& it) {
        io.optional("image", it.image);
        io.optional("accept-loss", it.accept_loss);
    }
    friend bool operator==(const Resume&, const Resume&) = default;
};

/// Starts writing a trace to the one descriptor of the message, or stops.
struct Record {
    static constexpr const char* name = "record";
    using Result = Nothing;
    bool start = true;

    static void fields(auto& io, auto& it) {
        io.choice("action", it.start, {{"start", true}, {"stop", false}}, Presence::required);
    }
    friend bool operator==(const Record&, const Record&) = default;
};

/// Makes the image larger.
struct Resize {
    static constexpr const char* name = "resize";
    using Result = DeviceDescription;
    std::uint64_t size_bytes = 0;

    static void fields(auto& io, auto& it) { io.required("size", it.size_bytes); }
    friend bool operator==(const Resize&, const Resize&) = default;
};

/// State of the disk, which disk_state() reads, and counters for people, which none of our programs reads.
struct Stats : NoArguments {
    static constexpr const char* name = "stats";
    using Result = Json;
};

/// Which program serves the disk. A tapdisk that is older than this message answers "unknown-request".
struct About : NoArguments {
    static constexpr const char* name = "about";
    using Result = AboutResult;
};

/// Subscribes to problems.
struct Watch : NoArguments {
    static constexpr const char* name = "watch";
    using Result = Problems;
};

/// Returns the files of the open image.
struct Files : NoArguments {
    static constexpr const char* name = "files";
    using Result = FilesResult;
};

/// Closes the image.
struct Close : NoArguments {
    static constexpr const char* name = "close";
    using Result = Nothing;
};

/// All messages that a tapdisk serves.
using TapdiskMessages = MessageList<Open, Connect, Recover, Adopt, GiveLogs, Disconnect, Abandon, Pause, Resume, Record,
                                    Resize, Stats, About, Watch, Files, Close>;

// What tapdisk asks.

/// Opens a file for a tapdisk; the reply carries one descriptor.
struct OpenFile : OpenFileArguments {
    static constexpr const char* name = "open-file";
    using Result = OpenFileResult;
};

/// Reports all current problems to a subscriber.
struct TellProblems : Problems {
    static constexpr const char* name = "problems";
    using Result = Nothing;
};

/// All messages that a controller of a tapdisk serves.
using ControllerMessages = MessageList<OpenFile, TellProblems>;

/// The open image, as a tapdisk reports it.
struct ImageInUse {
    static constexpr const char* label = "image";
    std::string format{};
    std::string path{};
    std::optional<DeviceDescription> device{};

    static void fields(auto& io, auto& it) {
        io.optional("format", it.format);
        io.optional("path", it.path);
        io.optional("device", it.device);
    }
    friend bool operator==(const ImageInUse&, const ImageInUse&) = default;
};

/// State of a tapdisk's disk: the part of the result of "stats" that programs use.
struct DiskState {
    static constexpr const char* label = "stats";
    static constexpr Others others = Others::ignored;
    enum class State : std::uint8_t { closed, open, paused };
    State state = State::closed;
    bool connected = false;
    std::optional<ImageInUse> image{};
    /// Whether the disk goes on where another tapdisk died, and was not resumed yet. An earlier version does not say.
    std::optional<bool> recovering{};

    static void fields(auto& io, auto& it) {
        io.choice("state", it.state, {{"closed", State::closed}, {"open", State::open}, {"paused", State::paused}},
                  Presence::optional);
        io.optional("connected", it.connected);
        io.optional("recovering", it.recovering);
        io.optional("image", it.image);
    }
    friend bool operator==(const DiskState&, const DiskState&) = default;
};

/// Reads the result of Stats; no other code does. Errors: as of each message.
inline DiskState disk_state(const Json& stats) {
    return stats.get<DiskState>();
}

}  // namespace blktap::ipc
