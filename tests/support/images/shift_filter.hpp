// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ShiftFilter: a complete filter, for docs/WRITING-DRIVERS.md: a disk that begins at an offset in the disk of another
// image, its child. "shift:FORMAT:PATH?offset=SIZE"; all other options are the child's. Its scratch is the child's
// request, with the child's scratch behind it.
#pragma once

#include <memory>
#include <string>

#include "drivers/formats/format.hpp"
#include "drivers/registry.hpp"
#include "drivers/shared/options.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::testing {

class ShiftFilter final : public ImageDriver {
  public:
    static constexpr Format format{.name = "shift", .tap_type = "shift"};

    ShiftFilter(std::unique_ptr<ImageDriver> child, std::uint64_t offset_sectors)
        : child_(std::move(child)), offset_sectors_(offset_sectors) {
        follow_child();
    }
    const ImageInfo& info() const noexcept override { return info_; }
    std::optional<SpaceSource> space() const noexcept override { return child_->space(); }
    ImageActivity activity() const noexcept override { return child_->activity(); }

    ScratchSize scratch_size() const noexcept override {
        return ScratchSize::of<Passed>().followed_by(child_->scratch_size());
    }
    void make_scratch(ImageRequest& request) noexcept override {
        auto& passed = request.make_scratch<Passed>(request, *this);
        const std::size_t behind = ScratchSize::of<Passed>().offset_of(child_->scratch_size());
        passed.child.attach(*child_, reinterpret_cast<std::byte*>(&passed) + behind);
    }
    void end_scratch(ImageRequest& request) noexcept override {
        request.scratch<Passed>().child.detach(*child_);
        request.end_scratch<Passed>();
    }

    void start(ImageRequest& request) noexcept override {
        ImageRequest& child = request.scratch<Passed>().child;
        child.kind = request.kind;
        child.fua = request.fua;
        child.may_unmap = request.may_unmap;
        child.data = request.data;
        child.range = request.range;
        if (child.kind != ImageRequest::Kind::flush) child.range.first += offset_sectors_;
        child.begin(&passed_back);
        child_->start(child);
    }
    void resize(std::uint64_t size_sectors, ImageRequest& request) noexcept override {
        ImageRequest& child = request.scratch<Passed>().child;
        child.begin([](ImageRequest& its, std::error_code error, Retry retry) noexcept {
            static_cast<OfChild&>(its).passed->filter.follow_child();
            passed_back(its, error, retry);
        });
        child_->resize(size_sectors + offset_sectors_, child);
    }
    void close(Closed closed) noexcept override { child_->close(std::move(closed)); }

  private:
    struct Passed;
    struct OfChild : ImageRequest {
        Passed* passed = nullptr;
    };
    struct Passed {
        Passed(ImageRequest& its_request, ShiftFilter& its_filter) noexcept : request(its_request), filter(its_filter) {
            child.passed = this;
        }
        ImageRequest& request;
        ShiftFilter& filter;
        OfChild child;
    };

    static void passed_back(ImageRequest& child, std::error_code error, Retry retry) noexcept {
        static_cast<OfChild&>(child).passed->request.complete(error, retry);
    }
    void follow_child() noexcept {
        info_ = child_->info();
        info_.size_sectors -= offset_sectors_;
    }

    const std::unique_ptr<ImageDriver> child_;
    const std::uint64_t offset_sectors_;
    ImageInfo info_;
};

/// A filter that is being opened: its child is being opened.
class OpeningShift {
  public:
    /// The OpenImage. `drivers` opens the child.
    static void open(const ImageSpec& spec, const DriverContext& context, ImageOpening& opening,
                     const Registry& drivers) {
        ImageSpec child = parse_image_spec(spec.path, spec.access);
        child.options = spec.options;
        ImageSpec ours = spec;
        ours.options.clear();
        if (const auto offset = child.options.extract("offset")) ours.options.insert({"offset", offset.mapped()});
        OptionReader options{ours};
        const std::uint64_t offset_bytes = options.take_size("offset", sector_size_bytes);
        // Deletes itself when the opening of the child has ended.
        auto* const self = new OpeningShift(opening, image_name(spec), offset_bytes / sector_size_bytes);
        opening.on_cancel([self] { self->child_.cancel(); });
        drivers.open(child, context, self->child_);
    }

  private:
    OpeningShift(ImageOpening& opening, std::string name, std::uint64_t offset_sectors)
        : opening_(opening), name_(std::move(name)), offset_sectors_(offset_sectors) {}

    void child_over(OpenResult result) noexcept {
        const std::unique_ptr<OpeningShift> self{this};
        opening_.on_cancel(nullptr);
        if (const auto* const error = std::get_if<std::system_error>(&result)) return opening_.fail(*error);
        auto child = std::move(std::get<std::unique_ptr<ImageDriver>>(result));
        if (child->info().size_sectors > offset_sectors_)
            return opening_.succeed(std::make_unique<ShiftFilter>(std::move(child), offset_sectors_));
        ImageDriver& unfit = *child.release();
        unfit.close([&unfit, &opening = opening_, name = name_] {
            delete &unfit;
            opening.fail({Errc::image_invalid, name + ": ends before its offset"});
        });
    }

    ImageOpening& opening_;
    const std::string name_;
    const std::uint64_t offset_sectors_;
    ImageOpening child_{[this](OpenResult result) { child_over(std::move(result)); }};
};

inline void open_shift(const ImageSpec& spec, const DriverContext& context, ImageOpening& opening) {
    OpeningShift::open(spec, context, opening, all_drivers());
}

}  // namespace blktap::testing
