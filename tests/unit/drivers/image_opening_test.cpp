// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The opening of images: success, failure, cancelling.
#include "libblktap/driver_api/image_opening.hpp"

#include "drivers/registry.hpp"
#include "libblktap/base/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/images/driver_harness.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

struct Driver final : ImageDriver {
    explicit Driver(int& count) : open_count(count) { ++open_count; }
    ~Driver() override { --open_count; }
    const ImageInfo& info() const noexcept override { return its_info; }
    void start(ImageRequest&) noexcept override {}
    void close(Closed closed) noexcept override { closing = std::move(closed); }
    int& open_count;
    Closed closing;
    ImageInfo its_info;
};

/// An opening and its result.
struct Attempt {
    std::unique_ptr<ImageDriver> driver;
    std::optional<std::system_error> error;
    int ended = 0;
    ImageOpening opening{[this](OpenResult result) {
        ++ended;
        if (const auto* const why = std::get_if<std::system_error>(&result)) {
            error.emplace(*why);
        } else {
            driver = std::move(std::get<std::unique_ptr<ImageDriver>>(result));
        }
    }};
};

}  // namespace

TEST_CASE("image opening: hands out the driver, or the reason", "[unit][drivers]") {
    int open = 0;
    Attempt good;
    good.opening.succeed(std::make_unique<Driver>(open));
    CHECK(good.driver != nullptr);
    Attempt bad;
    bad.opening.fail({Errc::image_invalid, "/x: no image"});
    REQUIRE(bad.error);
    CHECK(bad.error->code() == Errc::image_invalid);
}

TEST_CASE("image opening: one that is cancelled and cannot stop is closed when it is open", "[unit][drivers]") {
    int open = 0;
    Attempt attempt;
    attempt.opening.cancel();
    CHECK(attempt.ended == 0);
    auto owned = std::make_unique<Driver>(open);
    Driver& driver = *owned;
    attempt.opening.succeed(std::move(owned));
    CHECK(attempt.ended == 0);
    CHECK(open == 1);
    const auto closing = driver.closing;
    closing();
    CHECK(open == 0);
    REQUIRE(attempt.error);
    CHECK(attempt.error->code() == std::errc::operation_canceled);
}

TEST_CASE("image opening: tells the driver once that nobody wants the image any more", "[unit][drivers]") {
    Attempt attempt;
    int told = 0;
    attempt.opening.on_cancel([&] { ++told; });
    attempt.opening.cancel();
    attempt.opening.cancel();
    CHECK(told == 1);
    attempt.opening.fail(opening_cancelled());
    CHECK(attempt.ended == 1);
}

TEST_CASE("registry: what a driver throws while it opens is how the opening ends", "[unit][drivers]") {
    static constexpr Format format{.name = "odd", .tap_type = "odd"};
    Registry registry;
    registry.add(format, [](const ImageSpec& spec, const DriverContext&, ImageOpening&) {
        if (spec.path == "memory") throw std::bad_alloc{};
        throw_error(Errc::image_invalid, spec.path);
    });
    DriverHarness harness;
    Attempt invalid;
    registry.open({"odd", "/x", Access::read_only, {}}, harness.context(), invalid.opening);
    REQUIRE(invalid.error);
    CHECK(invalid.error->code() == Errc::image_invalid);
    Attempt memory;
    registry.open({"odd", "memory", Access::read_only, {}}, harness.context(), memory.opening);
    REQUIRE(memory.error);
    CHECK(memory.error->code() == std::errc::not_enough_memory);
}
