// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tap_ctl/piece_joiner.hpp"

#include <string>
#include <vector>

#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::tap_ctl;

namespace {

std::vector<DiskPiece> joined(const std::vector<DiskPiece>& pieces) {
    std::vector<DiskPiece> result;
    PieceJoiner joiner{[&](const DiskPiece& piece) { result.push_back(piece); }};
    for (const DiskPiece& piece : pieces)
        joiner.add(piece);
    joiner.finish();
    return result;
}

}  // namespace

TEST_CASE("piece joiner: what is stored in one way is one piece", "[unit][control]") {
    const auto pieces = joined({{0, 512, "zero"}, {512, 512, "zero"}, {1024, 4096, "zero"}});
    REQUIRE(pieces.size() == 1);
    CHECK(pieces[0].offset == 0);
    CHECK(pieces[0].length == 5120);
    CHECK(joined({}).empty());
}

TEST_CASE("piece joiner: bytes that do not lie behind each other, or in one file, are apart", "[unit][control]") {
    CHECK(joined({{0, 512, "data", "/a", 4096}, {512, 512, "data", "/a", 4608}}).size() == 1);
    CHECK(joined({{0, 512, "data", "/a", 4096}, {512, 512, "data", "/a", 8192}}).size() == 2);
    CHECK(joined({{0, 512, "data", "/a", 4096}, {512, 512, "data", "/b", 4608}}).size() == 2);
    CHECK(joined({{0, 512, "data", "/a", 0}, {512, 512, "zero"}, {1024, 512, "data", "/a", 1024}}).size() == 3);
}

TEST_CASE("piece joiner: compressed data has no place on the disk's scale, and is joined all the same",
          "[unit][control]") {
    CHECK(joined({{0, 512, "compressed", "/a"}, {512, 512, "compressed", "/a"}}).size() == 1);
    CHECK(joined({{0, 512, "compressed", "/a"}, {512, 512, "data", "/a", 512}}).size() == 2);
}

TEST_CASE("piece joiner: a file's name is needed only while a piece is added", "[unit][control]") {
    std::vector<std::string> files;
    PieceJoiner joiner{[&](const DiskPiece& piece) { files.emplace_back(piece.file); }};
    std::string name = "/a";
    joiner.add({0, 512, "data", name, 0});
    name = "/b";
    joiner.add({512, 512, "data", name, 0});
    name = "/c";
    joiner.finish();
    CHECK(files == std::vector<std::string>{"/a", "/b"});
}
