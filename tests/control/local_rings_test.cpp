// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A program of dom0 with local rings, beside the guest of the same disk: its rings outlive a tapdisk as the guest's do,
// and it holds up nobody when it does not come back.
#include <csignal>
#include <cstring>
#include <thread>

#include "libblktap/ipc/messages.hpp"
#include "tests/control/host/scene.hpp"
#include "tests/support/process.hpp"

using namespace blktap;
using namespace blktap::control_test;
using namespace std::chrono_literals;

namespace {

/// A running ring-replay with local rings; it loads and checks the second half of the disk.
class Program {
  public:
    Program(const ControlHost& host, const std::string& name, const std::vector<std::string>& how_long)
        : output_(host.path("program-" + name + std::to_string(++count_))),
          process_(command(host, name, how_long), {.environment = host.environment(0), .output = output_}) {}

    void signal(int number) const noexcept { process_.signal(number); }
    int end(int number = SIGINT) {
        process_.signal(number);
        return wait();
    }
    int wait() {
        if (const auto status = process_.wait(60s)) return *status;
        process_.kill();
        return 128 + SIGKILL;
    }
    void kill() noexcept { process_.kill(); }
    std::string output() const { return testing::read_file(output_); }

  private:
    static std::vector<std::string> command(const ControlHost& host, const std::string& name,
                                            const std::vector<std::string>& how_long) {
        std::vector<std::string> words{BLKTAP_BIN_DIR "/ring-replay",
                                       "load",
                                       "--verify",
                                       "--depth",
                                       "8",
                                       "--range",
                                       "8192:8192",
                                       "--local",
                                       "--connection",
                                       name,
                                       "--tapdisk",
                                       host.run_directory() + "/5-51712.sock"};
        words.insert(words.end(), how_long.begin(), how_long.end());
        return words;
    }

    static inline unsigned count_ = 0;
    std::string output_;
    testing::Process process_;
};

struct LocalScene : Scene {
    LocalScene() : Scene(Xl::v4_19) {
        host.configure("deaths-per-minute = 0\n");
        host.replace_tapback();
        attach(disk);
        guest.emplace(host, disk, verified_load({"--range", "0:8192", "--seconds", "600", "--flush-every", "20"}));
        REQUIRE(xl.wait_until_connected(disk));
    }
    pid_t tapdisk() const { return host.entry(5, xvda).value("pid", 0); }
    ipc::Json vbd() const { return {{"domain", 5}, {"device", xvda}}; }
    ipc::Json stats() const { return host.call("stats", vbd()).result; }
    std::uint64_t local(const char* what) const { return stats().at("local-rings").at(what).get<std::uint64_t>(); }
    /// What is told of the connection of this name; empty: there is none.
    ipc::Json connection(const std::string& name) const {
        const ipc::Json now = stats();
        for (const ipc::Json& each : now.value("connections", ipc::Json::array()))
            if (each.value("name", "") == name) return each;
        return ipc::Json::object();
    }
    void wait_for(const std::string& name) const {
        INFO("tapback said:\n" << host.log());
        REQUIRE(testing::wait_until([&] { return connection(name).value("taken", 0) > 0; }));
    }
    /// Stops the tapdisk at a moment at which it owes the only program an answer.
    void stop_owing(pid_t pid) const {
        for (int i = 0; i < 2000; ++i) {
            REQUIRE(testing::send_signal(pid, SIGSTOP));
            if (testing::wait_until([&] { return is_stopped(pid); }) && owes_program()) return;
            REQUIRE(testing::send_signal(pid, SIGCONT));
            std::this_thread::sleep_for(std::chrono::microseconds(i));
        }
        FAIL("it owed nothing");
    }
    static bool is_stopped(pid_t pid) {
        const std::string stat = testing::read_file("/proc/" + std::to_string(pid) + "/stat");
        return stat.find(") T ") != std::string::npos;
    }
    /// docs/formats/recovery-log.md: one queue of 32 slots.
    bool owes_program() const {
        const std::string log = testing::read_file(host.run_directory() + "/5-51712.local-1");
        constexpr std::size_t header = 64, queue_header = 1088, slot = 136, slots = 32;
        if (log.size() < header + queue_header + slots * slot) return false;
        const auto number_at = [&](std::size_t offset) {
            std::uint32_t number = 0;
            std::memcpy(&number, log.data() + offset, sizeof number);
            return number;
        };
        for (std::size_t i = 0; i < slots; ++i) {
            const std::size_t at = header + queue_header + i * slot;
            const auto ahead = static_cast<std::int32_t>(number_at(at + 4) - number_at(header));
            if (number_at(at) == 1 && ahead < 0) return true;
        }
        return false;
    }
    /// Another tapdisk than `old` serves the guest.
    void require_goes_on(pid_t old) const {
        INFO("tapback said:\n" << host.log());
        REQUIRE(testing::wait_until(
            [&] { return tapdisk() != old && host.entry(5, xvda).value("state", "") == "connected"; }));
    }
    void leave() {
        guest->interrupt();
        const int status = guest->wait();
        INFO("the guest said:\n" << guest->output() << "tapback said:\n" << host.log());
        CHECK(status == 0);
        detach(disk);
    }

    std::optional<Guest> guest{};
};

}  // namespace

TEST_CASE("local rings: they outlive tapdisks that are killed or replaced, as the guest's do", "[control]") {
    LocalScene scene;
    Program program(scene.host, "export", {"--mix", "mixed", "--seconds", "600"});
    scene.wait_for("export");
    CHECK(scene.connection("export").at("recoverable") == true);
    std::uint64_t adopted = 0;
    for (int i = 0; i < 6; ++i) {
        const pid_t old = scene.tapdisk();
        if (i == 2) {
            CHECK(scene.host.call("upgrade", scene.vbd()).error_message == "");
        } else {
            if (i != 4) scene.stop_owing(old);
            REQUIRE(testing::send_signal(old, i == 4 ? SIGTERM : SIGKILL));
        }
        scene.require_goes_on(old);
        scene.wait_for("export");
        adopted += scene.connection("export").at("adopted").get<std::uint64_t>();
        CHECK(scene.connection("export").at("recoverable") == true);
        CHECK(scene.local("given-up") == 0);
        CHECK(scene.local("awaited") == 0);
    }
    CHECK(adopted > 0);
    const int status = program.end();
    INFO("the program said:\n" << program.output() << "tapback said:\n" << scene.host.log());
    CHECK(status == 0);
    scene.leave();
}

TEST_CASE("local rings: it does not matter that tapback is killed as well", "[control]") {
    LocalScene scene;
    Program program(scene.host, "export", {"--mix", "mixed", "--seconds", "600"});
    scene.wait_for("export");
    for (int i = 0; i < 4; ++i) {
        const pid_t old = scene.tapdisk();
        REQUIRE(old > 0);
        kill_with_tapback(scene.host, old, i % 2 == 0);
        scene.require_goes_on(old);
        scene.wait_for("export");
    }
    const int status = program.end();
    INFO("the program said:\n" << program.output() << "tapback said:\n" << scene.host.log());
    CHECK(status == 0);
    scene.leave();
}

TEST_CASE("local rings: a program that does not come back holds the guest up for a second, and begins anew later",
          "[control]") {
    LocalScene scene;
    const bool dies = GENERATE(true, false);
    Program program(scene.host, "export", {"--mix", "mixed", "--seconds", "600"});
    scene.wait_for("export");
    const pid_t old = scene.tapdisk();
    scene.stop_owing(old);
    dies ? program.kill() : program.signal(SIGSTOP);
    const MonotonicClock clock;
    const Nanoseconds killed = clock.now();
    testing::send_signal(old, SIGKILL);
    scene.require_goes_on(old);
    CHECK(clock.now() - killed < 10s);
    CHECK(scene.local("given-up") == 1);
    CHECK(scene.local("lost-requests") > 0);
    CHECK(scene.host.logged("ring.not_back") == 1);
    if (!dies) {
        program.signal(SIGCONT);
        CHECK(program.wait() != 0);
        CHECK_THAT(program.output(), Catch::Contains("its program connects anew"));
    }
    Program next(scene.host, "export", {"--mix", "mixed", "--requests", "300"});
    const int status = next.wait();
    INFO("the program said:\n" << next.output() << "tapback said:\n" << scene.host.log());
    CHECK(status == 0);
    scene.leave();
}

TEST_CASE("local rings: as many programs as may use a disk keep their rings", "[control]") {
    LocalScene scene;
    std::vector<std::unique_ptr<Program>> programs;
    for (unsigned i = 0; i < ipc::local_logs_max; ++i) {
        const std::string name = "program" + std::to_string(i);
        programs.push_back(
            std::make_unique<Program>(scene.host, name, std::vector<std::string>{"--seconds", "600", "--mix", "read"}));
        scene.wait_for(name);
    }
    const pid_t old = scene.tapdisk();
    testing::send_signal(old, SIGKILL);
    scene.require_goes_on(old);
    for (unsigned i = 0; i < ipc::local_logs_max; ++i)
        scene.wait_for("program" + std::to_string(i));
    CHECK(scene.local("given-up") == 0);
    for (const auto& program : programs)
        CHECK(program->end() == 0);
    scene.leave();
}
