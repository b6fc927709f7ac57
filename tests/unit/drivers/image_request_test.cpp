// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The life of a request to a driver, and of its scratch.
#include <csignal>
#include <deque>
#include <sys/wait.h>
#include <unistd.h>

#include "libblktap/driver_api/image_driver.hpp"
#include "libblktap/driver_api/scratch_memory.hpp"
#include "tests/support/catch.hpp"

using namespace blktap;

namespace {

struct alignas(64) Wide {
    explicit Wide(int& count) : alive(count) { ++alive; }
    ~Wide() { --alive; }
    Wide(const Wide&) = delete;
    Wide& operator=(const Wide&) = delete;
    int& alive;
    char bytes[100];
};

class WideDriver final : public ImageDriver {
  public:
    const ImageInfo& info() const noexcept override { return info_; }
    ScratchSize scratch_size() const noexcept override { return ScratchSize::of<Wide>(); }
    void make_scratch(ImageRequest& request) noexcept override { request.make_scratch<Wide>(alive); }
    void end_scratch(ImageRequest& request) noexcept override { request.end_scratch<Wide>(); }
    void start(ImageRequest&) noexcept override {}
    int alive = 0;

  private:
    ImageInfo info_;
};

constexpr auto nobody = [](ImageRequest&, std::error_code, Retry) noexcept {};

/// Whether `code` aborts the process.
template <class Code>
bool aborts(Code code) {
    const pid_t child = ::fork();
    if (child == 0) {
        std::signal(SIGABRT, SIG_DFL);
        ::close(STDERR_FILENO);
        code();
        ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

}  // namespace

TEST_CASE("image request: each has its own scratch, aligned, as long as its memory lives", "[unit][drivers]") {
    WideDriver driver;
    std::deque<ImageRequest> requests(5);
    {
        ScratchMemory memory{driver, requests.size()};
        for (ImageRequest& request : requests)
            memory.add(request);
        CHECK(driver.alive == 5);
        for (std::size_t i = 0; i < requests.size(); ++i) {
            const auto place = reinterpret_cast<std::uintptr_t>(&requests[i].scratch<Wide>());
            CHECK(place % 64 == 0);
            for (std::size_t other = 0; other < i; ++other)
                CHECK(place - reinterpret_cast<std::uintptr_t>(&requests[other].scratch<Wide>()) >= sizeof(Wide));
        }
    }
    CHECK(driver.alive == 0);
    // The same requests, for another image.
    ScratchMemory again{driver, requests.size()};
    again.add(requests.front());
    CHECK(driver.alive == 1);
}

TEST_CASE("image request: a filter's scratch has room for its child's behind it", "[unit][drivers]") {
    constexpr ScratchSize ours{24, 8};
    constexpr ScratchSize wide = ScratchSize::of<Wide>();
    CHECK(ours.offset_of(wide) == 64);
    CHECK(ours.followed_by(wide).bytes == 64 + sizeof(Wide));
    CHECK(ours.followed_by(wide).alignment == 64);
    CHECK(ours.followed_by(ScratchSize{}).bytes == 24);
    CHECK(ours.followed_by(ScratchSize{1, 1}).stride() == 32);
}

TEST_CASE("image request: a second answer, or none, is found at once", "[unit][drivers]") {
    CHECK(aborts([] {
        ImageRequest request;
        request.begin(nobody);
        request.complete();
        request.complete();
    }));
    CHECK(aborts([] {
        ImageRequest request;
        request.begin(nobody);
    }));
    CHECK(aborts([] {
        ImageRequest request;
        request.begin(nobody);
        request.begin(nobody);
    }));
    CHECK(aborts([] {
        WideDriver driver;
        ImageRequest request;
        ScratchMemory memory{driver, 1};
        memory.add(request);
        request.begin(nobody);
    }));
    CHECK_FALSE(aborts([] {
        ImageRequest request;
        request.begin(nobody);
        request.complete();
        request.begin(nobody);
        request.complete();
    }));
}

TEST_CASE("image request: may be sent again from inside its answer", "[unit][drivers]") {
    ImageRequest request;
    request.begin([](ImageRequest& its, std::error_code error, Retry retry) noexcept {
        CHECK(error == std::errc::not_connected);
        CHECK(retry == Retry::when_healthy);
        its.begin(nobody);
    });
    request.complete(std::make_error_code(std::errc::not_connected), Retry::when_healthy);
    CHECK(request.under_way());
    request.complete();
}
