// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tap_ctl/sha256.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace blktap::tap_ctl {

TEST_CASE("sha256: the standard's examples", "[unit][control]") {
    CHECK(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(sha256(std::string(1000000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("sha256: agrees with sha256sum at every length around a block", "[unit][control]") {
    const testing::TemporaryDirectory directory;
    std::string expected;
    std::vector<std::string> command{"/usr/bin/sha256sum"};
    for (std::size_t length = 50; length < 135; ++length) {
        const std::string path = directory.make_file(std::to_string(length), length);  // zeros
        command.push_back(path);
        expected += sha256(std::string(length, '\0')) + "  " + path + '\n';
    }
    REQUIRE(testing::run(command, {.output = directory.path("sums")}, std::chrono::seconds(20)) == 0);
    CHECK(testing::read_file(directory.path("sums")) == expected);
}

}  // namespace blktap::tap_ctl
