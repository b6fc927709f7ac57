// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/messages.hpp"

#include "libblktap/ipc/fields.hpp"

namespace blktap::ipc {
namespace {

constexpr std::size_t problems_max = 16;  // far more than there are kinds

std::string indexed(const char* key, std::size_t index) {
    return std::string(key) + "[" + std::to_string(index) + "]";
}

OpenArguments read_image(Fields fields) {
    OpenArguments image;
    fields.read("format", image.format);
    fields.expect_not_empty("format", image.format);
    fields.read("path", image.path);
    fields.read_optional("read-only", image.read_only);
    fields.read_optional_strings("options", image.options);
    image.files_from_controller = fields.read_choice("files", {"tapdisk", "controller"}, "tapdisk") == "controller";
    fields.expect_no_others();
    return image;
}

QueueArguments read_queue(Fields fields) {
    QueueArguments queue;
    const Json& ring_refs = fields.require_array("ring-refs", ring_pages_max);
    queue.ring_refs.resize(ring_refs.size());
    for (std::size_t index = 0; index < ring_refs.size(); ++index) {
        fields.convert(indexed("ring-refs", index), ring_refs[index], queue.ring_refs[index]);
    }
    fields.read("event-channel", queue.event_channel);
    fields.expect_no_others();
    return queue;
}

std::vector<QueueArguments> read_queues(Fields& fields) {
    const Json& array = fields.require_array("queues", queues_max);
    std::vector<QueueArguments> queues;
    for (std::size_t index = 0; index < array.size(); ++index) {
        queues.push_back(read_queue({array[index], fields.request(), indexed("queues", index)}));
        const std::size_t pages = queues.back().ring_refs.size();
        const std::size_t pages_of_first = queues.front().ring_refs.size();
        if (pages == pages_of_first) continue;
        fields.fail(indexed("queues", index) + ".ring-refs",
                    std::to_string(pages) + " entries, but queues[0] has " + std::to_string(pages_of_first));
    }
    return queues;
}

}  // namespace

void from_json(const Json& json, OpenArguments& value) {
    value = read_image({json, "open"});
}

void to_json(Json& json, const OpenArguments& value) {
    json = {{"format", value.format},
            {"path", value.path},
            {"read-only", value.read_only},
            {"options", value.options},
            {"files", value.files_from_controller ? "controller" : "tapdisk"}};
}

void from_json(const Json& json, DeviceDescription& value) {
    value = {};
    Fields fields(json, "description");
    fields.read("size-sectors", value.size_sectors);
    fields.read("read-only", value.read_only);
    fields.read_optional("physical-sector-size", value.physical_sector_size_bytes);
    fields.read_optional("discard", value.discard);
    fields.read_optional("discard-granularity", value.discard_granularity_bytes);
    fields.read_optional("discard-alignment", value.discard_alignment_bytes);
    fields.read_optional("indirect-segments-max", value.indirect_segments_max);
}

void to_json(Json& json, const DeviceDescription& value) {
    json = {{"size-sectors", value.size_sectors},
            {"read-only", value.read_only},
            {"sector-size", 512},
            {"physical-sector-size", value.physical_sector_size_bytes},
            {"discard", value.discard},
            {"discard-granularity", value.discard_granularity_bytes},
            {"discard-alignment", value.discard_alignment_bytes},
            {"flush", true},
            {"barrier", true},
            {"persistent", true},
            {"indirect-segments-max", value.indirect_segments_max},
            {"ring-pages-max", ring_pages_max},
            {"queues-max", queues_max}};
}

void from_json(const Json& json, ConnectArguments& value) {
    value = {};
    Fields fields(json, "connect");
    fields.read("domain", value.domain);
    if (value.domain > domain_max) fields.fail("domain", "at most " + std::to_string(domain_max));
    value.protocol = fields.read_choice("protocol", {"native", "x86_32-abi", "x86_64-abi"}, "native");
    fields.read_optional("persistent", value.persistent);
    fields.read_optional("discard-enabled", value.discard_enabled);
    fields.read_optional("direct-io-safe", value.direct_io_safe);
    value.until_hangup = fields.read_choice("lifetime", {"tapdisk", "connection"}, "tapdisk") == "connection";
    value.queues = read_queues(fields);
    fields.expect_no_others();
}

void to_json(Json& json, const ConnectArguments& value) {
    Json queues = Json::array();
    for (const QueueArguments& queue : value.queues) {
        queues.push_back({{"ring-refs", queue.ring_refs}, {"event-channel", queue.event_channel}});
    }
    json = {{"domain", value.domain},
            {"protocol", value.protocol},
            {"persistent", value.persistent},
            {"discard-enabled", value.discard_enabled},
            {"direct-io-safe", value.direct_io_safe},
            {"lifetime", value.until_hangup ? "connection" : "tapdisk"},
            {"queues", std::move(queues)}};
}

void from_json(const Json& json, ResumeArguments& value) {
    value = {};
    Fields fields(json, "resume");
    if (fields.find("image") != nullptr) value.image = read_image(fields.require_object("image"));
    fields.read_optional("accept-loss", value.accept_loss);
    fields.expect_no_others();
}

void to_json(Json& json, const ResumeArguments& value) {
    json = {{"accept-loss", value.accept_loss}};
    if (value.image) json["image"] = *value.image;
}

void from_json(const Json& json, DisconnectArguments& value) {
    Fields fields(json, "disconnect");
    const std::string rings = fields.read_choice("rings", {"untouched", "served", "failed"}, "untouched");
    value.rings = rings == "untouched" ? RingsLeft::untouched
                  : rings == "served"  ? RingsLeft::served
                                       : RingsLeft::failed;
    fields.expect_no_others();
}

void to_json(Json& json, const DisconnectArguments& value) {
    json = Json::object();
    // A tapdisk that is older than the field takes no arguments.
    if (value.rings != RingsLeft::untouched) json["rings"] = value.rings == RingsLeft::served ? "served" : "failed";
}

void from_json(const Json& json, RecordArguments& value) {
    Fields fields(json, "record");
    value.start = fields.read_choice("action", {"start", "stop"}) == "start";
    fields.expect_no_others();
}

void to_json(Json& json, const RecordArguments& value) {
    json = {{"action", value.start ? "start" : "stop"}};
}

void from_json(const Json& json, ResizeArguments& value) {
    Fields fields(json, "resize");
    fields.read("size", value.size_bytes);
    fields.expect_no_others();
}

void to_json(Json& json, const ResizeArguments& value) {
    json = {{"size", value.size_bytes}};
}

void from_json(const Json& json, Problems& value) {
    value = {};
    Fields fields(json, "problems");
    const Json& array = fields.require("problems");
    if (!array.is_array() || array.size() > problems_max) fields.fail("problems", "not an array, or too long");
    for (std::size_t index = 0; index < array.size(); ++index) {
        Fields entry(array[index], fields.request(), indexed("problems", index));
        Problem& problem = value.problems.emplace_back();
        entry.read("name", problem.name);
        entry.read_optional("since", problem.since);
        entry.read_optional("text", problem.text);
    }
}

void to_json(Json& json, const Problems& value) {
    Json problems = Json::array();
    for (const Problem& problem : value.problems)
        problems.push_back({{"name", problem.name}, {"since", problem.since}, {"text", problem.text}});
    json = {{"problems", std::move(problems)}};
}

void from_json(const Json& json, OpenFileArguments& value) {
    value = {};
    Fields fields(json, "open-file");
    fields.read("path", value.path);
    fields.expect_not_empty("path", value.path);
    fields.read_optional("read-only", value.read_only);
    fields.read_optional("buffered", value.buffered);
    fields.read_optional("named-by", value.named_by);
    fields.expect_no_others();
}

void to_json(Json& json, const OpenFileArguments& value) {
    json = {{"path", value.path}, {"read-only", value.read_only}, {"buffered", value.buffered}};
    // A controller of an earlier version knows nothing of it, and most chains have no need of it.
    if (!value.named_by.empty()) json["named-by"] = value.named_by;
}

void from_json(const Json& json, FilesResult& value) {
    value = {};
    Fields fields(json, "files");
    const Json& files = fields.require("files");
    if (!files.is_array() || files.size() > message_descriptors_max)
        fields.fail("files", "not an array of as many as a message has descriptors");
    for (const Json& file : files)
        value.files.push_back(file.get<OpenFileArguments>());
}

void to_json(Json& json, const FilesResult& value) {
    json = {{"files", Json::array()}};
    for (const OpenFileArguments& file : value.files)
        json["files"].push_back(file);
}

void expect_no_arguments(const Json& json) {
    Fields(json, "arguments").expect_no_others();
}

}  // namespace blktap::ipc
