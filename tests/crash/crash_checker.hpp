// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The common part of the crash checkers of all formats. Random traffic runs on an image, and every write to the file is
// logged. Then it makes the files that result if the log is cut at a point: by a loss of power (each sector that no
// fdatasync covered is there or not, by itself) or by the death of the process (all written sectors are there).
//
// BLKTAP_SEED=n replays a run, BLKTAP_CRASH_POINTS=n cuts in more places.
#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <list>
#include <optional>

#include "tests/crash/crash_kernel.hpp"
#include "tests/property/driver_comparison.hpp"

namespace blktap::testing {

inline constexpr std::uint64_t disk_sectors = 4096;
inline constexpr std::size_t under_way_max = 12;
inline const std::string crashed_suffix = ".crashed";

inline std::vector<std::byte> load_file(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    const auto* const begin = reinterpret_cast<const std::byte*>(bytes.data());
    return {begin, begin + bytes.size()};
}

/// What each sector was given, and when. Times are numbers of events on the disk.
class History {
  public:
    static constexpr std::size_t never = ~std::size_t{0};
    struct Write {
        std::uint64_t stamp;
        std::size_t sent;
        std::size_t answered = never;
    };

    explicit History(const ModelDisk& before) : sectors_(before.size_sectors()) {
        for (std::uint64_t sector = 0; sector < sectors_.size(); ++sector)
            sectors_[sector].push_back({before.stamp(sector), 0, 0});
    }
    void sent(SectorRange range, std::uint64_t stamp, std::size_t now) {
        for (std::uint64_t sector = range.first; sector < range.end(); ++sector)
            sectors_[sector].push_back({stamp, now});
    }
    void answered(SectorRange range, std::size_t now) {
        for (std::uint64_t sector = range.first; sector < range.end(); ++sector)
            sectors_[sector].back().answered = now;
    }
    /// `data` is what `sector` may hold when everything answered by `kept` is kept, and nothing after `now` happened.
    bool allows(std::uint64_t sector, std::span<const std::byte> data, std::size_t kept, std::size_t now) const {
        const std::vector<Write>& writes = sectors_[sector];
        for (std::size_t i = writes.size(); i-- > 0;) {
            if (writes[i].sent > now) continue;
            std::byte expected[sector_size_bytes];
            ModelDisk::fill({sector, 1}, writes[i].stamp, expected);
            if (std::memcmp(expected, data.data(), sizeof expected) == 0) return true;
            if (writes[i].answered <= kept) return false;
        }
        return false;
    }

  private:
    std::vector<std::vector<Write>> sectors_;
};

struct Flush {
    std::size_t started;
    std::size_t answered;
};

/// Contents of an image's file, and of its data file if it has one.
using Files = std::vector<std::vector<std::byte>>;

struct Habits {
    bool discards = true;
    bool grows = false;  ///< the disk becomes larger; nothing is written behind its first end
};

/// Runs the traffic; keeps the history and the flushes.
class Traffic {
  public:
    /// `paths`: the image, and what else is written.
    Traffic(const std::string& format, const std::vector<std::string>& paths, const ModelDisk& before,
            std::uint64_t seed, Habits habits)
        : random_(seed), kernel_(seed + 1, paths), history_(before), habits_(habits) {
        DriverHarness harness{kernel_, 0};  // without threads: what the workers do happens at once, in the log's order
        {
            const auto driver = harness.open(format + ":" + paths.front());
            for (int step = 0; step < 260; ++step) {
                if (habits_.grows && step % 100 == 40) grow(*driver);
                start_one(*driver);
                if (under_way_.size() >= under_way_max || random_() % 3 == 0) go_on(harness);
            }
            while (!under_way_.empty() || growing())
                go_on(harness);
            REQUIRE((!resize_ || !resize_->error));
        }
    }
    const std::vector<DiskEvent>& events() const { return kernel_.events(); }
    const History& history() const { return history_; }
    const std::vector<Flush>& flushes() const { return flushes_; }

  private:
    struct Entry {
        Entry(ImageRequest::Kind kind, SectorRange range)
            : memory(Mapping::anonymous(range.length_bytes() + page_size_bytes)),
              started(0),
              request(kind, range,
                      memory.bytes().first(kind == ImageRequest::Kind::discard ? 0 : range.length_bytes())) {}
        Mapping memory;
        std::size_t started;
        TestRequest request;
    };
    std::size_t now() const { return kernel_.events().size(); }

    bool growing() const { return resize_ && !resize_->answered; }
    /// Four times as large each time: past what any table has room for.
    void grow(ImageDriver& driver) {
        if (growing()) return;
        resize_.emplace(ImageRequest::Kind::read, SectorRange{});
        resize_->resize_on(driver, driver.info().size_sectors * 4);
    }
    void start_one(ImageDriver& driver) {
        const std::uint64_t draw = random_() % 16;
        using Kind = ImageRequest::Kind;
        const Kind kind = draw == 0 ? Kind::flush : draw == 1 && habits_.discards ? Kind::discard : Kind::write;
        SectorRange range{};
        if (kind != ImageRequest::Kind::flush) {
            const std::uint64_t count =
                1 + random_() % (random_() % 6 == 0 || kind == ImageRequest::Kind::discard ? 600 : 16);
            range = {random_() % (disk_sectors - count), count};
        }
        for (const Entry& entry : under_way_) {
            if (kind != ImageRequest::Kind::flush && entry.request.range.overlaps(range)) return;
        }
        Entry& entry = under_way_.emplace_back(kind, range);
        entry.started = now();
        if (kind == ImageRequest::Kind::write) {
            ModelDisk::fill(range, ++stamp_, entry.memory.bytes().first(range.length_bytes()));
            history_.sent(range, stamp_, now());
        } else if (kind == ImageRequest::Kind::discard) {
            history_.sent(cleared(driver, range), 0, now());
        }
        entry.request.start_on(driver);
    }
    static SectorRange cleared(ImageDriver& driver, SectorRange range) {
        return whole_granules(range, driver.info().discard_granularity_bytes, 0);
    }
    void go_on(DriverHarness& harness) {
        harness.io().submit_staged();
        if (random_() % 4 != 0) kernel_.do_some();
        harness.step();
        for (auto it = under_way_.begin(); it != under_way_.end();) {
            Entry& entry = *it++;
            if (!entry.request.answered) continue;
            REQUIRE_FALSE(entry.request.error);
            if (entry.request.kind == ImageRequest::Kind::flush) {
                flushes_.push_back({entry.started, now()});
            } else if (entry.request.kind == ImageRequest::Kind::write) {
                history_.answered(entry.request.range, now());
            }
            under_way_.remove_if([&](const Entry& each) { return &each == &entry; });
        }
    }

    std::mt19937_64 random_;
    CrashKernel kernel_;
    History history_;
    const Habits habits_;
    std::optional<TestRequest> resize_;
    std::list<Entry> under_way_;
    std::vector<Flush> flushes_;
    std::uint64_t stamp_ = 1000;
};

class Crash {
  public:
    /// What is at `tail` and behind it in the image is cut off before the image becomes longer.
    Crash(Files before, std::size_t tail, const Traffic& traffic, std::uint64_t seed)
        : before_(std::move(before)), tail_(tail), traffic_(traffic), random_(seed) {}

    /// The files after `events` events when the power failed.
    Files lose_power(std::size_t events) {
        std::vector<std::size_t> durable(before_.size(), 0);
        std::vector<std::size_t> file_bytes = lengths();
        for (std::size_t i = 0; i < events; ++i) {
            const DiskEvent& event = traffic_.events()[i];
            if (event.sync) durable[event.file] = i;
            if (event.sync || random_() % 2 == 0) file_bytes[event.file] = event.file_bytes;
        }
        Files files = files_of(file_bytes);
        const std::uint64_t share = 1 + random_() % 7;  // of the sectors that reached the disk, in eighths
        for (std::size_t i = 0; i < events; ++i) {
            const DiskEvent& event = traffic_.events()[i];
            for (std::size_t at = 0; at < event.data.size(); at += sector_size_bytes) {
                if (i < durable[event.file] || random_() % 8 < share) put(files[event.file], event, at);
            }
        }
        return files;
    }
    /// The same when the process died.
    Files die(std::size_t events) const {
        std::vector<std::size_t> file_bytes = lengths();
        for (std::size_t i = 0; i < events; ++i) {
            const DiskEvent& event = traffic_.events()[i];
            file_bytes[event.file] = std::max<std::size_t>(file_bytes[event.file], event.file_bytes);
        }
        Files files = files_of(file_bytes);
        for (std::size_t i = 0; i < events; ++i) {
            const DiskEvent& event = traffic_.events()[i];
            for (std::size_t at = 0; at < event.data.size(); at += sector_size_bytes)
                put(files[event.file], event, at);
        }
        return files;
    }
    /// Everything answered by then is durable at `events`.
    std::size_t kept(std::size_t events) const {
        std::size_t result = 0;
        for (const Flush& flush : traffic_.flushes()) {
            if (flush.answered <= events) result = std::max(result, flush.started);
        }
        return result;
    }

  private:
    std::vector<std::size_t> lengths() const {
        std::vector<std::size_t> result;
        for (const auto& file : before_)
            result.push_back(file.size());
        return result;
    }
    Files files_of(const std::vector<std::size_t>& file_bytes) const {
        Files files = before_;
        for (std::size_t i = 0; i < files.size(); ++i) {
            std::vector<std::byte>& file = files[i];
            if (file_bytes[i] <= file.size()) continue;
            if (i == 0) file.resize(std::min(tail_, file.size()));
            file.resize(file_bytes[i]);
        }
        return files;
    }
    /// What was written behind the end of a file whose length did not reach the disk is not in it.
    static void put(std::vector<std::byte>& file, const DiskEvent& event, std::size_t at) {
        const std::size_t end = event.offset + at + sector_size_bytes;
        if (file.size() < end) return;
        std::memcpy(file.data() + event.offset + at, event.data.data() + at, sector_size_bytes);
    }

    const Files before_;
    const std::size_t tail_;
    const Traffic& traffic_;
    std::mt19937_64 random_;
};

inline void store_file(const std::string& path, const std::vector<std::byte>& bytes) {
    std::ofstream{path, std::ios::binary | std::ios::trunc}.write(reinterpret_cast<const char*>(bytes.data()),
                                                                  static_cast<std::streamsize>(bytes.size()));
}

/// Everything that a sector holds must be something that it may hold.
inline void check_disk(ImageDriver& driver, DriverHarness& harness, const History& history, std::size_t kept,
                       std::size_t now) {
    const Mapping memory = Mapping::anonymous(disk_sectors * sector_size_bytes);
    REQUIRE_FALSE(harness.read(driver, {0, disk_sectors}, memory.bytes()));
    for (std::uint64_t sector = 0; sector < disk_sectors; ++sector) {
        CAPTURE(sector);
        const auto data = memory.bytes().subspan(sector * sector_size_bytes, sector_size_bytes);
        if (!history.allows(sector, data, kept, now)) FAIL("the sector holds what it cannot");
    }
    // Where a disk has become larger nobody has written yet.
    const std::uint64_t more = std::min(driver.info().size_sectors - disk_sectors, disk_sectors);
    if (more == 0) return;
    const auto behind = memory.bytes().first(more * sector_size_bytes);
    REQUIRE_FALSE(harness.read(driver, {disk_sectors, more}, behind));
    REQUIRE_FALSE(ModelDisk{2 * disk_sectors}.first_difference({disk_sectors, more}, behind));
}

/// Traffic on the image FORMAT:`path`, and crashes in many places. `tail`: bytes at the file's end that go when the
/// file becomes longer. `data_file`: of the image, if it has one; beside a crashed image it has the same suffix.
inline void check_crashes(
    const std::string& format, const std::string& path, const ModelDisk& before, Habits habits, std::size_t tail,
    const std::function<void(const std::string&, const History&, std::size_t kept, std::size_t now)>& examine,
    const std::string& data_file = {}) {
    const std::uint64_t seed = seed_of_this_run();
    std::vector<std::string> paths{path};
    if (!data_file.empty()) paths.push_back(data_file);
    Files files;
    for (const std::string& each : paths)
        files.push_back(load_file(each));
    const std::size_t tail_begin = files.front().size() - tail;
    const Traffic traffic{format, paths, before, seed, habits};
    REQUIRE(traffic.flushes().size() > 2);
    Crash crash{std::move(files), tail_begin, traffic, seed + 2};
    const char* const wanted = std::getenv("BLKTAP_CRASH_POINTS");
    const std::size_t points = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 25;
    std::mt19937_64 random{seed + 3};
    const auto check = [&](const Files& crashed, std::size_t kept, std::size_t events) {
        for (std::size_t i = 0; i < paths.size(); ++i)
            store_file(paths[i] + crashed_suffix, crashed[i]);
        examine(path + crashed_suffix, traffic.history(), kept, events);
    };
    for (std::size_t point = 0; point < points; ++point) {
        const std::size_t events = random() % (traffic.events().size() + 1);
        CAPTURE(events);
        check(crash.lose_power(events), crash.kept(events), events);
        check(crash.die(events), events, events);
    }
}

}  // namespace blktap::testing
