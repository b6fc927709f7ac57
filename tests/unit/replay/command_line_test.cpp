// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The program itself is run, as a user would; no tapdisk is needed for what is tested here.
#include <array>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <sys/wait.h>

#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"

using Catch::Contains;

namespace {

struct Result {
    int status;
    std::string output;
};

Result ring_replay(const std::string& arguments) {
    const std::string command = std::string(BLKTAP_BIN_DIR) + "/ring-replay " + arguments + " 2>&1";
    std::FILE* pipe = ::popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    Result result{};
    std::array<char, 4096> buffer;
    while (const std::size_t size = std::fread(buffer.data(), 1, buffer.size(), pipe))
        result.output.append(buffer.data(), size);
    result.status = WEXITSTATUS(::pclose(pipe));
    return result;
}

}  // namespace

TEST_CASE("ring-replay: help is enough to write a script, record and replay", "[unit][replay]") {
    const Result help = ring_replay("--help");
    CHECK(help.status == 0);
    for (const char* word : {"load", "read", "write", "script", "trace", "record", "--speed full"})
        CHECK_THAT(help.output, Contains(word));
    const Result script = ring_replay("script --help");
    CHECK(script.status == 0);
    for (const char* word : {"batch", "producer", "expect=A", "@GREF", "not-supported", "require", "reconnect"})
        CHECK_THAT(script.output, Contains(word));
}

TEST_CASE("ring-replay: errors are one line and exit status 2", "[unit][replay]") {
    const auto [arguments, message] = GENERATE(table<std::string, std::string>({
        {"load --tapdisk /nowhere/control", "ring-replay: /nowhere/control"},
        {"load --tapdisk /nowhere/control --size 100", "ring-replay: --size"},
        {"load --tapdisk /nowhere/control --range 5", "ring-replay: --range 5"},
        {"read --tapdisk /nowhere/control -o /nowhere/file", "ring-replay: /nowhere/file: No such file"},
        {"script /nowhere/script --tapdisk /nowhere/control", "ring-replay: /nowhere/script: No such file"},
        {"trace /nowhere/trace --print", "ring-replay: /nowhere/trace: No such file"},
        {"trace /nowhere/trace", "ring-replay: trace needs --tapdisk or --xenstore, or --print"},
        {"load", "ring-replay: one of --tapdisk and --xenstore is needed"},
        {"load --tapdisk x --xenstore y", "ring-replay: one of --tapdisk and --xenstore is needed"},
        {"load --xenstore /x --node y", "ring-replay: --node y"},
        {"load --xenstore /x", "ring-replay: xenstored: "},
        {"trace /nowhere/trace --tapdisk /nowhere/control --speed fast", "ring-replay: --speed fast"},
        {"record --tapdisk /nowhere/control -o /nowhere/file", "ring-replay: /nowhere/control"},
    }));
    CAPTURE(arguments);
    const Result result = ring_replay(arguments);
    CHECK(result.status == 2);
    CHECK_THAT(result.output, Catch::StartsWith(message));
    CHECK(std::count(result.output.begin(), result.output.end(), '\n') == 1);
}

TEST_CASE("ring-replay: wrong usage is exit status 2", "[unit][replay]") {
    const std::string arguments = GENERATE("", "dance", "load --tapdisk x --queues 17", "load --tapdisk x --mix all");
    CAPTURE(arguments);
    CHECK(ring_replay(arguments).status == 2);
}
