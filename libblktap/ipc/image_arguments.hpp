// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ImageArguments: how tapback's messages name an image.
//
// Tested by tests/unit/ipc/tapback_messages_test.cpp.
#pragma once

#include <cstddef>
#include <map>
#include <string>

namespace blktap::ipc {

/// Longest `path` of an image, which is also the kernel's limit.
inline constexpr std::size_t image_path_max_bytes = 4095;

/// How clients name an image: the arguments of "open" without the choice of who opens files.
struct ImageArguments {
    static constexpr const char* label = "image";
    std::string format{};
    std::string path{};
    bool read_only = false;
    std::map<std::string, std::string> options{};

    static void fields(auto& io, auto& it) {
        io.required("format", it.format);
        io.not_empty("format", it.format);
        io.required("path", it.path);
        io.shorter_than("path", it.path, image_path_max_bytes);
        io.optional("read-only", it.read_only);
        io.sparing("options", it.options);
    }
    friend bool operator==(const ImageArguments&, const ImageArguments&) = default;
};

}  // namespace blktap::ipc
