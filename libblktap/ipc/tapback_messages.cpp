// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/tapback_messages.hpp"

#include "libblktap/ipc/fields.hpp"

namespace blktap::ipc {
namespace {

/// Reads an image's fields; who asks says whether others may follow.
ImageArguments read_image_fields(Fields& fields) {
    ImageArguments image;
    fields.read("format", image.format);
    fields.expect_not_empty("format", image.format);
    fields.read("path", image.path);
    if (image.path.size() > image_path_max_bytes) {
        fields.fail("path", "longer than " + std::to_string(image_path_max_bytes) + " bytes");
    }
    fields.read_optional("read-only", image.read_only);
    fields.read_optional_strings("options", image.options);
    return image;
}

ImageArguments read_image(Fields fields) {
    ImageArguments image = read_image_fields(fields);
    fields.expect_no_others();
    return image;
}

VbdAddress read_backend(Fields& fields) {
    std::string path;
    fields.read("backend", path);
    const auto node = parse_backend_path(path);
    if (!node || !node->below.empty() || path.ends_with('/')) {
        fields.fail("backend", "not of the form backend/vbd/5/51712 or backend/vbd3/5/51712");
    }
    return node->vbd;
}

VbdArguments read_vbd(Fields& fields) {
    VbdArguments vbd;
    fields.read("domain", vbd.domain);
    if (vbd.domain > domain_max) fields.fail("domain", "at most " + std::to_string(domain_max));
    fields.read("device", vbd.device);
    return vbd;
}

TapArguments read_tap(Fields& fields) {
    TapArguments tap;
    fields.read("pid", tap.pid);
    fields.read("minor", tap.minor);
    return tap;
}

/// For results: absent is nullopt, and unknown fields are ignored.
std::optional<std::uint32_t> read_optional_number(Fields& fields, const char* key) {
    std::optional<std::uint32_t> value;
    if (const Json* field = fields.find(key)) fields.convert(key, *field, value.emplace());
    return value;
}

std::optional<ImageArguments> read_optional_image(Fields& fields) {
    if (fields.find("image") == nullptr) return std::nullopt;
    Fields image = fields.require_object("image");
    return read_image_fields(image);
}

Json vbd_json(const VbdArguments& vbd) {
    return {{"domain", vbd.domain}, {"device", vbd.device}};
}

Json tap_json(const TapArguments& tap) {
    return {{"pid", tap.pid}, {"minor", tap.minor}};
}

template <class T>
void put_optional(Json& json, const char* key, const std::optional<T>& value) {
    if (value) json[key] = *value;
}

}  // namespace

void from_json(const Json& json, ImageArguments& value) {
    value = read_image({json, "image"});
}

void to_json(Json& json, const ImageArguments& value) {
    json = {{"format", value.format}, {"path", value.path}, {"read-only", value.read_only}};
    if (!value.options.empty()) json["options"] = value.options;
}

void from_json(const Json& json, BackendArguments& value) {
    Fields fields(json, "arguments");
    value.backend = read_backend(fields);
    fields.expect_no_others();
}

void to_json(Json& json, const BackendArguments& value) {
    json = {{"backend", value.backend.backend_path()}};
}

void from_json(const Json& json, AttachArguments& value) {
    Fields fields(json, "attach");
    value.backend = read_backend(fields);
    value.image = read_image(fields.require_object("image"));
    fields.expect_no_others();
}

void to_json(Json& json, const AttachArguments& value) {
    json = {{"backend", value.backend.backend_path()}, {"image", value.image}};
}

void from_json(const Json& json, VbdArguments& value) {
    Fields fields(json, "arguments");
    value = read_vbd(fields);
    fields.expect_no_others();
}

void to_json(Json& json, const VbdArguments& value) {
    json = vbd_json(value);
}

void from_json(const Json& json, VbdResumeArguments& value) {
    value = {};
    Fields fields(json, "resume");
    value.vbd = read_vbd(fields);
    if (fields.find("image") != nullptr) value.image = read_image(fields.require_object("image"));
    fields.read_optional("accept-loss", value.accept_loss);
    fields.expect_no_others();
}

void to_json(Json& json, const VbdResumeArguments& value) {
    json = vbd_json(value.vbd);
    json["accept-loss"] = value.accept_loss;
    put_optional(json, "image", value.image);
}

void from_json(const Json& json, VbdRecordArguments& value) {
    Fields fields(json, "record");
    value.vbd = read_vbd(fields);
    value.start = fields.read_choice("action", {"start", "stop"}) == "start";
    fields.expect_no_others();
}

void to_json(Json& json, const VbdRecordArguments& value) {
    json = vbd_json(value.vbd);
    json["action"] = value.start ? "start" : "stop";
}

void from_json(const Json& json, VbdResizeArguments& value) {
    Fields fields(json, "resize");
    value.vbd = read_vbd(fields);
    fields.read("size", value.size_bytes);
    fields.expect_no_others();
}

void to_json(Json& json, const VbdResizeArguments& value) {
    json = vbd_json(value.vbd);
    json["size"] = value.size_bytes;
}

void from_json(const Json& json, PlugArguments& value) {
    Fields fields(json, "plug");
    value.vbd = read_vbd(fields);
    value.image = read_image(fields.require_object("image"));
    fields.expect_no_others();
}

void to_json(Json& json, const PlugArguments& value) {
    json = vbd_json(value.vbd);
    json["image"] = value.image;
}

void from_json(const Json& json, UnplugArguments& value) {
    value = {};
    Fields fields(json, "unplug");
    value.vbd = read_vbd(fields);
    fields.read_optional("force", value.force);
    fields.expect_no_others();
}

void to_json(Json& json, const UnplugArguments& value) {
    json = vbd_json(value.vbd);
    json["force"] = value.force;
}

void from_json(const Json& json, ListArguments& value) {
    value = {};
    Fields fields(json, "list");
    fields.read_optional("after", value.after);
    fields.expect_no_others();
}

void to_json(Json& json, const ListArguments& value) {
    json = {{"after", value.after}};
}

void from_json(const Json& json, TapArguments& value) {
    Fields fields(json, "arguments");
    value = read_tap(fields);
    fields.expect_no_others();
}

void to_json(Json& json, const TapArguments& value) {
    json = tap_json(value);
}

void from_json(const Json& json, TapMinor& value) {
    Fields fields(json, "arguments");
    fields.read("minor", value.minor);
    fields.expect_no_others();
}

void to_json(Json& json, const TapMinor& value) {
    json = {{"minor", value.minor}};
}

void from_json(const Json& json, TapPid& value) {
    Fields(json, "tap-spawn").read("pid", value.pid);
}

void to_json(Json& json, const TapPid& value) {
    json = {{"pid", value.pid}};
}

void from_json(const Json& json, TapOpenArguments& value) {
    Fields fields(json, "tap-open");
    value.tap = read_tap(fields);
    value.image = read_image(fields.require_object("image"));
    fields.expect_no_others();
}

void to_json(Json& json, const TapOpenArguments& value) {
    json = tap_json(value.tap);
    json["image"] = value.image;
}

void from_json(const Json& json, VbdEntry& value) {
    value = {};
    Fields fields(json, "vbd");
    value.backend = read_backend(fields);
    fields.read("state", value.state);
    fields.read("backend-state", value.backend_state);
    fields.read("frontend-state", value.frontend_state);
    value.pid = read_optional_number(fields, "pid");
    value.image = read_optional_image(fields);
    if (const Json* problem = fields.find("problem")) fields.convert("problem", *problem, value.problem.emplace());
    value.minor = read_optional_number(fields, "minor");
    if (const Json* description = fields.find("description")) value.description = description->get<DeviceDescription>();
    fields.read_optional("takeover", value.takeover);
}

void to_json(Json& json, const VbdEntry& value) {
    json = {{"vbd", value.backend.name()},
            {"domain", value.backend.domain},
            {"device", value.backend.device},
            {"vdev", device_name(value.backend.device)},
            {"backend", value.backend.backend_path()},
            {"state", value.state},
            {"backend-state", value.backend_state},
            {"frontend-state", value.frontend_state}};
    put_optional(json, "pid", value.pid);
    put_optional(json, "image", value.image);
    put_optional(json, "problem", value.problem);
    put_optional(json, "minor", value.minor);
    put_optional(json, "description", value.description);
    if (value.takeover) json["takeover"] = true;
}

void from_json(const Json& json, ListResult& value) {
    value = {};
    Fields fields(json, "list");
    const Json& vbds = fields.require("vbds");
    if (!vbds.is_array()) fields.fail("vbds", "not an array");
    for (const Json& entry : vbds)
        value.vbds.push_back(entry.get<VbdEntry>());
    fields.read("more", value.more);
}

void to_json(Json& json, const ListResult& value) {
    json = {{"vbds", value.vbds}, {"more", value.more}};
}

void from_json(const Json& json, StatusResult& value) {
    value = {};
    Fields fields(json, "status");
    fields.read("version", value.version);
    fields.read("pid", value.pid);
    fields.read("vbds", value.vbds);
    fields.read("xenstore", value.xenstore);
}

void to_json(Json& json, const StatusResult& value) {
    json = {{"version", value.version}, {"pid", value.pid}, {"vbds", value.vbds}, {"xenstore", value.xenstore}};
}

void from_json(const Json& json, TapEntry& value) {
    value = {};
    Fields fields(json, "tap");
    value.pid = read_optional_number(fields, "pid");
    value.minor = read_optional_number(fields, "minor");
    value.image = read_optional_image(fields);
}

void to_json(Json& json, const TapEntry& value) {
    json = Json::object();
    put_optional(json, "pid", value.pid);
    put_optional(json, "minor", value.minor);
    put_optional(json, "image", value.image);
}

void from_json(const Json& json, TapListArguments& value) {
    value = {};
    Fields fields(json, "tap-list");
    fields.read_optional("after", value.after);
    fields.expect_no_others();
}

void to_json(Json& json, const TapListArguments& value) {
    json = {{"after", value.after}};
}

void from_json(const Json& json, TapListResult& value) {
    value = {};
    Fields fields(json, "tap-list");
    const Json& taps = fields.require("taps");
    if (!taps.is_array()) fields.fail("taps", "not an array");
    for (const Json& tap : taps)
        value.taps.push_back(tap.get<TapEntry>());
    fields.read_optional("more", value.more);
}

void to_json(Json& json, const TapListResult& value) {
    json = {{"taps", Json::array()}, {"more", value.more}};
    for (const TapEntry& tap : value.taps)
        json["taps"].push_back(tap);
}

OpenArguments open_arguments(const ImageArguments& image, bool files_from_controller) {
    return {image.format, image.path, image.read_only, image.options, files_from_controller};
}

}  // namespace blktap::ipc
