// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// StubDisk: an image driver whose every request waits until the test completes it, with success or an error, in any
// order. Its data is in memory. It shows which requests are in the driver at once:
//
//     StubDisk disk;
//     VbdHarness machine{disk.options()};
//     machine.send(machine.barrier(1, 0, data));
//     machine.settle();
//     CHECK(disk.waiting() == "F");       // a flush: W, R, F, D for each request
//
// Not a SimAioKernel's business: there a request is an operation of the kernel, here it is what the engine asked for.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "drivers/shared/storage_errors.hpp"
#include "libblktap/base/assert.hpp"
#include "tests/support/machine/vbd_harness.hpp"

namespace blktap::testing {

class StubDisk {
  public:
    using Kind = ImageRequest::Kind;

    StubDisk() {
        current = this;
        waiting_.reserve(1024);
    }
    StubDisk(const StubDisk&) = delete;
    StubDisk& operator=(const StubDisk&) = delete;
    ~StubDisk() { current = nullptr; }

    static constexpr Format format{.name = "stub", .tap_type = "stub"};
    /// Used by images that are opened from now on.
    ImageInfo info{.size_sectors = 16 * 1024, .discard = true, .discard_granularity_bytes = 512};
    /// Complete at start(), with `answer`; else wait for the test.
    bool automatic = false;
    std::error_code answer{};
    /// Whether to retry what the test answers with an error; nothing: as drivers of files say.
    std::optional<Retry> retry{};
    int images_open = 0;

    VbdHarness::Options options() {
        VbdHarness::Options options;
        options.at_end = [this] {
            automatic = true;
            complete_all();
        };
        options.drivers.add(format, &open_at_once<&open>);
        options.image = "stub:memory";
        return options;
    }

    std::size_t count() const { return waiting_.size(); }
    /// R, W, F, D for each request that waits, sorted: the order in which one turn starts them means nothing.
    std::string waiting() const {
        std::string letters;
        for (const ImageRequest* request : waiting_)
            letters += letter(*request);
        std::ranges::sort(letters);
        return letters;
    }
    char letter(std::size_t index) const { return letter(*waiting_[index]); }
    /// The first that waits of a kind, or at a sector.
    std::size_t find(char wanted) const {
        return find_if([wanted](const ImageRequest& request) { return letter(request) == wanted; });
    }
    std::size_t find_at(std::uint64_t sector) const {
        return find_if([sector](const ImageRequest& request) { return request.range.first == sector; });
    }
    SectorRange range(std::size_t index) const { return waiting_[index]->range; }
    std::span<const iovec> data(std::size_t index) const { return waiting_[index]->data; }
    bool fua(std::size_t index) const { return waiting_[index]->fua; }

    void complete(std::size_t index, std::error_code error = {}) {
        BLKTAP_ASSERT(index < waiting_.size());
        ImageRequest& request = *waiting_[index];
        waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(index));
        end(request, error);
    }
    void complete(std::size_t index, int error) { complete(index, {error, std::system_category()}); }
    /// What waits now, not what that lets start.
    void complete_all(std::error_code error = {}) {
        for (std::size_t left = waiting_.size(); left > 0; --left)
            complete(0, error);
    }

    std::vector<std::byte> bytes(SectorRange range) const {
        const auto begin = memory_.begin() + static_cast<std::ptrdiff_t>(range.offset_bytes());
        return {begin, begin + static_cast<std::ptrdiff_t>(range.length_bytes())};
    }

  private:
    struct Driver final : ImageDriver {
        explicit Driver(StubDisk& its_disk) : disk(its_disk), its_info(its_disk.info) { ++disk.images_open; }
        ~Driver() override { --disk.images_open; }
        const ImageInfo& info() const noexcept override { return its_info; }
        void start(ImageRequest& request) noexcept override { disk.start(request); }
        StubDisk& disk;
        const ImageInfo its_info;
    };
    static inline StubDisk* current = nullptr;

    static char letter(const ImageRequest& request) { return "RWFDZ"[static_cast<int>(request.kind)]; }
    template <class Condition>
    std::size_t find_if(Condition condition) const {
        const auto found =
            std::ranges::find_if(waiting_, [&](const ImageRequest* request) { return condition(*request); });
        BLKTAP_ASSERT(found != waiting_.end());
        return static_cast<std::size_t>(found - waiting_.begin());
    }

    static std::unique_ptr<ImageDriver> open(const ImageSpec& spec, const DriverContext&) {
        StubDisk& disk = *current;
        if (spec.access == Access::read_only) disk.info.read_only = true;
        disk.memory_.resize(std::max(disk.memory_.size(), std::size_t{disk.info.size_sectors * sector_size_bytes}));
        return std::make_unique<Driver>(disk);
    }

    void start(ImageRequest& request) noexcept {
        if (automatic) return end(request, answer);
        waiting_.push_back(&request);
    }

    void end(ImageRequest& request, std::error_code error) noexcept {
        if (!error) perform(request);
        request.complete(error, retry.value_or(retry_of(error)));
    }

    void perform(const ImageRequest& request) noexcept {
        std::byte* place = memory_.data() + request.range.offset_bytes();
        if (request.kind == Kind::discard) std::memset(place, 0, request.range.length_bytes());
        for (const iovec& part : request.data) {
            if (request.kind == Kind::read) std::memcpy(part.iov_base, place, part.iov_len);
            if (request.kind == Kind::write) std::memcpy(place, part.iov_base, part.iov_len);
            place += part.iov_len;
        }
    }

    std::vector<ImageRequest*> waiting_;
    std::vector<std::byte> memory_;
};

}  // namespace blktap::testing
