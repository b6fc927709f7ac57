// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Fuzzes the VHD driver: the bytes are an image file, and every parent that it names. Before that their checksums are
// made right, which nobody would guess. It is opened for reading and for writing, read, written, discarded, made larger
// and flushed here and there. Whatever the tables say, nothing crashes, hangs or asserts; a write that succeeded is
// read back; and it has not gone over a table, so that the image, closed, can be opened again.
#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

#include "drivers/shared/bytes.hpp"
#include "drivers/vhd/vhd_driver.hpp"
#include "libblktap/base/assert.hpp"
#include "libblktap/base/clock.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/event_loop.hpp"
#include "libblktap/base/log.hpp"
#include "tests/support/sim_aio_kernel.hpp"

namespace blktap {
namespace {

constexpr std::size_t input_bytes_max = 1 << 20;

void seal(std::span<std::byte> bytes, std::size_t checksum_at, const char* magic) {
    if (std::memcmp(bytes.data(), magic, 8) != 0) return;
    store<std::uint32_t>(bytes, checksum_at, vhd::checksum(bytes, checksum_at));
}

/// The input with right checksums where footers and headers usually are.
std::vector<std::byte> sealed(const std::uint8_t* data, std::size_t size) {
    const auto* const begin = reinterpret_cast<const std::byte*>(data);
    std::vector<std::byte> bytes{begin, begin + size};
    const std::span all{bytes};
    if (size >= 2 * vhd::footer_bytes) seal(all.last(vhd::footer_bytes), 64, "conectix");
    if (size >= vhd::footer_bytes) seal(all.first(vhd::footer_bytes), 64, "conectix");
    if (size >= vhd::footer_bytes + vhd::header_bytes) {
        seal(all.subspan(vhd::footer_bytes, vhd::header_bytes), 36, "cxsparse");
    }
    return bytes;
}

class MemoryOpener final : public ImageOpener {
  public:
    explicit MemoryOpener(std::span<const std::byte> bytes) : image_(make(bytes)), parent_(make(bytes)) {}

    UniqueFd open(const std::string& path, Access, Caching) override {
        return UniqueFd{::dup((path == "/image" ? image_ : parent_).get())};
    }

  private:
    static UniqueFd make(std::span<const std::byte> bytes) {
        UniqueFd fd{::memfd_create("image", MFD_CLOEXEC)};
        const auto size = static_cast<ssize_t>(bytes.size());
        if (!fd || ::write(fd.get(), bytes.data(), bytes.size()) != size) throw_system_error("memfd");
        return fd;
    }
    UniqueFd image_, parent_;
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
    explicit Machine(std::span<const std::byte> bytes) : files_(bytes) { kernel_.complete_at_submit(); }

    std::unique_ptr<ImageDriver> open(Access access) {
        ImageSpec spec{"vhd", "/image", access, {{"buffered", "yes"}, {"metadata-cache", "64K"}}};
        try {
            return vhd::open_vhd_image(spec, {io_, workers_, files_});
        } catch (const std::system_error&) {
            return nullptr;
        }
    }
    std::error_code run(ImageDriver& driver, ImageRequest::Kind kind, SectorRange range, std::span<std::byte> memory) {
        Request request{kind, range, memory};
        driver.start(request);
        return finish(request);
    }
    std::error_code resize(ImageDriver& driver, std::uint64_t sectors) {
        Request request{ImageRequest::Kind::flush, {}, {}};
        driver.resize(sectors, request);
        return finish(request);
    }

  private:
    std::error_code finish(const Request& request) {
        while (!request.answered) {
            io_.submit_staged();
            if (io_.reap() == 0 && !request.answered) loop_.run_once(Nanoseconds{0});
        }
        return request.error;
    }

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
        BLKTAP_ASSERT(!written || !read || std::memcmp(memory.data(), expected.data(), range.length_bytes()) == 0);
        if (turn % 2 == 0) machine.run(*driver, ImageRequest::Kind::discard, range, {});
        if (turn == 3) machine.resize(*driver, driver->info().size_sectors + 5000);
    }
    machine.run(*driver, ImageRequest::Kind::flush, {}, {});
}

/// Blocks of a hostile image may be large, and room for them is memory here.
void limit_files() {
    static const bool limited = [] {
        const rlimit limit{64ULL << 20, 64ULL << 20};
        return ::signal(SIGXFSZ, SIG_IGN) != SIG_ERR && ::setrlimit(RLIMIT_FSIZE, &limit) == 0;
    }();
    BLKTAP_ASSERT(limited);
}

}  // namespace
}  // namespace blktap

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size > blktap::input_bytes_max) return 0;
    blktap::log::configure("fuzz_vhd", blktap::log::Level::error, blktap::log::Sink::standard_error);
    blktap::limit_files();
    const auto bytes = blktap::sealed(data, size);
    blktap::Machine machine{bytes};
    blktap::exercise(machine, size);
    // What the session wrote did not reach the tables.
    const auto once_more = machine.open(blktap::Access::read_only);
    const auto before = blktap::Machine{bytes}.open(blktap::Access::read_only);
    BLKTAP_ASSERT((once_more == nullptr) == (before == nullptr));
    return 0;
}
