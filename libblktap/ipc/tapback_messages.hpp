// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The arguments and results of tapback's requests, as structs: what the daemon and its clients (tap-ctl, block-tapdisk)
// share. docs/tapback-protocol.md has the tables. A request's arguments are read strictly, as in messages.hpp; a result
// may have fields that are not known here: a newer daemon may say more.
//
// Tested by tests/unit/ipc/tapback_messages_test.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libblktap/ipc/messages.hpp"
#include "libblktap/ipc/vbd_address.hpp"

namespace blktap::ipc {

/// Where tapback listens.
inline constexpr const char* tapback_socket_path = "/run/tapdisk/tapback.sock";
/// Entries of one reply to "list": what fits a message, whatever their paths and problems say.
inline constexpr std::size_t list_entries_max = 100;
/// Longest `path` of an image: the kernel takes no longer one either.
inline constexpr std::size_t image_path_max_bytes = 4095;

/// An image as clients name it: "open" without the choice of who opens files.
struct ImageArguments {
    std::string format{};
    std::string path{};
    bool read_only = false;
    std::map<std::string, std::string> options{};

    friend bool operator==(const ImageArguments&, const ImageArguments&) = default;
};

/// "claim", "detach", "owner"
struct BackendArguments {
    VbdAddress backend{};

    friend bool operator==(const BackendArguments&, const BackendArguments&) = default;
};

/// "attach"
struct AttachArguments {
    VbdAddress backend{};
    ImageArguments image{};

    friend bool operator==(const AttachArguments&, const AttachArguments&) = default;
};

/// "info", "stats", "pause": the frontend's device. Its backend's kind follows from it.
struct VbdArguments {
    std::uint16_t domain = 0;  ///< to domain_max
    std::uint32_t device = 0;

    friend bool operator==(const VbdArguments&, const VbdArguments&) = default;
};

/// "resume" of a VBD's tapdisk
struct VbdResumeArguments {
    VbdArguments vbd{};
    std::optional<ImageArguments> image{};  ///< absent: the image that was paused
    bool accept_loss = false;

    friend bool operator==(const VbdResumeArguments&, const VbdResumeArguments&) = default;
};

/// "record" of a VBD's tapdisk; `start` comes with one descriptor
struct VbdRecordArguments {
    VbdArguments vbd{};
    bool start = true;

    friend bool operator==(const VbdRecordArguments&, const VbdRecordArguments&) = default;
};

/// "resize" of a VBD
struct VbdResizeArguments {
    VbdArguments vbd{};
    std::uint64_t size_bytes = 0;

    friend bool operator==(const VbdResizeArguments&, const VbdResizeArguments&) = default;
};

/// "plug"
struct PlugArguments {
    VbdArguments vbd{};
    ImageArguments image{};

    friend bool operator==(const PlugArguments&, const PlugArguments&) = default;
};

/// "unplug"
struct UnplugArguments {
    VbdArguments vbd{};
    bool force = false;

    friend bool operator==(const UnplugArguments&, const UnplugArguments&) = default;
};

/// "list"
struct ListArguments {
    std::string after{};  ///< the name of a VBD, "5/51712"; empty: from the first

    friend bool operator==(const ListArguments&, const ListArguments&) = default;
};

/// "tap-attach", "tap-destroy": a tapdisk as Xen's block-tap script names it.
struct TapArguments {
    std::uint32_t pid = 0;
    std::uint32_t minor = 0;

    friend bool operator==(const TapArguments&, const TapArguments&) = default;
};

/// "tap-free"; also the result of "tap-allocate"
struct TapMinor {
    std::uint32_t minor = 0;

    friend bool operator==(const TapMinor&, const TapMinor&) = default;
};

/// The result of "tap-spawn"
struct TapPid {
    std::uint32_t pid = 0;

    friend bool operator==(const TapPid&, const TapPid&) = default;
};

/// "tap-open"
struct TapOpenArguments {
    TapArguments tap{};
    ImageArguments image{};

    friend bool operator==(const TapOpenArguments&, const TapOpenArguments&) = default;
};

/// "tap-list"
struct TapListArguments {
    std::uint32_t after = 0;  ///< how many entries the client has already

    friend bool operator==(const TapListArguments&, const TapListArguments&) = default;
};

/// One VBD in the result of "list"; with `description`, and options in `image`, the result of "info".
struct VbdEntry {
    VbdAddress backend{};           ///< "vbd", "domain", "device", "vdev" and "backend" follow from it
    std::string state{};            ///< for people
    std::uint32_t backend_state{};  ///< of xenbus; 0: no such node
    std::uint32_t frontend_state{};
    std::optional<std::uint32_t> pid{};  ///< of its tapdisk
    std::optional<ImageArguments> image{};
    std::optional<std::string> problem{};  ///< why it does not serve
    std::optional<std::uint32_t> minor{};
    std::optional<DeviceDescription> description{};
    bool takeover = false;  ///< of a plain disk line, through the wrapper of "tap-ctl takeover"

    friend bool operator==(const VbdEntry&, const VbdEntry&) = default;
};

/// The result of "list"
struct ListResult {
    std::vector<VbdEntry> vbds{};
    bool more = false;

    friend bool operator==(const ListResult&, const ListResult&) = default;
};

/// The result of "status"
struct StatusResult {
    std::string version{};
    std::uint32_t pid = 0;
    std::uint64_t vbds = 0;
    bool xenstore = false;  ///< xenstored answers

    friend bool operator==(const StatusResult&, const StatusResult&) = default;
};

/// One entry of the result of "tap-list"
struct TapEntry {
    std::optional<std::uint32_t> pid{};    ///< absent: a number without a tapdisk
    std::optional<std::uint32_t> minor{};  ///< absent: a tapdisk without a number
    std::optional<ImageArguments> image{};

    friend bool operator==(const TapEntry&, const TapEntry&) = default;
};

/// The result of "tap-list"
struct TapListResult {
    std::vector<TapEntry> taps{};
    bool more = false;

    friend bool operator==(const TapListResult&, const TapListResult&) = default;
};

// Errors: throws std::system_error (Errc::bad_message) naming the field: "attach: image.format: missing". Where several
// requests share a struct the field is in "arguments".
void from_json(const Json& json, ImageArguments& value);
void to_json(Json& json, const ImageArguments& value);
void from_json(const Json& json, BackendArguments& value);
void to_json(Json& json, const BackendArguments& value);
void from_json(const Json& json, AttachArguments& value);
void to_json(Json& json, const AttachArguments& value);
void from_json(const Json& json, VbdArguments& value);
void to_json(Json& json, const VbdArguments& value);
void from_json(const Json& json, VbdResumeArguments& value);
void to_json(Json& json, const VbdResumeArguments& value);
void from_json(const Json& json, VbdRecordArguments& value);
void to_json(Json& json, const VbdRecordArguments& value);
void from_json(const Json& json, VbdResizeArguments& value);
void to_json(Json& json, const VbdResizeArguments& value);
void from_json(const Json& json, PlugArguments& value);
void to_json(Json& json, const PlugArguments& value);
void from_json(const Json& json, UnplugArguments& value);
void to_json(Json& json, const UnplugArguments& value);
void from_json(const Json& json, ListArguments& value);
void to_json(Json& json, const ListArguments& value);
void from_json(const Json& json, TapArguments& value);
void to_json(Json& json, const TapArguments& value);
void from_json(const Json& json, TapMinor& value);
void to_json(Json& json, const TapMinor& value);
void from_json(const Json& json, TapPid& value);
void to_json(Json& json, const TapPid& value);
void from_json(const Json& json, TapOpenArguments& value);
void to_json(Json& json, const TapOpenArguments& value);
void from_json(const Json& json, TapListArguments& value);
void to_json(Json& json, const TapListArguments& value);

// Results.
void from_json(const Json& json, VbdEntry& value);
void to_json(Json& json, const VbdEntry& value);
void from_json(const Json& json, ListResult& value);
void to_json(Json& json, const ListResult& value);
void from_json(const Json& json, StatusResult& value);
void to_json(Json& json, const StatusResult& value);
void from_json(const Json& json, TapEntry& value);
void to_json(Json& json, const TapEntry& value);
void from_json(const Json& json, TapListResult& value);
void to_json(Json& json, const TapListResult& value);

/// The same image as a tapdisk is told to open it.
OpenArguments open_arguments(const ImageArguments& image, bool files_from_controller);

}  // namespace blktap::ipc
