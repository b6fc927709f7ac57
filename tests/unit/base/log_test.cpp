// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/log.hpp"

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <fcntl.h>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "libblktap/base/unique_fd.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/unit/base/captured_stderr.hpp"

namespace {

/// The arguments of the last call of syslog() below.
struct {
    int priority = -1;
    std::string text;
} last_syslog;

void keep(int priority, const char* format, std::va_list arguments) {
    char text[256];
    std::vsnprintf(text, sizeof(text), format, arguments);
    last_syslog = {priority, text};
}

/// The stderr of one write.
template <class Write>
std::string logged(Write write) {
    const blktap::testing::CapturedStderr captured;
    write();
    return captured.text();
}

std::string logged_value(const std::string& value) {
    return logged([&value] { blktap::log::info("event", {{"key", value}}); });
}

}  // namespace

// Overrides the C library's function, so that the test sees what would reach the host's log.
extern "C" void syslog(int priority, const char* format, ...) {
    std::va_list arguments;
    va_start(arguments, format);
    keep(priority, format, arguments);
    va_end(arguments);
}

// The same function with _FORTIFY_SOURCE, which checks the format.
extern "C" void __syslog_chk(int priority, int, const char* format, ...) {
    std::va_list arguments;
    va_start(arguments, format);
    keep(priority, format, arguments);
    va_end(arguments);
}

namespace blktap {

using log::Level;
using log::Sink;

TEST_CASE("log: a line is program, level, event and fields", "[unit][base]") {
    log::configure("tapdisk", Level::debug, Sink::standard_error);
    CHECK(logged([] {
              log::error("image.open", {{"vbd", "3/51712"}, {"errno", "EACCES"}});
          }) == "tapdisk[error] image.open vbd=3/51712 errno=EACCES\n");
    CHECK(logged([] { log::warning("ring.full"); }) == "tapdisk[warning] ring.full\n");
    CHECK(logged([] { log::info("start"); }) == "tapdisk[info] start\n");
    CHECK(logged([] { log::debug("detail"); }) == "tapdisk[debug] detail\n");
}

TEST_CASE("log: what is below the level is not written", "[unit][base]") {
    log::configure("tapdisk", Level::warning, Sink::standard_error);
    CHECK(logged([] { log::info("start"); }).empty());
    CHECK_FALSE(logged([] { log::warning("ring.full"); }).empty());
    log::configure("tapdisk", Level::info, Sink::standard_error);
    CHECK(logged([] { log::debug("detail"); }).empty());
    log::set_level(Level::debug);
    CHECK(logged([] { log::debug("detail"); }) == "tapdisk[debug] detail\n");
    log::set_level(Level::error);
    CHECK(logged([] { log::warning("ring.full"); }).empty());
}

TEST_CASE("log: values that could be mistaken for something else are quoted", "[unit][base]") {
    log::configure("t", Level::info, Sink::standard_error);
    CHECK(logged_value("/plain,path@1:2+3%") == "t[info] event key=/plain,path@1:2+3%\n");
    CHECK(logged_value("") == "t[info] event key=\"\"\n");
    CHECK(logged_value("a=b") == "t[info] event key=\"a=b\"\n");
    CHECK(logged_value("two words") == "t[info] event key=\"two words\"\n");
    CHECK(logged_value("x level=error") == "t[info] event key=\"x level=error\"\n");
    CHECK(logged_value("a\"b\\c") == "t[info] event key=\"a\\\"b\\\\c\"\n");
}

TEST_CASE("log: a hostile value cannot begin a line, or reach the terminal", "[unit][base]") {
    log::configure("t", Level::info, Sink::standard_error);
    CHECK(logged_value("x\nt[error] forged") == "t[info] event key=\"x\\nt[error] forged\"\n");
    CHECK(logged_value("\r\x1b[2J\x7f") == "t[info] event key=\"\\x0d\\x1b[2J\\x7f\"\n");
    CHECK(logged_value(std::string("nul\0", 4)) == "t[info] event key=\"nul\\x00\"\n");
    CHECK(logged_value("\xc2\x85next") == "t[info] event key=\"\\xc2\\x85next\"\n");
    CHECK(logged_value("{} %s") == "t[info] event key=\"{} %s\"\n");
}

TEST_CASE("log: any byte stays inside its quotes", "[unit][base]") {
    log::configure("t", Level::info, Sink::standard_error);
    for (int byte = 0; byte < 256; ++byte) {
        const std::string line = logged_value(std::string(3, static_cast<char>(byte)));
        const std::string body = line.substr(0, line.size() - 1);
        REQUIRE(line.back() == '\n');
        for (const char character : body)
            REQUIRE((character >= ' ' && character <= '~'));
        if (body.find('"') != std::string::npos) CHECK(body.back() == '"');
    }
}

TEST_CASE("log: a value of more than 1 KiB is cut, so that no reader breaks the line", "[unit][base]") {
    log::configure("t", Level::info, Sink::standard_error);
    CHECK(logged_value(std::string(1024, 'a')) == "t[info] event key=" + std::string(1024, 'a') + "\n");
    CHECK(logged_value(std::string(100'000, 'a')) == "t[info] event key=\"" + std::string(1024, 'a') + "\"...\n");
}

TEST_CASE("log: a line that cannot be written is lost, without a trace in errno", "[unit][base]") {
    log::configure("t", Level::info, Sink::standard_error);
    const UniqueFd full{::open("/dev/full", O_WRONLY | O_CLOEXEC)};
    REQUIRE(full);
    int after = 0;
    logged([&] {
        ::dup2(full.get(), STDERR_FILENO);
        errno = EACCES;
        log::error("disk.full");
        after = errno;
    });
    std::clearerr(stderr);
    CHECK(after == EACCES);
    CHECK(logged([] { log::error("next"); }) == "t[error] next\n");
}

TEST_CASE("log: a process that may open nothing later keeps its connection to syslog", "[unit][base]") {
    const testing::TemporaryDirectory directory;
    const std::string path = directory.path("log");
    UniqueFd syslog_daemon(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(::bind(syslog_daemon.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    last_syslog = {};
    log::configure("t", Level::info, Sink::syslog);
    log::keep_open(path);
    log::warning("disk.full", {{"vbd", "3/51712"}});
    std::array<char, 256> text{};
    REQUIRE(::read(syslog_daemon.get(), text.data(), text.size()) > 0);
    CHECK(std::string(text.data()) == "<" + std::to_string(LOG_DAEMON | LOG_WARNING) + ">t: disk.full vbd=3/51712");
    CHECK(last_syslog.text.empty());
    syslog_daemon.reset();
    CHECK_NOTHROW(log::warning("nobody.listens"));
    CHECK(last_syslog.text.empty());
    log::configure("t", Level::info, Sink::standard_error);
}

TEST_CASE("log: syslog gets the line with its priority, and stderr nothing", "[unit][base]") {
    log::configure("t", Level::info, Sink::syslog);
    CHECK(logged([] { log::warning("disk.full", {{"vbd", "3/51712"}, {"path", "%n %s"}}); }).empty());
    CHECK(LOG_PRI(last_syslog.priority) == LOG_WARNING);
    CHECK(last_syslog.text == "disk.full vbd=3/51712 path=\"%n %s\"");
    logged([] { log::error("dead"); });
    CHECK(LOG_PRI(last_syslog.priority) == LOG_ERR);
    log::configure("t", Level::info, Sink::standard_error);
}

}  // namespace blktap
