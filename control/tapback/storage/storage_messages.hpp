// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What tapback and its storage processes say to each other, by the same channel as all others here. Both ends are the
// same program file, so that there is one version of this.
#pragma once

#include "control/tapback/storage/file_rules.hpp"

namespace blktap::tapback::storage {

// How JSON is made of these, as of all messages.
using ipc::from_json;
using ipc::to_json;

// What tapback asks.

/// Opens a file for a tapdisk and gives it to that tapdisk, which asked for it: the one descriptor of the message is a
/// connection to the tapdisk, and `tapdisk_id` the id of its request there. Its reply says whether it was opened.
struct Open {
    static constexpr const char* name = "open";
    using Result = ipc::Nothing;
    ipc::OpenFileArguments file{};
    std::string naming_image{};  ///< the path of the file that names this one
    std::uint64_t tapdisk_id = 0;

    static void fields(auto& io, auto& it) {
        io.required("file", it.file);
        io.required("naming-image", it.naming_image);
        io.required("tapdisk-id", it.tapdisk_id);
    }
    friend bool operator==(const Open&, const Open&) = default;
};

/// Gets the files back that a tapdisk has open, and keeps them.
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

/// Who in this domain uses a disk that it has from us.
struct LookAtUse {
    static constexpr const char* name = "look-at-use";
    struct Result {
        static constexpr const char* label = "use";
        std::string use{};  ///< as OwnDevice::use() says it
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

/// Looks for the tapdisk that a tapback started for a socket, by what /proc says of processes.
struct FindTapdisk {
    static constexpr const char* name = "find-tapdisk";
    struct Result {
        static constexpr const char* label = "found";
        std::uint32_t pid = 0;  ///< 0: there is none
        static void fields(auto& io, auto& it) { io.required("pid", it.pid); }
        friend bool operator==(const Result&, const Result&) = default;
    };
    std::string socket{};
    std::uint32_t pid = 0;  ///< is it this process? 0: any

    static void fields(auto& io, auto& it) {
        io.required("socket", it.socket);
        io.required("pid", it.pid);
    }
    friend bool operator==(const FindTapdisk&, const FindTapdisk&) = default;
};

// What a storage process asks while it does that.

/// Whether the disk may have the file of "open" with these facts.
struct Judge {
    static constexpr const char* name = "judge";
    using Result = ipc::Nothing;
    FileFacts facts{};
    bool open = false;  ///< it is open: where the answer is yes, the disk has it

    static void fields(auto& io, auto& it) {
        io.required("facts", it.facts);
        io.required("open", it.open);
    }
    friend bool operator==(const Judge&, const Judge&) = default;
};

/// Whether the disk may keep this file of "take".
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
