// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// docs/control-protocol.md agrees with the code: the parsers accept its examples, and its table has every error.
#include <fstream>
#include <map>

#include "libblktap/ipc/messages.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"

namespace blktap::ipc {
namespace {

std::vector<std::string> page_lines() {
    std::ifstream page(BLKTAP_SOURCE_DIR "/docs/control-protocol.md");
    std::vector<std::string> lines;
    for (std::string line; std::getline(page, line);)
        lines.push_back(line);
    return lines;
}

/// The messages in the page's JSON blocks; each begins a line.
std::vector<std::string> examples() {
    std::vector<std::string> messages;
    bool inside = false;
    for (const std::string& line : page_lines()) {
        if (line.starts_with("```")) {
            inside = line == "```json";
        } else if (inside && line.starts_with("{")) {
            messages.push_back(line);
        } else if (inside) {
            messages.back() += line;
        }
    }
    return messages;
}

template <class T>
void read_as(const Json& arguments) {
    CHECK_NOTHROW(arguments.get<T>());
}

using Readers = std::map<std::string, void (*)(const Json&)>;

Readers readers_of_all() {
    Readers readers;
    const auto add = [&]<DeclaredMessage M> { readers[M::name] = read_as<M>; };
    TapdiskMessages::each(add);
    ControllerMessages::each(add);
    return readers;
}

const Readers readers = readers_of_all();

}  // namespace

TEST_CASE("protocol page: has an example of every request, and every example is valid", "[unit][ipc]") {
    std::map<std::string, int> seen;
    for (const std::string& text : examples()) {
        INFO(text);
        const Parsed parsed = parse_message({text, {}});
        if (parsed.reply && !parsed.reply->error_code.empty()) {
            CHECK(error_code_name(error_code_named(parsed.reply->error_code)) == parsed.reply->error_code);
        } else if (parsed.reply && parsed.reply->result.contains("files")) {
            read_as<FilesResult>(parsed.reply->result);
        } else if (parsed.reply && parsed.reply->result.contains("problems")) {
            read_as<Problems>(parsed.reply->result);
        } else if (parsed.reply && parsed.reply->result.contains("discard-max-bytes")) {
            read_as<OpenFileResult>(parsed.reply->result);
        } else if (parsed.reply && parsed.reply->result.contains("protocol")) {
            read_as<AboutResult>(parsed.reply->result);
        } else if (parsed.reply && !parsed.reply->result.empty()) {
            read_as<DeviceDescription>(parsed.reply->result);
        } else if (parsed.request) {
            ++seen[parsed.request->name];
            REQUIRE(readers.contains(parsed.request->name));
            CHECK_NOTHROW(readers.at(parsed.request->name)(parsed.request->arguments));
        }
    }
    CHECK(seen.size() == readers.size());
}

TEST_CASE("protocol page: has every error code of ours", "[unit][ipc]") {
    const auto lines = page_lines();
    for (int value = 1; value <= static_cast<int>(Errc::peer_closed); ++value) {
        const std::string row = "| `" + error_code_name(static_cast<Errc>(value)) + "` |";
        INFO(row);
        CHECK(std::any_of(lines.begin(), lines.end(), [&](const std::string& line) { return line.starts_with(row); }));
    }
}

}  // namespace blktap::ipc
