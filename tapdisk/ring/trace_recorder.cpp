// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/ring/trace_recorder.hpp"

#include <algorithm>
#include <limits>
#include <unistd.h>

#include "libblktap/base/assert.hpp"

namespace blktap {
namespace {

constexpr Nanoseconds flush_interval = std::chrono::seconds(1);

std::error_code write_all(int fd, const void* data, std::size_t size_bytes) noexcept {
    const auto* next = static_cast<const char*>(data);
    while (size_bytes > 0) {
        const ssize_t written = ::write(fd, next, size_bytes);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return last_system_error();
        next += written;
        size_bytes -= static_cast<std::size_t>(written);
    }
    return {};
}

std::uint32_t saturate(std::uint64_t value) noexcept {
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max()));
}

}  // namespace

TraceRecorder::TraceRecorder(EventLoop& loop, WorkerPool& workers, UniqueFd file, const ring::TraceHeader& header)
    : loop_(loop),
      workers_(workers),
      file_(std::move(file)),
      began_(loop.clock().now()),
      filling_(buffer_size_bytes),
      writing_(buffer_size_bytes),
      flush_timer_(loop, [this] { write_filled(); }) {
    const std::string line = ring::encode_trace_header(header) + "\n";
    if (const std::error_code error = write_all(file_.get(), line.data(), line.size()))
        throw_error(error, "trace file");
    job_.recorder = this;
    job_.run = &TraceRecorder::run;
    job_.done = &TraceRecorder::done;
}

TraceRecorder::~TraceRecorder() {
    BLKTAP_ASSERT(writing_bytes_ == 0);
}

void TraceRecorder::note(const RequestSlot& slot, bool rejected) noexcept {
    if (filling_.size() - filled_ < ring::trace_record_max_bytes) write_filled();
    if (filling_.size() - filled_ < ring::trace_record_max_bytes) {
        ++lost_;
        ++lost_since_last_;
        return;
    }
    const ring::RawRequest& raw = *slot.raw;
    std::span<const ring::Segment> segments = slot.segments;
    if (segments.empty() && !raw.indirect()) {
        segments = std::span(raw.segments).first(std::min<std::size_t>(raw.segment_count, raw.segments.size()));
    }
    const bool discard = raw.operation == static_cast<std::uint8_t>(ring::Operation::discard);
    ring::TraceRecord record;
    record.time_ns = static_cast<std::uint64_t>((loop_.clock().now() - began_).count());
    record.sector_number = raw.sector_number;
    record.sector_count = saturate(discard ? raw.discard_sectors : slot.range.count);
    record.segment_count = raw.segment_count;
    record.operation = raw.response_operation();
    record.queue = static_cast<std::uint8_t>(slot.queue);
    record.indirect = raw.indirect();
    record.rejected = rejected;
    record.lost_before = lost_since_last_;
    filled_ += ring::encode_trace_record(record, discard ? std::span<const ring::Segment>{} : segments,
                                         std::span(filling_).subspan(filled_));
    lost_since_last_ = 0;
    ++recorded_;
    if (!flush_timer_.armed()) flush_timer_.arm(flush_interval);
}

void TraceRecorder::write_filled() noexcept {
    if (writing_bytes_ > 0 || filled_ == 0) return;
    std::swap(filling_, writing_);
    writing_bytes_ = filled_;
    filled_ = 0;
    workers_.start(job_);
}

void TraceRecorder::stop(std::function<void(std::error_code)> stopped) {
    BLKTAP_ASSERT(!stopping());
    stopped_ = std::move(stopped);
    flush_timer_.disarm();
    go_on_stopping();
}

void TraceRecorder::go_on_stopping() {
    write_filled();
    if (writing_bytes_ > 0) return;
    // Moved out first: the callback may destroy this object.
    const auto stopped = std::exchange(stopped_, nullptr);
    stopped(error_);
}

void TraceRecorder::run(WorkerJob& job) noexcept {
    TraceRecorder& self = *static_cast<Job&>(job).recorder;
    const std::error_code error = write_all(self.file_.get(), self.writing_.data(), self.writing_bytes_);
    if (error && !self.error_) self.error_ = error;
}

void TraceRecorder::done(WorkerJob& job) noexcept {
    TraceRecorder& self = *static_cast<Job&>(job).recorder;
    self.writing_bytes_ = 0;
    if (self.stopped_) {
        self.go_on_stopping();
    } else if (self.filled_ > 0 && !self.flush_timer_.armed()) {
        self.flush_timer_.arm(flush_interval);
    }
}

}  // namespace blktap
