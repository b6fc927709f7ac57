// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/soak/options.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <random>
#include <stdexcept>

#include "tests/crash/mortal/death.hpp"
#include "tests/support/places.hpp"

namespace blktap::soak {
namespace {

std::string text_of(const char* name, const std::string& otherwise) {
    const char* const text = std::getenv(name);
    return text == nullptr ? otherwise : text;
}

template <class Number>
Number number_of(const char* name, Number otherwise) {
    const std::string text = text_of(name, "");
    if (text.empty()) return otherwise;
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || number == 0)
        throw std::runtime_error(std::string(name) + "=" + text + ": not a positive number");
    return number;
}

std::string planted_fault() {
    std::string fault = text_of("BLKTAP_SOAK_PLANTED", "");
    if (!fault.empty() && std::ranges::find(mortal::faults, fault) == mortal::faults.end())
        throw std::runtime_error("BLKTAP_SOAK_PLANTED=" + fault + ": no fault of the mortal tapdisk");
    return fault;
}

}  // namespace

Options read_options() {
    Options options;
    options.seed = number_of<std::uint64_t>("BLKTAP_SEED", std::random_device{}());
    options.duration = std::chrono::seconds(number_of<std::int64_t>("BLKTAP_SOAK_SECONDS", 20));
    options.disks = number_of<unsigned>("BLKTAP_SOAK_DISKS", options.disks);
    options.actions = text_of("BLKTAP_SOAK_ACTIONS", "");
    options.planted = planted_fault();
    options.log = text_of("BLKTAP_SOAK_LOG", BLKTAP_TESTS_DIR "/soak.log");
    return options;
}

}  // namespace blktap::soak
