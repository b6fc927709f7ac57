// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// VbdHarness: a simulated machine in one process and one thread: a guest (domain 5) with rings and pages, a Vbd that
// serves them from an image, and a kernel whose I/O happens when the test allows it. For tests of disks, rings and the
// process around them.
//
//     VbdHarness machine;
//     GuestBuffer data = machine.pages(2);
//     machine.kernel().hold();
//     machine.send(machine.write(1, 0, data));     // answered only after machine.kernel().complete_next()
//
// There are no arbitrary sleeps: time is a ManualClock's, and waiting for a worker means waiting for its event. The
// loop makes a round only when the real one would not sleep, so that a lost wake-up shows up as a request without an
// answer.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "drivers/registry.hpp"
#include "tapdisk/vbd.hpp"
#include "tests/support/machine/sim_guest.hpp"
#include "tests/support/sim_aio_kernel.hpp"
#include "tests/support/temporary_directory.hpp"

namespace blktap::testing {

class VbdHarness : public SimGuest {
  public:
    struct Options {
        replay::FrontendOptions frontend{};  ///< domains are set by the harness
        std::uint64_t size_sectors = 16 * 1024;
        std::optional<std::uint64_t> file_sectors{};  ///< size of a file that is shorter than the disk
        std::string image_options{};                  ///< further options, "&name=value"
        std::string image{};                          ///< "FORMAT:..." instead of a file of `size_sectors`, buffered
        Access access = Access::read_write;
        unsigned aio_slots = IoQueue::default_slots;
        AioKernel* kernel = nullptr;  ///< instead of the simulated one
        Registry drivers = all_drivers();
        std::uint64_t seed = 1;  ///< of the simulated kernel
        bool connect = true;
        /// Called by the destructor, so that requests waiting in a test's own driver can end.
        std::function<void()> at_end = [] {};
    };

    VbdHarness() : VbdHarness(Options{}) {}
    /// Opens the image and connects.
    explicit VbdHarness(Options options);
    VbdHarness(const VbdHarness&) = delete;
    VbdHarness& operator=(const VbdHarness&) = delete;
    /// Ends requests under way, and checks that no page of the guest is mapped afterwards.
    ~VbdHarness();

    // The machine.

    ManualClock& clock() { return clock_; }
    EventLoop& loop() { return loop_; }
    /// Does operations as they are submitted, until told to hold().
    SimAioKernel& kernel() { return sim_kernel_; }
    Vbd& vbd() { return *vbd_; }
    const TemporaryDirectory& directory() const { return directory_; }
    const std::string& image_path() const { return image_path_; }
    const Options& options() const { return options_; }

    // Traffic.

    /// Runs one round of the loop without waiting, then takes answers. Returns true if an answer came.
    bool round();
    /// Runs one round, then more until the loop wants to sleep.
    /// Errors: throws std::runtime_error if it never does.
    void settle();
    /// Runs rounds, waiting for workers and a real kernel, until the condition holds.
    /// Errors: throws std::runtime_error if nothing happens for a long time.
    void run_until(const std::function<bool()>& condition);
    /// Sends a request, waits for the answer and returns its status.
    ring::Status run(const ring::RawRequest& request, unsigned queue = 0);

    // Control.

    void connect();
    /// A new tapdisk in place of the old one, which has shut down; it has no image. The file of its command line, for
    /// logs that nobody gives it, is that of the last connect().
    void replace_tapdisk();
    /// Makes the new one go on where the old one was: recovers, and adopts the guest's rings.
    /// `logs`: of local rings.
    void recover(std::vector<UniqueFd> logs = {});
    /// Calls `start` with a Vbd::Done and waits until it is called.
    template <class Start>
    std::error_code finish(Start start) {
        std::optional<std::error_code> result;
        start([&result](std::error_code error) { result = error; });
        run_until([&result] { return result.has_value(); });
        return *result;
    }
    std::error_code pause() {
        return finish([this](Vbd::Done done) { vbd_->pause(std::move(done)); });
    }
    std::error_code disconnect(ipc::RingsLeft rings = ipc::RingsLeft::untouched) {
        return finish([this, rings](Vbd::Done done) { vbd_->disconnect("", rings, std::move(done)); });
    }
    std::error_code close() {
        return finish([this](Vbd::Done done) { vbd_->close(std::move(done)); });
    }
    std::error_code shut_down() {
        return finish([this](Vbd::Done done) { vbd_->shut_down(std::move(done)); });
    }
    void resume() { resume(std::nullopt, nullptr); }
    void resume(const std::optional<ImageSpec>& image, std::unique_ptr<ImageOpener> files) {
        opened([&](Vbd::Opened done) { vbd_->resume(image, std::move(files), std::move(done)); });
    }
    void open(const ImageSpec& image, std::unique_ptr<ImageOpener> files) {
        opened([&](Vbd::Opened done) { vbd_->open(image, std::move(files), std::move(done)); });
    }
    /// Calls `start` with a Vbd::Opened and waits until it is called. Errors: throws the error of the opening.
    template <class Start>
    void opened(Start start) {
        bool over = false;
        std::optional<std::system_error> failed;
        start([&](const std::system_error* error) {
            over = true;
            if (error != nullptr) failed.emplace(*error);
        });
        if (!over) run_until([&over] { return over; });
        if (failed) throw std::system_error(*failed);
    }
    /// Resumes a paused disk on a copy of its image, as if the image had been moved.
    void relink();

    // What can be seen.

    /// Returns a counter of stats()["connection"] by its JSON pointer: "/parked".
    std::uint64_t counter(const std::string& pointer) const;
    /// Returns the contents of the recovery log of the last connect().
    LogContents log() const;
    std::vector<std::uint64_t> logged_ids() const;
    const UniqueFd& log_file() const { return log_file_; }
    /// Returns bytes of the image file, bypassing tapdisk.
    std::vector<std::byte> image_bytes(SectorRange range) const;

  private:
    std::string image_name() const;
    bool would_sleep() const;

    TemporaryDirectory directory_;
    std::string image_path_;
    ManualClock clock_;
    const int epoll_fd_;  ///< of loop_, which does not expose it
    EventLoop loop_;
    bool turn_again_ = false;
    SimAioKernel sim_kernel_;
    const Options options_;
    unsigned relinks_ = 0;
    std::optional<Vbd> vbd_;
    UniqueFd log_file_;
    ipc::DeviceDescription told_;  ///< to the guest, when it connected
};

}  // namespace blktap::testing
