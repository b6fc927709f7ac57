// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/vbd_address.hpp"

#include "tests/support/catch.hpp"

using namespace blktap::ipc;

TEST_CASE("vbd address: a device's name and its number are those of Xen's documentation", "[unit][ipc]") {
    const auto [name, number] = GENERATE(table<std::string, std::uint32_t>({
        {"xvda", 51712},
        {"xvda1", 51713},
        {"xvda15", 51727},
        {"xvda16", 1u << 28 | 16},
        {"xvdb", 51728},
        {"xvdp", 51952},
        {"xvdp15", 51967},
        {"xvdq", 1u << 28 | 16 << 8},
        {"xvdq3", 1u << 28 | 16 << 8 | 3},
        {"xvdz", 1u << 28 | 25 << 8},
        {"xvdaa", 1u << 28 | 26 << 8},
        {"xvdzz", 1u << 28 | 701 << 8},
        {"xvdaaa", 1u << 28 | 702 << 8},
        {"hda", 3 << 8},
        {"hdb1", 3 << 8 | 65},
        {"hdc", 22 << 8},
        {"hdd63", 22 << 8 | 127},
        {"sda", 8 << 8},
        {"sdb1", 8 << 8 | 17},
        {"sdp15", 8 << 8 | 255},
        {"51712", 51712},
        {"0xca00", 51712},
        {"0", 0},
    }));
    CAPTURE(name);
    CHECK(device_number(name) == number);
}

TEST_CASE("vbd address: what names no device has no number", "[unit][ipc]") {
    const std::string name =
        GENERATE("", "xvd", "xvda0", "xvda01", "xvda256", "xvda-1", "xvda1x", "XVDA", "xvdA", "xvda ", " xvda", "hde",
                 "hda64", "sdq", "sda16", "sd", "hd1", "vda", "nvme0", "-1", "+1", "0x", "0xg", "4294967296", "1 ",
                 "xvdaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "xvda99999999999999999999");
    CAPTURE(name);
    CHECK(device_number(name) == std::nullopt);
}

TEST_CASE("vbd address: the last disk that a number can name is the last", "[unit][ipc]") {
    CHECK(device_number(device_name(1u << 28 | 0xfffff << 8)) == (1u << 28 | 0xfffff << 8));
    CHECK(device_number("zzzzz") == std::nullopt);
}

TEST_CASE("vbd address: every xvd number has a name that gives the number back", "[unit][ipc]") {
    for (std::uint32_t device = 51712; device < 51712 + 256; ++device)
        REQUIRE(device_number(device_name(device)) == device);
    for (std::uint32_t disk = 16; disk < 5000; disk += 7)
        REQUIRE(device_number(device_name(1u << 28 | disk << 8 | disk % 256)) == (1u << 28 | disk << 8 | disk % 256));
}

TEST_CASE("vbd address: a number that is no xvd device is its own name", "[unit][ipc]") {
    CHECK(device_name(51712) == "xvda");
    CHECK(device_name(51713) == "xvda1");
    CHECK(device_name(768) == "768");
    CHECK(device_name(1u << 29) == "536870912");
    CHECK(device_name(0) == "0");
}

TEST_CASE("vbd address: names its directory, itself and its files", "[unit][ipc]") {
    const VbdAddress vbd{VbdAddress::Kind::vbd, 5, 51712};
    CHECK(vbd.backend_path() == "backend/vbd/5/51712");
    CHECK(vbd.name() == "5/51712");
    CHECK(vbd.file_name() == "5-51712");
    CHECK(VbdAddress{VbdAddress::Kind::vbd3, 32751, 268439552}.backend_path() == "backend/vbd3/32751/268439552");
}

TEST_CASE("vbd address: a path in a backend directory is taken apart", "[unit][ipc]") {
    const auto [path, kind, below] = GENERATE(table<std::string, VbdAddress::Kind, std::string>({
        {"backend/vbd/5/51712", VbdAddress::Kind::vbd, ""},
        {"backend/vbd3/5/51712", VbdAddress::Kind::vbd3, ""},
        {"backend/vbd3/5/51712/state", VbdAddress::Kind::vbd3, "state"},
        {"backend/vbd/5/51712/tapdisk/owner", VbdAddress::Kind::vbd, "tapdisk/owner"},
    }));
    CAPTURE(path);
    const auto node = parse_backend_path(path);
    REQUIRE(node);
    CHECK(node->vbd == VbdAddress{kind, 5, 51712});
    CHECK(node->below == below);
}

TEST_CASE("vbd address: other paths are not of a VBD", "[unit][ipc]") {
    const std::string path =
        GENERATE("", "backend", "backend/", "backend/vbd", "backend/vbd/5", "backend/vbd/5/", "backend/vbd3/5/x",
                 "backend/vbd3//51712", "backend/vbd3/05/51712", "backend/vbd3/5/051712", "backend/vbd3/+5/51712",
                 "backend/vbd3/-5/51712", "backend/vbd3/32752/51712", "backend/vbd3/65541/51712",
                 "backend/vbd3/5/4294967296", "backend/vbd3/5/51712x", "backend/vbd3/5/ 51712", "backend/vif/5/0",
                 "backend/qdisk/5/51712", "/backend/vbd3/5/51712", "/local/domain/0/backend/vbd3/5/51712",
                 "frontend/vbd3/5/51712", "backend/vbd33/5/51712");
    CAPTURE(path);
    CHECK_FALSE(parse_backend_path(path));
}

TEST_CASE("vbd address: what it writes it reads", "[unit][ipc]") {
    const VbdAddress vbd{VbdAddress::Kind::vbd3, GENERATE(as<std::uint16_t>(), 0, 1, 32751),
                         GENERATE(as<std::uint32_t>(), 0, 51712, 4294967295)};
    const auto node = parse_backend_path(vbd.backend_path());
    REQUIRE(node);
    CHECK(node->vbd == vbd);
}

TEST_CASE("vbd address: only a mode with w lets a disk be written", "[unit][ipc]") {
    CHECK_FALSE(is_read_only_mode("w"));
    CHECK_FALSE(is_read_only_mode("w!"));  // xl: shared with others who write
    CHECK(is_read_only_mode("r"));
    CHECK(is_read_only_mode(""));
    CHECK(is_read_only_mode(std::nullopt));
}
