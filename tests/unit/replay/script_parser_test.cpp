// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//

#include "tests/replay/script/script.hpp"
#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::replay;
using Kind = ScriptStatement::Kind;
using Page = ScriptSegment::Page;

namespace {

ScriptRequest one(const std::string& line) {
    const Script script = parse_script("test", line);
    REQUIRE(script.statements.size() == 1);
    REQUIRE(script.statements[0].requests.size() == 1);
    return script.statements[0].requests[0];
}

std::string error_of(const std::string& text) {
    try {
        parse_script("test", text);
    } catch (const ScriptError& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("script: a request has its line's number as id, and okay as its answer", "[unit][replay]") {
    const Script script = parse_script("test", "# nothing\n\n  flush  # here\n");
    REQUIRE(script.statements.size() == 1);
    const ScriptRequest& flush = script.statements[0].requests[0];
    CHECK(flush.line == 3);
    CHECK(flush.id == 3);
    CHECK(flush.operation == 3);
    CHECK(flush.answer == Answer::okay);
}

TEST_CASE("script: every field of a request can be said", "[unit][replay]") {
    const ScriptRequest request =
        one("raw operation=9 id=0xffffffffffffffff queue=0 handle=65535 sector=0xfffffffffffffff8 sectors=5 flag=255 "
            "inner=write nr_segments=255 segments=3-1,0-255*2@0xffff,0-7@read-only refs=1,2 fill=A expect=B -> "
            "not-supported");
    CHECK(request.operation == 9);
    CHECK(request.id == 0xffffffffffffffff);
    CHECK(request.handle == 65535);
    CHECK(request.sector == 0xfffffffffffffff8);
    CHECK(request.sectors == 5);
    CHECK(request.flag == 255);
    CHECK(request.inner == 1);
    CHECK(request.segment_count == 255);
    REQUIRE(request.segments.size() == 4);
    CHECK(request.segments[0].first == 3);
    CHECK(request.segments[0].last == 1);
    CHECK(request.segments[0].page == Page::writable);
    CHECK(request.segments[2].last == 255);
    CHECK(request.segments[2].page == Page::gref);
    CHECK(request.segments[2].gref == 0xffff);
    CHECK(request.segments[3].page == Page::read_only);
    CHECK(request.descriptor_refs == std::vector<std::uint32_t>{1, 2});
    CHECK(request.fill == "A");
    CHECK(request.expect == "B");
    CHECK(request.answer == Answer::not_supported);
}

TEST_CASE("script: an indirect request is answered under its inner operation", "[unit][replay]") {
    const ScriptRequest request = one("indirect inner=write sector=8 segments=0-7*20,0-0 -> error");
    CHECK(request.operation == 6);
    CHECK(request.answered_operation() == 1);
    CHECK(request.segment_count == 21);
}

TEST_CASE("script: a secure discard", "[unit][replay]") {
    CHECK(one("discard sector=0 sectors=8 secure").flag == 1);
    CHECK(one("discard sector=0 sectors=8").flag == 0);
}

TEST_CASE("script: a batch is one statement", "[unit][replay]") {
    const Script script = parse_script("test", "batch\n read segments=0-7\n flush -> none\nend\nflush");
    REQUIRE(script.statements.size() == 2);
    CHECK(script.statements[0].requests.size() == 2);
    CHECK(script.statements[0].requests[1].answer == Answer::none);
}

TEST_CASE("script: the ring, the layouts and what the disk must be", "[unit][replay]") {
    const Script script = parse_script("test",
                                       "ring protocol=x86_32 order=2 queues=3 persistent=yes discard=no\n"
                                       "require size-sectors>=100 size-sectors<=0x100 read-only=no indirect=32\n"
                                       "flush queue=2\n");
    CHECK(script.ring.protocols == std::vector{ring::Protocol::x86_32});
    CHECK(script.ring.order == 2);
    CHECK(script.ring.queues == 3);
    CHECK(script.ring.persistent);
    CHECK(!script.ring.discard);
    REQUIRE(script.requirements.size() == 4);
    CHECK(script.requirements[1].relation == ScriptRequirement::Relation::at_most);
    CHECK(script.requirements[1].value == 256);
    CHECK(script.requirements[2].property == "read-only");
    CHECK(script.requirements[2].value == 0);
    CHECK(parse_script("test", "protocols all").ring.protocols.size() == 3);
}

TEST_CASE("script: statements without requests", "[unit][replay]") {
    const Script script = parse_script(
        "test", "ring queues=2\nproducer +600 queue=1\nproducer -1\nexpect-none\nstopped queue=1\nreconnect\n");
    REQUIRE(script.statements.size() == 5);
    CHECK(script.statements[0].kind == Kind::producer);
    CHECK(script.statements[0].offset == 600);
    CHECK(script.statements[0].queue == 1);
    CHECK(script.statements[1].offset == 0xffffffff);
    CHECK(script.statements[2].kind == Kind::expect_none);
    CHECK(script.statements[3].kind == Kind::stopped);
    CHECK(script.statements[4].kind == Kind::reconnect);
}

TEST_CASE("script: mistakes are named with their line", "[unit][replay]") {
    const auto [text, error] = GENERATE(table<std::string, std::string>({
        {"fluhs", "test:1: unknown word 'fluhs'"},
        {"\n\nflush sectr=1", "test:3: 'sectr=1' is no field of flush"},
        {"read fill=A", "test:1: 'fill=A' is no field of read"},
        {"write expect=A", "test:1: 'expect=A' is no field of write"},
        {"flush secure", "test:1: 'secure' is no field of flush"},
        {"read sector", "test:1: 'sector' is no field of read"},
        {"read sector=-1", "test:1: '-1' is not a number from 0 to 18446744073709551615"},
        {"read sector=18446744073709551616", "is not a number"},
        {"read sector=0x", "is not a number"},
        {"read segments=0", "test:1: a segment is FIRST-LAST, not '0'"},
        {"read segments=0-256", "is not a number from 0 to 255"},
        {"read segments=0-7*5000", "is not a number from 0 to 4096"},
        {"read segments=0-7*4096,0-7", "more than 4096 segments"},
        {"read segments=0-7,", "a segment is FIRST-LAST"},
        {"raw nr_segments=256", "nr_segments is one byte"},
        {"read segments=0-7*256", "nr_segments is one byte"},
        {"write fill=two.words", "a pattern's name"},
        {"write fill=", "a pattern's name"},
        {"flush -> perhaps", "'perhaps' is not okay, error, not-supported, any or none"},
        {"flush ->", "after -> comes one answer"},
        {"flush -> okay okay", "after -> comes one answer"},
        {"flush queue=1", "queue 1: the ring has 1"},
        {"stopped queue=1", "queue 1: the ring has 1"},
        {"expect-none queue=0", "is too much here"},
        {"producer 600", "producer needs +N or -N"},
        {"producer", "producer needs +N or -N"},
        {"batch\nflush", "test:1: a batch without its end"},
        {"end", "an end without its batch"},
        {"batch\nend now", "test:2: end stands alone"},
        {"batch\nbatch", "inside a batch: only requests are"},
        {"batch\nring order=1", "inside a batch"},
        {"batch now", "batch stands alone"},
        {"flush\nring order=1", "test:2: 'ring' belongs before the requests"},
        {"ring order=5", "is not a number from 0 to 4"},
        {"ring queues=0", "a disk has at least one queue"},
        {"ring queues=17", "is not a number from 0 to 16"},
        {"ring protocol=arm", "'arm' is not x86_64, x86_32 or native"},
        {"ring persistent=maybe", "neither yes nor no"},
        {"ring colour=red", "ring has no 'colour'"},
        {"protocols", "protocols needs"},
        {"require size-sectors", "has no =, >= or <="},
        {"require size-sectors>5", "only =, >= and <="},
        {"require colour=red", "a disk has no 'colour'"},
        {"indirect refs=1,2,3,4,5,6,7,8,9", "room for 8"},
    }));
    CAPTURE(text);
    CHECK_THAT(error_of(text), Catch::Contains(error));
}

TEST_CASE("script: what a statement needs of memory is bounded", "[unit][replay]") {
    std::string text = "batch\n";
    for (int i = 0; i < 9; ++i)
        text += "indirect inner=read segments=0-7*4096\n";
    CHECK_THAT(error_of(text + "end\n"), Catch::Contains("test:9: needs more than 32768 pages"));
}

TEST_CASE("script: an empty one and one without a last newline are scripts", "[unit][replay]") {
    CHECK(parse_script("test", "").statements.empty());
    CHECK(parse_script("test", "flush").statements.size() == 1);
    CHECK(parse_script("test", "flush\r\n").statements.size() == 1);
}
