// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// DriverHarness: everything that an image driver needs, with a loop that runs until a request is answered. For tests of
// drivers, and of code that needs a driver and no ring.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "drivers/registry.hpp"
#include "libblktap/base/assert.hpp"
#include "libblktap/base/clock.hpp"
#include "libblktap/base/event_loop.hpp"
#include "libblktap/driver_api/image_driver.hpp"
#include "libblktap/driver_api/scratch_memory.hpp"
#include "libblktap/files/local_image_opener.hpp"
#include "tests/support/catch.hpp"

namespace blktap::testing {

/// A request that records its answer. The caller owns its memory; its scratch is freed when it is answered, so that a
/// sanitizer finds later uses.
struct TestRequest : ImageRequest {
    TestRequest(Kind its_kind, SectorRange its_range, std::vector<iovec> memory = {}) : segments(std::move(memory)) {
        kind = its_kind;
        range = its_range;
        data = segments;
    }
    /// A request with one segment.
    TestRequest(Kind its_kind, SectorRange its_range, std::span<std::byte> memory)
        : TestRequest(its_kind, its_range, std::vector<iovec>{{memory.data(), memory.size()}}) {}
    TestRequest(const TestRequest&) = delete;
    TestRequest& operator=(const TestRequest&) = delete;

    void start_on(ImageDriver& driver) {
        prepare(driver);
        driver.start(*this);
    }
    void resize_on(ImageDriver& driver, std::uint64_t sectors) {
        prepare(driver);
        driver.resize(sectors, *this);
    }

    std::vector<iovec> segments;
    bool answered = false;
    std::error_code error;
    Retry retry = Retry::never;

  private:
    void prepare(ImageDriver& driver) {
        answered = false;
        scratch_memory_.emplace(driver, 1).add(*this);
        begin([](ImageRequest& request, std::error_code answer, Retry retry) noexcept {
            auto& self = static_cast<TestRequest&>(request);
            self.answered = true;
            self.error = answer;
            self.retry = retry;
            self.scratch_memory_.reset();
        });
    }
    std::optional<ScratchMemory> scratch_memory_;
};

/// Opens files that only an image names for writing, too: no guest writes the images of these tests.
class TrustingOpener final : public ImageOpener {
  public:
    UniqueFd open(const std::string& path, Access access, Caching caching) override {
        return files_.open(path, access, caching);
    }
    UniqueFd open_named(const std::string& path, const std::string&, Access access, Caching caching) override {
        return files_.open(path, access, caching);
    }

  private:
    LocalImageOpener files_;
};

class DriverHarness;

/// Closes a driver before it destroys it.
struct Closer {
    DriverHarness* harness = nullptr;
    void operator()(ImageDriver* driver) const;
};
/// An open image. The harness must outlive it.
using OpenDriver = std::unique_ptr<ImageDriver, Closer>;

class DriverHarness {
  public:
    /// Lifetime: `kernel` must outlive the harness; drivers and requests must not outlive it.
    explicit DriverHarness(AioKernel& kernel, unsigned worker_threads = 2)
        : io_(kernel),
          workers_(loop_, worker_threads),
          completions_(loop_, io_.completion_fd(), EPOLLIN | EPOLLET, [](auto) {}) {}
    DriverHarness() : DriverHarness(linux_kernel()) {}

    DriverContext context() { return {loop_, io_, workers_, files_}; }
    EventLoop& loop() { return loop_; }
    IoQueue& io() { return io_; }

    /// Errors: throws the error of the opening.
    OpenDriver open(const std::string& image, Access access = Access::read_write) {
        return open(image, access, all_drivers());
    }
    OpenDriver open(const std::string& image, Access access, const Registry& drivers) {
        std::optional<OpenResult> result;
        ImageOpening opening{[&](OpenResult ended) { result.emplace(std::move(ended)); }};
        drivers.open(parse_image_spec(image, access), context(), opening);
        run_until([&] { return result.has_value(); });
        if (const auto* const error = std::get_if<std::system_error>(&*result)) throw std::system_error(*error);
        return close_at_end(std::move(std::get<std::unique_ptr<ImageDriver>>(*result)));
    }
    /// Owns a driver that was made without the registry.
    OpenDriver close_at_end(std::unique_ptr<ImageDriver> driver) { return {driver.release(), Closer{this}}; }

    /// Runs the loop until `request`, already started, is answered.
    void finish(const TestRequest& request) {
        run_until([&] { return request.answered; });
    }
    template <class Over>
    void run_until(Over over) {
        for (;;) {
            io_.submit_staged();
            io_.reap();
            if (over()) return;
            if (io_.can_submit()) continue;
            loop_.run_once(io_.needs_retry_timer() ? std::chrono::milliseconds{1} : Nanoseconds{-1});
            if (io_.needs_retry_timer()) io_.retry();
        }
    }
    /// Runs one round of the loop without waiting.
    void step() {
        io_.submit_staged();
        io_.reap();
        loop_.run_once(Nanoseconds{0});
    }
    /// Starts `request` and runs the loop until it is answered.
    std::error_code run(ImageDriver& driver, TestRequest& request) {
        request.start_on(driver);
        finish(request);
        return request.error;
    }
    std::error_code read(ImageDriver& driver, SectorRange range, std::span<std::byte> memory) {
        TestRequest request{ImageRequest::Kind::read, range, memory};
        return run(driver, request);
    }
    std::error_code write(ImageDriver& driver, SectorRange range, std::span<std::byte> memory) {
        TestRequest request{ImageRequest::Kind::write, range, memory};
        return run(driver, request);
    }
    std::error_code flush(ImageDriver& driver) {
        TestRequest request{ImageRequest::Kind::flush, {}};
        return run(driver, request);
    }
    std::error_code discard(ImageDriver& driver, SectorRange range) {
        TestRequest request{ImageRequest::Kind::discard, range};
        return run(driver, request);
    }

  private:
    static AioKernel& linux_kernel() {
        static LinuxAioKernel kernel;
        return kernel;
    }

    MonotonicClock clock_;
    EventLoop loop_{clock_};
    TrustingOpener files_;
    IoQueue io_;
    WorkerPool workers_;
    EventLoop::Watch completions_;
};

inline void Closer::operator()(ImageDriver* driver) const {
    const std::unique_ptr<ImageDriver> closing{driver};
    bool closed = false;
    driver->close([&closed] { closed = true; });
    harness->run_until([&closed] { return closed; });
}

}  // namespace blktap::testing
