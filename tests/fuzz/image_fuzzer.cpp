// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/fuzz/image_fuzzer.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::testing {
namespace {

constexpr std::size_t piece_sectors = 300;

UniqueFd make_file(std::span<const std::byte> bytes) {
    UniqueFd fd{::memfd_create("image", MFD_CLOEXEC)};
    const auto size = static_cast<ssize_t>(bytes.size());
    if (!fd || ::write(fd.get(), bytes.data(), bytes.size()) != size) throw_system_error("memfd");
    return fd;
}

struct Request : ImageRequest {
    Request(Kind its_kind, SectorRange its_range, std::span<std::byte> memory)
        : entry{memory.data(), its_range.length_bytes()} {
        kind = its_kind;
        range = its_range;
        if (kind == Kind::read || kind == Kind::write) data = {&entry, 1};
    }
    void begin_on(ImageDriver& driver) {
        scratch_memory.emplace(driver, 1).add(*this);
        begin([](ImageRequest& request, std::error_code answer, Retry) noexcept {
            auto& self = static_cast<Request&>(request);
            self.answered = true;
            self.error = answer;
        });
    }
    iovec entry;
    std::optional<ScratchMemory> scratch_memory;
    bool answered = false;
    std::error_code error{};
};

/// Places where something may be: the beginning, the end, and some that the input's length decides.
std::array<SectorRange, 5> places(const ImageInfo& info, std::size_t size) {
    std::array<SectorRange, 5> ranges{};
    const std::uint64_t length = std::min<std::uint64_t>(info.size_sectors, piece_sectors);
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        const std::uint64_t room = info.size_sectors - length;
        const std::uint64_t first = i == 0 ? 0 : i == 1 ? room : room / (i + size % 7);
        ranges[i] = {first, i % 2 == 0 ? length : std::min<std::uint64_t>(length, 9)};
    }
    return ranges;
}

}  // namespace

MemoryOpener::MemoryOpener(std::span<const std::byte> bytes) : image_(make_file(bytes)), others_(make_file(bytes)) {}

UniqueFd MemoryOpener::open(const std::string& path, Access, Caching) {
    return UniqueFd{::dup((path == "/image" ? image_ : others_).get())};
}

UniqueFd MemoryOpener::open_named(const std::string& path, const std::string&, Access access, Caching caching) {
    return open(path, access, caching);
}

ImageFuzzer::ImageFuzzer(std::string format, OpenImageAtOnce open, std::span<const std::byte> bytes)
    : format_(std::move(format)), open_(open), size_bytes_(bytes.size()), files_(bytes) {
    kernel_.complete_at_submit();
}

std::unique_ptr<ImageDriver> ImageFuzzer::open(Access access) {
    const ImageSpec spec{format_, "/image", access, {{"buffered", "yes"}, {"metadata-cache", "64K"}}};
    try {
        return open_(spec, {loop_, io_, workers_, files_});
    } catch (const std::system_error&) {
        return nullptr;
    }
}

void ImageFuzzer::close(ImageDriver& driver) {
    bool closed = false;
    driver.close([&closed] { closed = true; });
    while (!closed)
        loop_.run_once(Nanoseconds{0});
}

template <class Request>
std::error_code ImageFuzzer::finish(const Request& request) {
    while (!request.answered) {
        io_.submit_staged();
        if (io_.reap() == 0 && !request.answered) loop_.run_once(Nanoseconds{0});
    }
    return request.error;
}

std::error_code ImageFuzzer::run(ImageDriver& driver, ImageRequest::Kind kind, SectorRange range,
                                 std::span<std::byte> memory) {
    Request request{kind, range, memory};
    request.begin_on(driver);
    driver.start(request);
    return finish(request);
}

void ImageFuzzer::resize(ImageDriver& driver, std::uint64_t sectors) {
    Request request{ImageRequest::Kind::flush, {}, {}};
    request.begin_on(driver);
    driver.resize(sectors, request);
    finish(request);
}

void ImageFuzzer::write_and_read(ImageDriver& driver, SectorRange range, int turn, bool compare_all) {
    static std::array<std::byte, piece_sectors * sector_size_bytes> memory;
    static std::array<std::byte, piece_sectors * sector_size_bytes> expected;
    expected.fill(static_cast<std::byte>(turn));
    const bool written = !run(driver, ImageRequest::Kind::write, range, expected);
    const bool read = !run(driver, ImageRequest::Kind::read, range, memory);
    if (!written || !read) return;
    const std::uint64_t granule = driver.info().discard_granularity_bytes / sector_size_bytes;
    const bool compares = compare_all || granule == 0 || range.first / granule == (range.end() - 1) / granule;
    BLKTAP_ASSERT(!compares || std::memcmp(memory.data(), expected.data(), range.length_bytes()) == 0);
}

void ImageFuzzer::exercise(const Format& format) {
    bool opened_before = false;
    if (const auto driver = open(Access::read_only)) {
        opened_before = true;
        std::array<std::byte, piece_sectors * sector_size_bytes> memory;
        for (const SectorRange range : places(driver->info(), size_bytes_))
            run(*driver, ImageRequest::Kind::read, range, memory);
        close(*driver);
    }
    if (const auto driver = open(Access::read_write)) {
        int turn = 0;
        for (const SectorRange range : places(driver->info(), size_bytes_)) {
            write_and_read(*driver, range, ++turn, format.finds_overlaps);
            if (turn % 2 == 0) run(*driver, ImageRequest::Kind::discard, range, {});
            if (format.grows && turn == 3) resize(*driver, driver->info().size_sectors + 5000);
        }
        run(*driver, ImageRequest::Kind::flush, {}, {});
        close(*driver);
    }
    // What was written did not reach the tables.
    const auto driver = open(Access::read_only);
    BLKTAP_ASSERT((driver != nullptr) == opened_before);
    if (driver) close(*driver);
}

}  // namespace blktap::testing
