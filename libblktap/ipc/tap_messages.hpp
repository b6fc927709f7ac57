// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The requests of Xen's script block-tap to tapback, which tap-ctl sends for it: the script names a tapdisk by its
// process and a number. docs/tapback-protocol.md has the table.
//
// Tested by tests/unit/ipc/tapback_messages_test.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "libblktap/ipc/image_arguments.hpp"
#include "libblktap/ipc/messages.hpp"

namespace blktap::ipc {

/// How Xen's block-tap script names a tapdisk.
struct TapArguments {
    static constexpr const char* label = "arguments";
    std::uint32_t pid = 0;
    std::uint32_t minor = 0;

    static void fields(auto& io, auto& it) {
        io.required("pid", it.pid);
        io.required("minor", it.minor);
    }
    friend bool operator==(const TapArguments&, const TapArguments&) = default;
};

struct TapMinor {
    static constexpr const char* label = "arguments";
    std::uint32_t minor = 0;

    static void fields(auto& io, auto& it) { io.required("minor", it.minor); }
    friend bool operator==(const TapMinor&, const TapMinor&) = default;
};

struct TapPid {
    static constexpr const char* label = "tap-spawn";
    static constexpr Others others = Others::ignored;
    std::uint32_t pid = 0;

    static void fields(auto& io, auto& it) { io.required("pid", it.pid); }
    friend bool operator==(const TapPid&, const TapPid&) = default;
};

struct TapEntry {
    static constexpr const char* label = "tap";
    static constexpr Others others = Others::ignored;
    std::optional<std::uint32_t> pid{};    ///< absent: a number without a tapdisk
    std::optional<std::uint32_t> minor{};  ///< absent: a tapdisk without a number
    std::optional<ImageArguments> image{};

    static void fields(auto& io, auto& it) {
        io.optional("pid", it.pid);
        io.optional("minor", it.minor);
        io.optional("image", it.image);
    }
    friend bool operator==(const TapEntry&, const TapEntry&) = default;
};

struct TapListResult {
    static constexpr const char* label = "tap-list";
    static constexpr Others others = Others::ignored;
    std::vector<TapEntry> taps{};
    bool more = false;

    static void fields(auto& io, auto& it) {
        io.array("taps", it.taps, no_limit);
        io.optional("more", it.more);
    }
    friend bool operator==(const TapListResult&, const TapListResult&) = default;
};

struct TapAllocate : NoArguments {
    static constexpr const char* name = "tap-allocate";
    using Result = TapMinor;
};

struct TapSpawn : NoArguments {
    static constexpr const char* name = "tap-spawn";
    using Result = TapPid;
};

struct TapAttach : TapArguments {
    static constexpr const char* name = "tap-attach";
    using Result = Nothing;
};

struct TapOpen {
    static constexpr const char* name = "tap-open";
    using Result = DeviceDescription;
    TapArguments tap{};
    ImageArguments image{};

    static void fields(auto& io, auto& it) {
        TapArguments::fields(io, it.tap);
        io.required("image", it.image);
    }
    friend bool operator==(const TapOpen&, const TapOpen&) = default;
};

struct TapDestroy : TapArguments {
    static constexpr const char* name = "tap-destroy";
    using Result = Nothing;
};

struct TapFree : TapMinor {
    static constexpr const char* name = "tap-free";
    using Result = Nothing;
};

struct TapList {
    static constexpr const char* name = "tap-list";
    using Result = TapListResult;
    std::uint32_t after = 0;  ///< number of entries that the client has already

    static void fields(auto& io, auto& it) { io.optional("after", it.after); }
    friend bool operator==(const TapList&, const TapList&) = default;
};

}  // namespace blktap::ipc
