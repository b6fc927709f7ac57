// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The bytes of each message in version 1 of the protocols, which older peers write and read.
#include <map>

#include "libblktap/ipc/tapback_messages.hpp"
#include "tests/support/catch.hpp"

namespace blktap::ipc {
namespace {

const ImageArguments image{"qcow2", "/a", true, {{"size", "1G"}}};
const OpenArguments open{"raw", "/a", true, {{"size", "1G"}}, true};
const ConnectArguments rings{3, "x86_32-abi", true, false, true, true, {{{8, 9}, 5}}};
const VbdAddress backend{VbdAddress::Kind::vbd3, 5, 51712};
const VbdArguments vbd{5, 51712};

constexpr const char* rings_text =
    R"({"direct-io-safe":true,"discard-enabled":false,"domain":3,"lifetime":"connection","persistent":true,)"
    R"("protocol":"x86_32-abi","queues":[{"event-channel":5,"ring-refs":[8,9]}]})";

struct Sent {
    std::string arguments;
    Json read_again;  ///< what a struct that was read from the arguments writes
};

class Wire {
  public:
    template <DeclaredMessage M>
    void add(const M& message) {
        const Json json = message;
        sent_[M::name] = {json.dump(), Json(json.get<M>())};
    }
    /// Checks one, and that it survives being read.
    void check(const char* name, const std::string& expected) {
        INFO(name);
        REQUIRE(sent_.contains(name));
        const auto message = sent_.extract(name).mapped();
        CHECK(message.arguments == expected);
        CHECK(message.read_again.dump() == expected);
    }
    std::size_t count() const { return sent_.size(); }
    bool has(const char* name) const { return sent_.contains(name); }

  private:
    std::map<std::string, Sent> sent_;
};

}  // namespace

TEST_CASE("messages: the bytes of what tapdisk is asked, and asks", "[unit][ipc]") {
    Wire wire;
    wire.add(Open{open});
    wire.add(Connect{rings});
    wire.add(Recover{open, {.size_sectors = 8}});
    wire.add(Adopt{rings});
    wire.add(GiveLogs{});
    wire.add(Disconnect{RingsLeft::failed});
    wire.add(Abandon{rings});
    wire.add(Pause{});
    wire.add(Resume{open, true});
    wire.add(Record{false});
    wire.add(Resize{1ULL << 40});
    wire.add(Stats{});
    wire.add(About{});
    wire.add(Watch{});
    wire.add(Files{});
    wire.add(Close{});
    wire.add(OpenFile{{"/a", true, true, "/b"}});
    wire.add(TellProblems{{{{"no-space", 5, "writes wait"}}}});
    const auto declared = [&]<DeclaredMessage M> {
        INFO(M::name);
        CHECK(wire.has(M::name));
    };
    TapdiskMessages::each(declared);
    ControllerMessages::each(declared);
    const std::string open_text =
        R"({"files":"controller","format":"raw","options":{"size":"1G"},"path":"/a","read-only":true})";
    wire.check("open", open_text);
    wire.check("connect", rings_text);
    wire.check("disconnect", R"({"rings":"failed"})");
    wire.check("abandon", rings_text);
    wire.check("adopt", rings_text);
    wire.check("give-logs", "{}");
    wire.check("recover",
               R"({"device":{"barrier":true,"discard":false,"discard-alignment":0,"discard-granularity":0,)"
               R"("flush":true,"indirect-segments-max":0,"persistent":true,"physical-sector-size":512,)"
               R"("queues-max":16,"read-only":false,"ring-pages-max":16,"sector-size":512,"size-sectors":8},)"
               R"("image":)" +
                   open_text + '}');
    wire.check("pause", "{}");
    wire.check("resume", R"({"accept-loss":true,"image":)" + open_text + "}");
    wire.check("record", R"({"action":"stop"})");
    wire.check("resize", R"({"size":1099511627776})");
    wire.check("stats", "{}");
    wire.check("about", "{}");
    wire.check("watch", "{}");
    wire.check("files", "{}");
    wire.check("close", "{}");
    wire.check("open-file", R"({"buffered":true,"named-by":"/b","path":"/a","read-only":true})");
    wire.check("problems", R"({"problems":[{"name":"no-space","since":5,"text":"writes wait"}]})");
    CHECK(wire.count() == 0);
}

TEST_CASE("messages: the bytes of what tapback is asked", "[unit][ipc]") {
    Wire wire;
    wire.add(Claim{{backend}});
    wire.add(Attach{backend, image});
    wire.add(Detach{{backend}});
    wire.add(Owner{{backend}});
    wire.add(List{"5/51712"});
    wire.add(Status{});
    wire.add(Info{vbd});
    wire.add(VbdStats{vbd});
    wire.add(VbdAbout{vbd});
    wire.add(LogLevel{log::Level::debug});
    wire.add(VbdPause{vbd});
    wire.add(VbdRecover{vbd});
    wire.add(VbdUpgrade{vbd});
    wire.add(VbdResume{vbd, image, true});
    wire.add(VbdRecording{vbd, true});
    wire.add(VbdResize{vbd, 4096});
    wire.add(Plug{vbd, image});
    wire.add(Unplug{vbd, true});
    wire.add(TapAllocate{});
    wire.add(TapSpawn{});
    wire.add(TapAttach{{4711, 3}});
    wire.add(TapOpen{{4711, 3}, image});
    wire.add(TapDestroy{{4711, 3}});
    wire.add(TapFree{{3}});
    wire.add(TapList{7});
    TapbackMessages::each([&]<DeclaredMessage M> {
        INFO(M::name);
        CHECK(wire.has(M::name));
    });
    const std::string image_text = R"("image":{"format":"qcow2","options":{"size":"1G"},"path":"/a","read-only":true})";
    const std::string vbd_text = R"("device":51712,"domain":5)";
    const std::string backend_text = R"("backend":"backend/vbd3/5/51712")";
    wire.check("claim", '{' + backend_text + '}');
    wire.check("attach", '{' + backend_text + ',' + image_text + '}');
    wire.check("detach", '{' + backend_text + '}');
    wire.check("owner", '{' + backend_text + '}');
    wire.check("list", R"({"after":"5/51712"})");
    wire.check("status", "{}");
    wire.check("info", '{' + vbd_text + '}');
    wire.check("stats", '{' + vbd_text + '}');
    wire.check("log-level", R"({"level":"debug"})");
    wire.check("about", '{' + vbd_text + '}');
    wire.check("pause", '{' + vbd_text + '}');
    wire.check("recover", '{' + vbd_text + '}');
    wire.check("upgrade", '{' + vbd_text + '}');
    wire.check("resume", R"({"accept-loss":true,)" + vbd_text + ',' + image_text + '}');
    wire.check("record", R"({"action":"start",)" + vbd_text + '}');
    wire.check("resize", '{' + vbd_text + R"(,"size":4096})");
    wire.check("plug", '{' + vbd_text + ',' + image_text + '}');
    wire.check("unplug", '{' + vbd_text + R"(,"force":true})");
    wire.check("tap-allocate", "{}");
    wire.check("tap-spawn", "{}");
    wire.check("tap-attach", R"({"minor":3,"pid":4711})");
    wire.check("tap-open", '{' + image_text + R"(,"minor":3,"pid":4711})");
    wire.check("tap-destroy", R"({"minor":3,"pid":4711})");
    wire.check("tap-free", R"({"minor":3})");
    wire.check("tap-list", R"({"after":7})");
    CHECK(wire.count() == 0);
}

TEST_CASE("messages: the bytes of what is answered", "[unit][ipc]") {
    const DeviceDescription device{8, true, 4096, true, 65536, 512, 256};
    const std::string device_text =
        R"({"barrier":true,"discard":true,"discard-alignment":512,"discard-granularity":65536,"flush":true,)"
        R"("indirect-segments-max":256,"persistent":true,"physical-sector-size":4096,"queues-max":16,)"
        R"("read-only":true,"ring-pages-max":16,"sector-size":512,"size-sectors":8})";
    CHECK(Json(device).dump() == device_text);
    CHECK(Json(Nothing{}).dump() == "{}");
    CHECK(Json(AboutResult{"1", 2, 3, 4, "on"}).dump() ==
          R"({"pid":2,"protocol":4,"running-seconds":3,"sandbox":"on","version":"1"})");
    CHECK(Json(FilesResult{{{"/a", true, false, ""}}}).dump() ==
          R"({"files":[{"buffered":false,"path":"/a","read-only":true}]})");
    const VbdEntry entry{backend, "connected", 4, 3, 4711, ImageArguments{"raw", "/a"}, "slow", 3, device, true};
    CHECK(Json(ListResult{{entry}, true, "off"}).dump() ==
          R"({"more":true,"sandbox":"off","vbds":[{"backend":"backend/vbd3/5/51712","backend-state":4,"description":)" +
              device_text +
              R"(,"device":51712,"domain":5,"frontend-state":3,"image":{"format":"raw","path":"/a","read-only":false},)"
              R"("minor":3,"pid":4711,"problem":"slow","state":"connected","takeover":true,"vbd":"5/51712",)"
              R"("vdev":"xvda"}]})");
    CHECK(Json(StatusResult{"1", 2, 3, true}).dump() == R"({"pid":2,"vbds":3,"version":"1","xenstore":true})");
    CHECK(Json(OwnerResult{true}).dump() == R"({"owned":true})");
    CHECK(Json(TapMinor{3}).dump() == R"({"minor":3})");
    CHECK(Json(TapPid{4711}).dump() == R"({"pid":4711})");
    CHECK(Json(TapListResult{{{4711, 3, {}}}, false}).dump() == R"({"more":false,"taps":[{"minor":3,"pid":4711}]})");
}

}  // namespace blktap::ipc
