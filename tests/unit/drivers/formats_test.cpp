// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/formats/formats.hpp"

#include <algorithm>
#include <string>
#include <type_traits>
#include <vector>

#include "drivers/registry.hpp"
#include "tests/support/catch.hpp"

using namespace blktap;

namespace {

template <typename Name>
concept Registers = requires(Registry registry, Name name, OpenImage open) { registry.add(name, open); };

std::vector<std::string> names_of(bool (*wanted)(const Format&)) {
    std::vector<std::string> names;
    for (const Format* const format : all_formats()) {
        if (wanted(*format)) names.emplace_back(format->name);
    }
    return names;
}

}  // namespace

TEST_CASE("formats: a driver is registered with a description of its format, or not at all", "[unit][drivers]") {
    STATIC_REQUIRE(Registers<Format>);
    STATIC_REQUIRE_FALSE(Registers<const char*>);
    STATIC_REQUIRE_FALSE(Registers<std::string>);
}

TEST_CASE("formats: those that are described are those that can be opened", "[unit][drivers]") {
    const std::vector<const Format*> opened = all_drivers().formats();
    CHECK(std::ranges::equal(all_formats(), opened));
}

TEST_CASE("formats: each is found by its names, and no other by them", "[unit][drivers]") {
    for (const Format* const format : all_formats()) {
        CHECK(find_format(format->name) == format);
        CHECK(find_tap_type(format->tap_type) == format);
        // "raw" is nobody's tap type, and so may be written where one is wanted.
        const Format* const other = find_tap_type(format->name);
        CHECK((other == nullptr || other == format));
    }
    CHECK(find_format("aio") == nullptr);
    CHECK(find_format("") == nullptr);
    CHECK(find_tap_type("") == nullptr);
}

TEST_CASE("formats: which images may have other files opened", "[unit][drivers]") {
    // A format in this list lets a tapdisk that a guest took over read files below the folder of its image.
    CHECK(names_of([](const Format& format) { return format.names_other_files; }) ==
          std::vector<std::string>{"qcow2", "vhd"});
    CHECK(names_of([](const Format& format) { return !format.data_file_option.empty(); }) ==
          std::vector<std::string>{"qcow2"});
}

TEST_CASE("formats: a snapshot keeps no option that is about one image", "[unit][drivers]") {
    for (const Format* const format : all_formats()) {
        for (const std::string_view option : format->options_kept)
            CHECK((option != "size" && option != format->data_file_option));
    }
}
