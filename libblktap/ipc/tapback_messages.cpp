// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::ipc {

Json to_field(const VbdAddress& backend) {
    return backend.backend_path();
}

void from_field(const Fields& fields, std::string_view key, const Json& json, VbdAddress& backend) {
    std::string path;
    fields.convert(key, json, path);
    const auto node = parse_backend_path(path);
    if (!node || !node->below.empty() || path.ends_with('/')) {
        fields.fail(key, "not of the form backend/vbd/5/51712 or backend/vbd3/5/51712");
    }
    backend = node->vbd;
}

OpenArguments open_arguments(const ImageArguments& image, bool files_from_controller) {
    return {image.format, image.path, image.read_only, image.options, files_from_controller};
}

}  // namespace blktap::ipc
