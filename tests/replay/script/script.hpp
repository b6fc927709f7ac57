// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A replay script: requests, any field of which may hold any value, and the answers that must come. The language is
// described in docs/formats/replay-script.md. Parsing only; script_runner.hpp runs it.
//
// Tested by tests/unit/replay/script_parser_test.cpp, tests/fuzz/fuzz_script.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "libblktap/ring/wire.hpp"

namespace blktap::replay {

/// A script that cannot be understood: "FILE:LINE: ...".
class ScriptError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

inline constexpr std::size_t script_segments_max = 4096;  ///< of a request: 8 pages of descriptors
inline constexpr std::size_t script_pages_max = 32768;    ///< of a statement: 128 MiB to be granted

enum class Answer : std::uint8_t { okay, error, not_supported, any, none };

struct ScriptSegment {
    enum class Page : std::uint8_t {
        writable,   ///< a page of ours
        read_only,  ///< a page of ours that the backend may only read
        gref,       ///< whatever is behind `gref`
    };
    std::uint8_t first = 0;
    std::uint8_t last = 7;
    Page page = Page::writable;
    std::uint32_t gref = 0;
};

struct ScriptRequest {
    unsigned line = 0;
    unsigned queue = 0;
    std::uint64_t id = 0;  ///< the line number unless the script says
    std::uint8_t operation = 0;
    std::uint8_t inner = 0;  ///< of an indirect request
    std::uint8_t flag = 0;   ///< of a discard
    std::uint16_t handle = 0;
    std::uint16_t segment_count = 0;  ///< that of `segments` unless the script says
    std::uint64_t sector = 0;
    std::uint64_t sectors = 0;  ///< of a discard
    std::vector<ScriptSegment> segments;
    std::vector<std::uint32_t> descriptor_refs;  ///< instead of the pages that hold an indirect request's segments
    std::string fill;                            ///< pattern written into the pages before; empty: poison
    std::string expect;                          ///< pattern that the pages must hold afterwards; empty: not looked at
    Answer answer = Answer::okay;

    bool indirect() const noexcept { return operation == static_cast<std::uint8_t>(ring::Operation::indirect); }
    std::uint8_t answered_operation() const noexcept { return indirect() ? inner : operation; }
};

struct ScriptStatement {
    enum class Kind : std::uint8_t {
        requests,     ///< put all of `requests`, publish once, wait for every answer
        producer,     ///< store the request producer plus `offset`, and notify
        expect_none,  ///< no answer comes for a while
        stopped,      ///< even a good request gets no answer
        reconnect,    ///< disconnect, and connect with fresh rings
    };
    Kind kind = Kind::requests;
    unsigned line = 0;
    unsigned queue = 0;
    std::uint32_t offset = 0;
    std::vector<ScriptRequest> requests{};
};

/// "require size-sectors>=8192": what the disk must be for the script to mean anything.
struct ScriptRequirement {
    enum class Relation : std::uint8_t { equal, at_least, at_most };
    unsigned line = 0;
    std::string property;
    Relation relation = Relation::equal;
    std::uint64_t value = 0;
};

struct ScriptRing {
    std::vector<ring::Protocol> protocols{ring::Protocol::native};  ///< the script runs once in each
    unsigned order = 0;
    unsigned queues = 1;
    bool persistent = false;
    bool discard = true;  ///< what the toolstack would say of discard
};

struct Script {
    std::string name;
    ScriptRing ring;
    std::vector<ScriptRequirement> requirements;
    std::vector<ScriptStatement> statements;
};

/// Parses the whole text; `name` is for messages. Errors: throws ScriptError, and nothing else but std::bad_alloc.
Script parse_script(const std::string& name, std::string_view text);
/// Errors: throws ScriptError; std::system_error when the file cannot be read.
Script load_script(const std::string& path);

/// "okay", "error", "not-supported", or the status's number.
std::string answer_name(ring::Status status);
std::string answer_name(Answer answer);

}  // namespace blktap::replay
