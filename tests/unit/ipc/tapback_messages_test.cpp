// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/tapback_messages.hpp"

#include "tests/unit/ipc/socket_fixture.hpp"

namespace blktap::ipc {
namespace {

template <class T>
std::string reason(const Json& json) {
    INFO(json.dump());
    const auto error = error_of([&] { json.get<T>(); });
    CHECK(error.code() == Errc::bad_message);
    return error.what();
}

template <class T>
void survives_its_text(const T& value) {
    INFO(Json(value).dump());
    CHECK(Json::parse(Json(value).dump()).template get<T>() == value);
}

const Json image_json = {{"format", "raw"}, {"path", "/images/a"}};
const VbdAddress vbd3{VbdAddress::Kind::vbd3, 5, 51712};
const VbdAddress vbd{VbdAddress::Kind::vbd, 32751, 4294967295u};
const ImageArguments image{"raw", "/images/\xc3\xa9", true, {{"size", "1G"}, {"empty", ""}}};

}  // namespace

TEST_CASE("tapback messages: every struct survives its text", "[unit][ipc]") {
    survives_its_text(image);
    survives_its_text(ImageArguments{"null", "", false, {}});
    survives_its_text(BackendArguments{vbd});
    survives_its_text(Attach{vbd3, image});
    survives_its_text(Attach{vbd3, image, "0123"});
    survives_its_text(ClaimResult{"0123"});
    survives_its_text(ClaimResult{});
    survives_its_text(VbdArguments{5, 51712});
    survives_its_text(VbdResume{{5, 51712}, image, true});
    survives_its_text(VbdResume{{5, 51712}, std::nullopt, false});
    survives_its_text(VbdResize{{5, 51712}, 1ULL << 40});
    survives_its_text(VbdRecording{{5, 51712}, true});
    survives_its_text(VbdRecording{{5, 51712}, false});
    survives_its_text(Plug{{0, 51712}, image});
    survives_its_text(Unplug{{0, 51712}, true});
    survives_its_text(List{"5/51712"});
    survives_its_text(TapArguments{4711, 3});
    survives_its_text(TapMinor{3});
    survives_its_text(TapPid{4711});
    survives_its_text(TapOpen{{4711, 3}, image});
    survives_its_text(VbdEntry{vbd3, "connected", 4, 4, 4711, image, "", 3, DeviceDescription{.size_sectors = 8}});
    survives_its_text(ListResult{{VbdEntry{vbd, "waiting for the image", 2, 1, {}, {}, {}, {}, {}}}, true});
    survives_its_text(StatusResult{"0.1.0", 4711, 1024, true});
    survives_its_text(TapEntry{4711, 3, image});
    survives_its_text(TapEntry{{}, 3, {}});
    survives_its_text(TapList{7});
    survives_its_text(TapListResult{{TapEntry{4711, 3, image}, TapEntry{{}, 3, {}}}, true});
}

TEST_CASE("tapback messages: an entry of the list also says the names that people use", "[unit][ipc]") {
    const Json json = VbdEntry{vbd3, "connected", 4, 4, {}, {}, {}, {}, {}};
    CHECK(json["vbd"] == "5/51712");
    CHECK(json["vdev"] == "xvda");
    CHECK(json["backend"] == "backend/vbd3/5/51712");
    CHECK_FALSE(json.contains("pid"));
    CHECK_FALSE(json.contains("image"));
}

TEST_CASE("tapback messages: only a backend directory is a backend", "[unit][ipc]") {
    for (const char* path : {"", "backend/vbd/5", "backend/vbd/5/51712/", "backend/vbd/5/51712/state",
                             "backend/vbd/05/51712", "backend/qdisk/5/51712", "/local/domain/0/backend/vbd/5/51712",
                             "backend/vbd/../5/51712", "backend/vbd/32752/51712"}) {
        INFO(path);
        CHECK_THAT(reason<BackendArguments>({{"backend", path}}),
                   Catch::StartsWith("arguments: backend: not of the form"));
    }
}

TEST_CASE("tapback messages: a request that is wrong is refused by the name of the field", "[unit][ipc]") {
    CHECK_THAT(reason<Attach>({{"image", image_json}}), Catch::StartsWith("attach: backend: missing"));
    CHECK_THAT(reason<Attach>({{"backend", "backend/vbd/5/51712"}}), Catch::StartsWith("attach: image: missing"));
    Json odd = image_json;
    odd["files"] = "tapdisk";
    CHECK_THAT(reason<Attach>({{"backend", "backend/vbd/5/51712"}, {"image", odd}}),
               Catch::StartsWith("attach: image: unknown field \"files\""));
    CHECK_THAT(reason<ImageArguments>({{"format", ""}, {"path", ""}}), Catch::StartsWith("image: format: empty"));
    CHECK_THAT(reason<ImageArguments>({{"format", "raw"}, {"path", std::string("/a\0b", 4)}}),
               Catch::StartsWith("image: path: contains a NUL"));
    CHECK_THAT(reason<ImageArguments>({{"format", "raw"}, {"path", std::string(4096, 'a')}}),
               Catch::StartsWith("image: path: longer than"));
    CHECK_THAT(reason<Plug>({{"domain", 32752}, {"device", 51712}, {"image", image_json}}),
               Catch::StartsWith("plug: domain: at most 32751"));
    CHECK_THAT(reason<VbdArguments>({{"domain", 1}, {"device", 4294967296}}), Catch::StartsWith("arguments: device: "));
    CHECK_THAT(reason<VbdArguments>({{"domain", 1}, {"device", 1}, {"x", 1}}), Catch::StartsWith("arguments: unknown"));
    CHECK_THAT(reason<Unplug>({{"domain", 1}, {"device", 1}, {"force", 1}}),
               Catch::StartsWith("unplug: force: not true or false"));
    CHECK_THAT(reason<VbdRecording>({{"domain", 1}, {"device", 1}, {"action", "begin"}}),
               Catch::StartsWith("record: action: not one of"));
    CHECK_THAT(reason<TapArguments>({{"pid", -1}, {"minor", 0}}), Catch::StartsWith("arguments: pid: "));
}

TEST_CASE("tapback messages: a result of a newer daemon may say more", "[unit][ipc]") {
    Json entry = VbdEntry{vbd3, "connected", 4, 4, 4711, image, {}, {}, {}};
    entry["news"] = 1;
    entry["image"]["news"] = 1;
    CHECK(entry.get<VbdEntry>().image == image);
    CHECK(Json({{"vbds", Json::array({entry})}, {"more", false}, {"news", 1}}).get<ListResult>().vbds.size() == 1);
    CHECK_THAT(reason<ListResult>({{"more", false}}), Catch::StartsWith("list: vbds: missing"));
}

TEST_CASE("tapback messages: an image becomes what a tapdisk is told to open", "[unit][ipc]") {
    const OpenArguments open = open_arguments(image, true);
    CHECK(open == OpenArguments{image.format, image.path, true, image.options, true});
}

}  // namespace blktap::ipc
