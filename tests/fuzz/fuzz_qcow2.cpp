// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Fuzzes the qcow2 driver: the bytes are an image file, and every backing file that it names. It is opened for reading
// and for writing, read, written, discarded and flushed here and there. Whatever the tables say, nothing crashes, hangs
// or asserts; a write that succeeded is read back; and it has not gone over a table, so that the image, closed, can be
// opened again.
#include <algorithm>
#include <array>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

#include "drivers/qcow2/qcow2_driver.hpp"
#include "libblktap/base/assert.hpp"
#include "libblktap/base/clock.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/event_loop.hpp"
#include "libblktap/base/log.hpp"
#include "tests/support/sim_aio_kernel.hpp"

namespace blktap {
namespace {

constexpr std::size_t input_bytes_max = 1 << 20;

class MemoryOpener final : public ImageOpener {
  public:
    MemoryOpener(const std::uint8_t* data, std::size_t size) : image_(make(data, size)), backing_(make(data, size)) {}

    UniqueFd open(const std::string& path, Access, Caching) override {
        return UniqueFd{::dup((path == "/image" ? image_ : backing_).get())};
    }

    UniqueFd open_named(const std::string& path, const std::string&, Access access, Caching caching) override {
        return open(path, access, caching);
    }

  private:
    static UniqueFd make(const std::uint8_t* data, std::size_t size) {
        UniqueFd fd{::memfd_create("image", MFD_CLOEXEC)};
        if (!fd || ::write(fd.get(), data, size) != static_cast<ssize_t>(size)) throw_system_error("memfd");
        return fd;
    }
    UniqueFd image_, backing_;
};

struct Request : ImageRequest {
    Request(Kind its_kind, SectorRange its_range, std::span<std::byte> memory)
        : entry{memory.data(), its_range.length_bytes()} {
        kind = its_kind;
        range = its_range;
        if (kind == Kind::read || kind == Kind::write) data = {&entry, 1};
        on_complete = [](ImageRequest& request, std::error_code answer) noexcept {
            auto& self = static_cast<Request&>(request);
            BLKTAP_ASSERT(!self.answered);
            self.answered = true;
            self.error = answer;
        };
    }
    iovec entry;
    bool answered = false;
    std::error_code error{};
};

class Machine {
  public:
    Machine(const std::uint8_t* data, std::size_t size) : files_(data, size) { kernel_.complete_at_submit(); }

    std::unique_ptr<ImageDriver> open(Access access) {
        ImageSpec spec{"qcow2", "/image", access, {{"buffered", "yes"}, {"metadata-cache", "64K"}}};
        try {
            return qcow2::open_qcow2_image(spec, {io_, workers_, files_});
        } catch (const std::system_error&) {
            return nullptr;
        }
    }
    std::error_code run(ImageDriver& driver, ImageRequest::Kind kind, SectorRange range, std::span<std::byte> memory) {
        Request request{kind, range, memory};
        driver.start(request);
        while (!request.answered) {
            io_.submit_staged();
            if (io_.reap() == 0 && !request.answered) loop_.run_once(Nanoseconds{0});
        }
        return request.error;
    }

  private:
    MonotonicClock clock_;
    EventLoop loop_{clock_};
    testing::SimAioKernel kernel_;  // the real one takes milliseconds to set up and end
    IoQueue io_{kernel_};
    WorkerPool workers_{loop_, 0};
    MemoryOpener files_;
};

/// Places where something may be: the beginning, the end, and some that the input's length decides.
std::array<SectorRange, 5> places(const ImageInfo& info, std::size_t size) {
    std::array<SectorRange, 5> ranges{};
    const std::uint64_t length = std::min<std::uint64_t>(info.size_sectors, 300);
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        const std::uint64_t room = info.size_sectors - length;
        const std::uint64_t first = i == 0 ? 0 : i == 1 ? room : room / (i + size % 7);
        ranges[i] = {first, i % 2 == 0 ? length : std::min<std::uint64_t>(length, 9)};
    }
    return ranges;
}

void exercise(Machine& machine, std::size_t size) {
    static std::array<std::byte, 300 * sector_size_bytes> memory;
    static std::array<std::byte, 300 * sector_size_bytes> expected;
    if (const auto driver = machine.open(Access::read_only)) {
        for (const SectorRange range : places(driver->info(), size))
            machine.run(*driver, ImageRequest::Kind::read, range, memory);
    }
    const auto driver = machine.open(Access::read_write);
    if (!driver) return;
    int turn = 0;
    for (const SectorRange range : places(driver->info(), size)) {
        expected.fill(static_cast<std::byte>(++turn));
        const bool written = !machine.run(*driver, ImageRequest::Kind::write, range, expected);
        const bool read = !machine.run(*driver, ImageRequest::Kind::read, range, memory);
        // Damaged tables may have two clusters of the disk in one place, but not within what is written at once here.
        if (written && read && range.count <= 9) {
            const bool same = std::memcmp(memory.data(), expected.data(), range.length_bytes()) == 0;
            const std::uint64_t cluster = driver->info().discard_granularity_bytes / sector_size_bytes;
            const bool one_cluster = range.first / cluster == (range.end() - 1) / cluster;
            BLKTAP_ASSERT(same || !one_cluster);
        }
        if (turn % 2 == 0) machine.run(*driver, ImageRequest::Kind::discard, range, {});
    }
    machine.run(*driver, ImageRequest::Kind::flush, {}, {});
}

}  // namespace
}  // namespace blktap

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size > blktap::input_bytes_max) return 0;
    blktap::log::configure("fuzz_qcow2", blktap::log::Level::error, blktap::log::Sink::standard_error);
    blktap::Machine machine{data, size};
    blktap::exercise(machine, size);
    // What the session wrote did not reach the tables.
    const auto once_more = machine.open(blktap::Access::read_only);
    const auto before = blktap::Machine{data, size}.open(blktap::Access::read_only);
    BLKTAP_ASSERT((once_more == nullptr) == (before == nullptr));
    return 0;
}
