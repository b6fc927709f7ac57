// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/messages.hpp"

#include "tests/unit/ipc/socket_fixture.hpp"

namespace blktap::ipc {
namespace {

template <class T>
std::string reason(const Json& json) {
    const auto error = error_of([&] { json.get<T>(); });
    CHECK(error.code() == Errc::bad_message);
    return error.what();
}

/// Checks that changing one field of `good` is refused with `expected`.
template <class T>
void refuses(Json good, const char* field, const Json& value, const std::string& expected) {
    good[Json::json_pointer(field)] = value;
    INFO(good.dump());
    CHECK_THAT(reason<T>(good), Catch::StartsWith(expected));
}

template <class T>
void refuses_without(Json good, const char* field, const std::string& expected) {
    REQUIRE(good.erase(field) == 1);
    CHECK_THAT(reason<T>(good), Catch::StartsWith(expected));
}

template <class T>
T through_text(const T& value) {
    return Json::parse(Json(value).dump()).template get<T>();
}

const Json open_json = {{"format", "raw"}, {"path", "/images/a"}};
const Json queue_json = {{"ring-refs", {8}}, {"event-channel", 5}};
const Json connect_json = {{"domain", 3}, {"queues", Json::array({queue_json, queue_json})}};

ConnectArguments some_connect() {
    return {.domain = 3,
            .protocol = "x86_32-abi",
            .persistent = true,
            .discard_enabled = false,
            .direct_io_safe = true,
            .until_hangup = true,
            .queues = {{{8, 4294967295u}, 5}, {{10, 11}, 6}}};
}

}  // namespace

TEST_CASE("messages: every struct survives its text", "[unit][ipc]") {
    const OpenArguments open{"raw", "/images/\xc3\xa9", true, {{"size", "1G"}, {"empty", ""}}, true};
    CHECK(through_text(open) == open);
    const DeviceDescription description{18446744073709551615u, true, 4096, true, 65536, 512, 256};
    CHECK(through_text(description) == description);
    CHECK(through_text(some_connect()) == some_connect());
    CHECK(through_text(Resume{open, true}) == Resume{open, true});
    CHECK(through_text(Resume{}) == Resume{});
    for (const RingsLeft rings : {RingsLeft::untouched, RingsLeft::served, RingsLeft::failed})
        CHECK(through_text(Disconnect{rings}) == Disconnect{rings});
    for (const bool start : {true, false})
        CHECK(through_text(Record{start}) == Record{start});
    const OpenFileArguments file{"/images/a", true, true, "/images/b"};
    CHECK(through_text(file) == file);
}

TEST_CASE("messages: fields that may be absent have the struct's defaults", "[unit][ipc]") {
    CHECK(open_json.get<OpenArguments>() == OpenArguments{"raw", "/images/a", false, {}, false});
    CHECK(connect_json.get<ConnectArguments>() == ConnectArguments{.domain = 3, .queues = {{{8}, 5}, {{8}, 5}}});
    CHECK(Json::object().get<Resume>() == Resume{});
    CHECK(Json{{"path", "/a"}}.get<OpenFileArguments>() == OpenFileArguments{"/a"});
}

TEST_CASE("messages: parsing forgets what the struct held before", "[unit][ipc]") {
    ConnectArguments value = some_connect();
    from_json(connect_json, value);
    CHECK(value == connect_json.get<ConnectArguments>());
    Resume resume{OpenArguments{}, true};
    from_json(Json::object(), resume);
    CHECK(resume == Resume{});
}

TEST_CASE("messages: the words of the protocol", "[unit][ipc]") {
    CHECK(Json(some_connect()) == Json::parse(R"({
        "domain": 3, "protocol": "x86_32-abi", "persistent": true, "discard-enabled": false, "direct-io-safe": true,
        "lifetime": "connection", "queues": [{"ring-refs": [8, 4294967295], "event-channel": 5},
                                             {"ring-refs": [10, 11], "event-channel": 6}]})"));
    CHECK(Json(OpenArguments{"raw", "/a", true, {{"size", "1G"}}, true}) == Json::parse(R"({
        "format": "raw", "path": "/a", "read-only": true, "options": {"size": "1G"}, "files": "controller"})"));
    CHECK(Json(DeviceDescription{8, true, 4096, true, 65536, 512, 256}) == Json::parse(R"({
        "size-sectors": 8, "read-only": true, "sector-size": 512, "physical-sector-size": 4096, "discard": true,
        "discard-granularity": 65536, "discard-alignment": 512, "flush": true, "barrier": true, "persistent": true,
        "indirect-segments-max": 256, "ring-pages-max": 16, "queues-max": 16})"));
    CHECK(Json(Resume{OpenArguments{"raw", "/a"}, true}) == Json::parse(R"({"accept-loss": true,
        "image": {"format": "raw", "path": "/a", "read-only": false, "options": {}, "files": "tapdisk"}})"));
    CHECK(Json(Disconnect{}) == Json::object());  // all that an older tapdisk takes
    CHECK(Json(Disconnect{RingsLeft::untouched, "b"}) == Json::parse(R"({"connection": "b"})"));
    CHECK(through_text(Disconnect{RingsLeft::served, "b"}) == Disconnect{RingsLeft::served, "b"});
    CHECK(through_text(ConnectArguments{.domain = 3, .queues = {{{8}, 5}}, .connection = "b"}).connection == "b");
    CHECK(Json(Disconnect{RingsLeft::served}) == Json::parse(R"({"rings": "served"})"));
    CHECK(Json(Record{true}) == Json::parse(R"({"action": "start"})"));
    CHECK(Json(Record{false}) == Json::parse(R"({"action": "stop"})"));
    CHECK(Json(OpenFileArguments{"/a", true, true}) ==
          Json::parse(R"({"path": "/a", "read-only": true, "buffered": true})"));
    CHECK(Json(OpenFileArguments{"/a", true, false, "/b"}) ==
          Json::parse(R"({"path": "/a", "read-only": true, "buffered": false, "named-by": "/b"})"));
}

TEST_CASE("messages: open refuses each wrong field by name", "[unit][ipc]") {
    const auto open_refuses = [](auto... arguments) { refuses<OpenArguments>(open_json, arguments...); };
    refuses_without<OpenArguments>(open_json, "format", "open: format: missing");
    refuses_without<OpenArguments>(open_json, "path", "open: path: missing");
    open_refuses("/format", "", "open: format: empty");
    open_refuses("/path", 5, "open: path: not a string");
    open_refuses("/path", std::string("/a\0/b", 5), "open: path: contains a NUL");
    open_refuses("/read-only", 1, "open: read-only: not true or false");
    open_refuses("/read-only", nullptr, "open: read-only: not true or false");
    open_refuses("/options", "size=5", "open: options: not an object");
    open_refuses("/options", Json{{"size", 5}}, "open: options.size: not a string");
    open_refuses("/files", "anyone", "open: files: not one of \"tapdisk\", \"controller\"");
    open_refuses("/files", 5, "open: files: not a string");
    open_refuses("/readonly", true, "open: unknown field \"readonly\"");
    CHECK_THAT(reason<OpenArguments>(Json::array()), Catch::StartsWith("open: not an object"));
    CHECK_THAT(reason<OpenArguments>(nullptr), Catch::StartsWith("open: not an object"));
}

TEST_CASE("messages: connect refuses each wrong field by name", "[unit][ipc]") {
    const auto connect_refuses = [](auto... arguments) { refuses<ConnectArguments>(connect_json, arguments...); };
    refuses_without<ConnectArguments>(connect_json, "domain", "connect: domain: missing");
    refuses_without<ConnectArguments>(connect_json, "queues", "connect: queues: missing");
    connect_refuses("/domain", -1, "connect: domain: not a whole number from 0 to 65535");
    connect_refuses("/domain", 65536, "connect: domain: not a whole number from 0 to 65535");
    connect_refuses("/domain", 0x7ff0, "connect: domain: at most 32751");
    connect_refuses("/domain", 1.0, "connect: domain: not a whole number");
    connect_refuses("/domain", "3", "connect: domain: not a whole number");
    connect_refuses("/domain", true, "connect: domain: not a whole number");
    connect_refuses("/protocol", "arm-abi", "connect: protocol: not one of \"native\", \"x86_32-abi\", \"x86_64-abi\"");
    connect_refuses("/persistent", "1", "connect: persistent: not true or false");
    connect_refuses("/discard-enabled", 0, "connect: discard-enabled: not true or false");
    connect_refuses("/direct-io-safe", 0, "connect: direct-io-safe: not true or false");
    connect_refuses("/lifetime", "forever", "connect: lifetime: not one of \"tapdisk\", \"connection\"");
    connect_refuses("/ring-ref", 8, "connect: unknown field \"ring-ref\"");
    CHECK_THAT(reason<ConnectArguments>("x"), Catch::StartsWith("connect: not an object"));
}

TEST_CASE("messages: connect refuses each wrong queue by name and number", "[unit][ipc]") {
    const auto connect_refuses = [](auto... arguments) { refuses<ConnectArguments>(connect_json, arguments...); };
    connect_refuses("/queues", 5, "connect: queues: not an array");
    connect_refuses("/queues", Json::array(), "connect: queues: 0 entries, at least 1");
    connect_refuses("/queues", std::vector<Json>(17, queue_json), "connect: queues: 17 entries, at most 16");
    connect_refuses("/queues/1", 5, "connect: queues[1]: not an object");
    connect_refuses("/queues/1", Json{{"event-channel", 5}}, "connect: queues[1].ring-refs: missing");
    connect_refuses("/queues/1", Json{{"ring-refs", {8}}}, "connect: queues[1].event-channel: missing");
    connect_refuses("/queues/1/color", "red", "connect: queues[1]: unknown field \"color\"");
    connect_refuses("/queues/1/event-channel", 4294967296, "connect: queues[1].event-channel: not a whole number");
    connect_refuses("/queues/1/event-channel", -1, "connect: queues[1].event-channel: not a whole number");
    connect_refuses("/queues/1/ring-refs", 8, "connect: queues[1].ring-refs: not an array");
    connect_refuses("/queues/1/ring-refs", Json::array(), "connect: queues[1].ring-refs: 0 entries, at least 1");
    connect_refuses("/queues/1/ring-refs", std::vector<int>(17, 8),
                    "connect: queues[1].ring-refs: 17 entries, at most 16");
    connect_refuses("/queues/1/ring-refs", std::vector<int>(2, 8),
                    "connect: queues[1].ring-refs: 2 entries, but queues[0] has 1");
    connect_refuses("/queues/1/ring-refs/0", "8", "connect: queues[1].ring-refs[0]: not a whole number");
    connect_refuses("/queues/1/ring-refs/0", 4294967296, "connect: queues[1].ring-refs[0]: not a whole number");
    connect_refuses("/queues/1/ring-refs/0", 0.5, "connect: queues[1].ring-refs[0]: not a whole number");
}

TEST_CASE("messages: connect accepts as many queues and pages as there may be", "[unit][ipc]") {
    Json queue = queue_json;
    queue["ring-refs"] = std::vector<int>(ring_pages_max, 8);
    Json json = connect_json;
    json["domain"] = domain_max;
    json["queues"] = std::vector<Json>(queues_max, queue);
    const auto value = json.get<ConnectArguments>();
    CHECK(value.queues.size() == queues_max);
    CHECK(value.queues.back().ring_refs.size() == ring_pages_max);
}

TEST_CASE("messages: resize and problems survive their text, and refuse what is wrong", "[unit][ipc]") {
    CHECK(through_text(Resize{1ULL << 40}) == Resize{1ULL << 40});
    const Problems problems{{{"no-space", 1764090000, "writes wait"}, {"low-space", 0, ""}}};
    CHECK(through_text(problems) == problems);
    CHECK(through_text(Problems{}) == Problems{});
    CHECK_NOTHROW(Json({{"problems", {{{"name", "new"}, {"severity", 5}}}}}).get<Problems>());
    CHECK_THAT(reason<Resize>(Json::object()), Catch::StartsWith("resize: size: missing"));
    CHECK_THAT(reason<Resize>({{"size", "20G"}}), Catch::StartsWith("resize: size: "));
    CHECK_THAT(reason<Resize>({{"size", 1}, {"unit", "G"}}), Catch::StartsWith("resize: unknown field"));
    CHECK_THAT(reason<Problems>({{"problems", 1}}), Catch::StartsWith("problems: problems: not an array"));
    CHECK_THAT(reason<Problems>({{"problems", Json::array({Json::object()})}}),
               Catch::StartsWith("problems: problems[0].name: missing"));
}

TEST_CASE("messages: resume, record and open-file refuse each wrong field by name", "[unit][ipc]") {
    CHECK_THAT(reason<Resume>({{"image", nullptr}}), Catch::StartsWith("resume: image: not an object"));
    CHECK_THAT(reason<Resume>({{"image", {{"format", "raw"}}}}), Catch::StartsWith("resume: image.path: missing"));
    CHECK_THAT(reason<Resume>({{"image", {{"format", "raw"}, {"path", "/a"}, {"options", {{"x", 1}}}}}}),
               Catch::StartsWith("resume: image.options.x: not a string"));
    CHECK_THAT(reason<Disconnect>({{"rings", "left"}}), Catch::StartsWith("disconnect: rings: "));
    CHECK_THAT(reason<Resume>({{"accept-loss", "yes"}}), Catch::StartsWith("resume: accept-loss: not true or false"));
    CHECK_THAT(reason<Resume>({{"accept_loss", true}}), Catch::StartsWith("resume: unknown field"));
    CHECK_THAT(reason<Record>(Json::object()), Catch::StartsWith("record: action: missing"));
    CHECK_THAT(reason<Record>({{"action", "pause"}}),
               Catch::StartsWith("record: action: not one of \"start\", \"stop\""));
    CHECK_THAT(reason<Record>({{"action", "start"}, {"path", "/t"}}), Catch::StartsWith("record: unknown field"));
    CHECK_THAT(reason<OpenFileArguments>(Json::object()), Catch::StartsWith("open-file: path: missing"));
    CHECK_THAT(reason<OpenFileArguments>({{"path", ""}}), Catch::StartsWith("open-file: path: empty"));
    CHECK_THAT(reason<OpenFileArguments>({{"path", "/a"}, {"buffered", 1}}),
               Catch::StartsWith("open-file: buffered: not true or false"));
    CHECK_THAT(reason<OpenFileArguments>({{"path", "/a"}, {"mode", 1}}), Catch::StartsWith("open-file: unknown field"));
}

TEST_CASE("messages: a description may say more than we know, but nothing wrong", "[unit][ipc]") {
    const Json json = {{"size-sectors", 8}, {"read-only", false}, {"zoned", {{"zones", 5}}}};
    CHECK(json.get<DeviceDescription>() == DeviceDescription{.size_sectors = 8});
    CHECK_THAT(reason<DeviceDescription>({{"read-only", false}}),
               Catch::StartsWith("description: size-sectors: missing"));
    CHECK_THAT(reason<DeviceDescription>({{"size-sectors", 8}}), Catch::StartsWith("description: read-only: missing"));
    refuses<DeviceDescription>(json, "/size-sectors", -8, "description: size-sectors: not a whole number");
    refuses<DeviceDescription>(json, "/discard", 1, "description: discard: not true or false");
    refuses<DeviceDescription>(json, "/discard-granularity", 4294967296,
                               "description: discard-granularity: not a whole");
}

TEST_CASE("messages: a request without arguments takes none", "[unit][ipc]") {
    CHECK_NOTHROW(Json::object().get<Pause>());
    CHECK_THAT(reason<Pause>({{"force", true}}), Catch::StartsWith("arguments: unknown field \"force\""));
    CHECK_THAT(reason<Pause>(nullptr), Catch::StartsWith("arguments: not an object"));
}

TEST_CASE("messages: where a disk stands is read from stats with one set of defaults", "[unit][ipc]") {
    CHECK(disk_state(Json::object()) == DiskState{});
    CHECK(
        disk_state({{"state", "paused"}, {"connected", true}, {"aio", {{"slots", 5}}}, {"problems", Json::array()}}) ==
        DiskState{DiskState::State::paused, true, {}});
    const DeviceDescription device{.size_sectors = 8};
    const Json stats = {{"state", "open"},
                        {"image", {{"format", "raw"}, {"path", "/a"}, {"device", device}, {"growth", Json::object()}}}};
    CHECK(disk_state(stats) == DiskState{DiskState::State::open, false, ImageInUse{"raw", "/a", device}});
    CHECK_THAT(reason<DiskState>({{"state", "asleep"}}), Catch::StartsWith("stats: state: not one of"));
    CHECK_THAT(reason<DiskState>({{"connected", 1}}), Catch::StartsWith("stats: connected: not true or false"));
}

}  // namespace blktap::ipc
