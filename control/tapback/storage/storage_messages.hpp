// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The messages between tapback and its storage processes, over the usual channel. Both ends run the same program file,
// so there is only one version of them.
#pragma once

#include "control/tapback/storage/file_rules.hpp"
#include "control/tapback/system/process_id.hpp"

namespace blktap::tapback::storage {

// The conversion to and from JSON, as for all messages.
using ipc::from_json;
using ipc::to_json;

// Requests of tapback.

/// A tapdisk's ProcessId.
struct Tapdisk {
    static constexpr const char* label = "tapdisk";
    std::uint32_t pid = 0;
    std::uint64_t start_ticks = 0;

    static void fields(auto& io, auto& it) {
        io.required("pid", it.pid);
        io.required("start-ticks", it.start_ticks);
    }
    friend bool operator==(const Tapdisk&, const Tapdisk&) = default;
};

inline Tapdisk named(const ProcessId& process) {
    return {static_cast<std::uint32_t>(process.pid), process.start_ticks};
}
inline ProcessId process_of(const Tapdisk& tapdisk) {
    return {static_cast<pid_t>(tapdisk.pid), tapdisk.start_ticks};
}

/// Opens a file and sends it to the tapdisk that asked for it: the message's one descriptor is a connection to the
/// tapdisk, and `tapdisk_id` the id of the request there. The reply says whether the file was opened.
struct Open {
    static constexpr const char* name = "open";
    using Result = ipc::Nothing;
    ipc::OpenFileArguments file{};
    std::string naming_image{};  ///< the path of the file that names this one
    Tapdisk tapdisk{};
    std::uint64_t tapdisk_id = 0;

    static void fields(auto& io, auto& it) {
        io.required("file", it.file);
        io.required("naming-image", it.naming_image);
        io.required("tapdisk", it.tapdisk);
        io.required("tapdisk-id", it.tapdisk_id);
    }
    friend bool operator==(const Open&, const Open&) = default;
};

/// Gets the open files of a tapdisk, and keeps them.
struct Take {
    static constexpr const char* name = "take";
    using Result = ipc::Nothing;
    std::string socket{};  ///< the tapdisk's
    std::uint32_t pid = 0;

    static void fields(auto& io, auto& it) {
        io.required("socket", it.socket);
        io.required("pid", it.pid);
    }
    friend bool operator==(const Take&, const Take&) = default;
};

/// Closes all files.
struct Release : ipc::NoArguments {
    static constexpr const char* name = "release";
    using Result = ipc::Nothing;
};

/// Looks who in this domain uses a disk that tapback serves to it.
struct LookAtUse {
    static constexpr const char* name = "look-at-use";
    struct Result {
        static constexpr const char* label = "use";
        std::string use{};  ///< what OwnDevice::use() returns
        static void fields(auto& io, auto& it) { io.required("use", it.use); }
        friend bool operator==(const Result&, const Result&) = default;
    };
    std::string sysfs{}, mounts{}, swaps{}, nodes{};  ///< DevicePlaces
    std::uint32_t device = 0;

    static void fields(auto& io, auto& it) {
        io.required("sysfs", it.sysfs);
        io.required("mounts", it.mounts);
        io.required("swaps", it.swaps);
        io.required("nodes", it.nodes);
        io.required("device", it.device);
    }
    friend bool operator==(const LookAtUse&, const LookAtUse&) = default;
};

/// Looks in /proc for the tapdisk that a tapback started for a socket.
struct FindTapdisk {
    static constexpr const char* name = "find-tapdisk";
    struct Result {
        static constexpr const char* label = "found";
        std::uint32_t pid = 0;  ///< 0: there is none
        static void fields(auto& io, auto& it) { io.required("pid", it.pid); }
        friend bool operator==(const Result&, const Result&) = default;
    };
    std::string socket{};
    std::uint32_t pid = 0;  ///< looks at this process only; 0: at all

    static void fields(auto& io, auto& it) {
        io.required("socket", it.socket);
        io.required("pid", it.pid);
    }
    friend bool operator==(const FindTapdisk&, const FindTapdisk&) = default;
};

// Questions of the storage process during a request.

/// Asks whether the disk may have the file of "open", with these facts.
struct Judge {
    static constexpr const char* name = "judge";
    using Result = ipc::Nothing;
    FileFacts facts{};
    bool open = false;  ///< the file is open: if the answer is yes, the disk has it

    static void fields(auto& io, auto& it) {
        io.required("facts", it.facts);
        io.required("open", it.open);
    }
    friend bool operator==(const Judge&, const Judge&) = default;
};

/// Asks whether the tapdisk still waits for the file of "open": opening it may have taken long.
struct StillWanted : ipc::NoArguments {
    static constexpr const char* name = "still-wanted";
    using Result = ipc::Nothing;
};

/// Asks whether the disk may keep this file of "take".
struct Keep {
    static constexpr const char* name = "keep";
    using Result = ipc::Nothing;
    ipc::OpenFileArguments file{};
    FileFacts facts{};

    static void fields(auto& io, auto& it) {
        io.required("file", it.file);
        io.required("facts", it.facts);
    }
    friend bool operator==(const Keep&, const Keep&) = default;
};

}  // namespace blktap::tapback::storage
