// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Requests are direct ones of at most 44 KiB: every disk takes them.
#include "tests/replay/copy.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace blktap::replay {
namespace {

constexpr std::uint64_t chunk_sectors = ring::segments_direct_max * sectors_per_page;

void write_all(int fd, std::span<const std::byte> data) {
    while (!data.empty()) {
        const ssize_t written = ::write(fd, data.data(), data.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) throw_system_error("writing the output");
        data = data.subspan(static_cast<std::size_t>(written));
    }
}

/// Fewer bytes than asked only at the end of the input.
std::size_t read_all(int fd, std::span<std::byte> data) {
    std::size_t filled = 0;
    while (filled < data.size()) {
        const ssize_t got = ::read(fd, data.data() + filled, data.size() - filled);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) throw_system_error("reading the input");
        if (got == 0) break;
        filled += static_cast<std::size_t>(got);
    }
    return filled;
}

void expect_okay(const Slot& slot, ring::Status status, const char* what) {
    if (status != ring::Status::okay)
        throw Failure(std::string(what) + " at sector " + std::to_string(slot.work.sector) +
                      " was answered with an error");
}

/// The file, and standard input or output for "-". The owner is empty for these two.
UniqueFd open_file(const std::string& path, int flags) {
    if (path == "-") return UniqueFd{};
    UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, 0600));
    if (!fd) throw_system_error(path);
    return fd;
}

Exit run_copy(Session& session, const Target& target, const CopyOptions& options, Traffic& traffic) {
    const MonotonicClock clock;
    Pump pump(session, clock, {options.depth, ring::segments_direct_max, false, target.timeout, {}});
    Statistics statistics;
    if (!pump.run(traffic, statistics)) throw std::runtime_error("interrupted");
    session.disconnect();
    return Exit::okay;
}

}  // namespace

Exit run_read(const Target& target, const CopyOptions& options) {
    const UniqueFd file = open_file(options.file, O_WRONLY | O_CREAT | O_TRUNC);
    const auto connection = target.open();
    Session session(*connection, target.frontend, target.interrupt_fd);
    const SectorRange range = resolve_range(options.range, session.device());
    ReadTraffic traffic(range, options.depth, file ? file.get() : STDOUT_FILENO);
    return run_copy(session, target, options, traffic);
}

Exit run_write(const Target& target, const CopyOptions& options) {
    const UniqueFd file = open_file(options.file, O_RDONLY);
    const auto connection = target.open();
    Session session(*connection, target.frontend, target.interrupt_fd);
    if (session.device().read_only) throw std::runtime_error("the disk is read-only");
    WriteTraffic traffic(resolve_range(options.range, session.device()), file ? file.get() : STDIN_FILENO);
    return run_copy(session, target, options, traffic);
}

ReadTraffic::ReadTraffic(SectorRange range, unsigned depth, int output_fd)
    : range_(range), output_fd_(output_fd), window_(depth) {
    for (Chunk& chunk : window_)
        chunk.data.resize(chunk_sectors * sector_size_bytes);
}

Traffic::Next ReadTraffic::next(Slot& slot, Nanoseconds) {
    const std::uint64_t first = next_chunk_ * chunk_sectors;
    if (stopped_ || first >= range_.count) return Next::finished;
    // A chunk's place in the window is free once the chunk that had it is written out.
    if (next_chunk_ >= written_chunks_ + window_.size()) return Next::later;
    shape_ = segments_for(std::min(chunk_sectors, range_.count - first));
    slot.work = data_work(ring::Operation::read, range_.first + first, shape_, false);
    slot.tag = next_chunk_++;
    return Next::request;
}

void ReadTraffic::completed(Slot& slot, ring::Status status) {
    expect_okay(slot, status, "a read");
    Chunk& arrived = window_[slot.tag % window_.size()];
    arrived.data.assign(slot.data.begin(), slot.data.begin() + static_cast<std::ptrdiff_t>(slot.data_bytes));
    arrived.here = true;
    for (Chunk* head = &window_[written_chunks_ % window_.size()]; head->here;
         head = &window_[++written_chunks_ % window_.size()]) {
        write_all(output_fd_, head->data);
        head->here = false;
    }
}

Traffic::Next WriteTraffic::next(Slot& slot, Nanoseconds) {
    if (!input_ended_) {
        const std::uint64_t sectors_left = std::min(chunk_sectors, range_.count - next_sector_);
        const auto room = slot.data.first(sectors_left * sector_size_bytes);
        const std::size_t filled = read_all(input_fd_, room);
        input_ended_ = filled < room.size() || room.empty();
        const std::uint64_t sectors = round_up(filled, sector_size_bytes) / sector_size_bytes;
        std::fill(room.begin() + static_cast<std::ptrdiff_t>(filled), room.end(), std::byte{0});
        if (sectors > 0) {
            shape_ = segments_for(sectors);
            slot.work = data_work(ring::Operation::write, range_.first + next_sector_, shape_, false);
            next_sector_ += sectors;
            ++in_flight_;
            return Next::request;
        }
    }
    if (flushing_) return Next::finished;
    if (in_flight_ > 0) return Next::later;  // a flush covers the writes that were answered before it
    flushing_ = true;
    slot.work = data_work(ring::Operation::flush_diskcache, 0, {}, false);
    return Next::request;
}

void WriteTraffic::completed(Slot& slot, ring::Status status) {
    const bool flush = slot.work.operation == static_cast<std::uint8_t>(ring::Operation::flush_diskcache);
    expect_okay(slot, status, flush ? "the flush" : "a write");
    if (!flush) --in_flight_;
}

}  // namespace blktap::replay
