// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The crash checker: random traffic on a qcow2 image, whose every write to the file is logged. Then the log is cut at
// many points, once as by a loss of power (sectors that no fdatasync covered are there or not, each for itself), once
// as by the death of the process (what was written is there), and each image that results must be one:
//
//   - qemu-img check finds no error; leaked clusters are allowed
//   - after a loss of power, what a flush covered is there; after a death, what was answered
//   - every other sector holds what was once written there, or zeros if it was new: never another sector's data
//
// BLKTAP_SEED=n replays a run, BLKTAP_CRASH_POINTS=n cuts in more places.
#include <filesystem>
#include <fstream>
#include <list>
#include <optional>
#include <sys/syscall.h>

#include "tests/crash/crash_kernel.hpp"
#include "tests/property/driver_comparison.hpp"
#include "tests/support/qemu_img.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using namespace blktap::testing;
using Kind = ImageRequest::Kind;

// What the driver writes as plain code on a worker, here on this thread, belongs into the log as well.
extern "C" ssize_t pwrite(int fd, const void* data, std::size_t length, off_t offset) {
    const long written = ::syscall(SYS_pwrite64, fd, data, length, offset);
    CrashKernel* const kernel = CrashKernel::current();
    if (kernel != nullptr && written == static_cast<long>(length)) {
        kernel->note_write(fd, {static_cast<const std::byte*>(data), length}, static_cast<std::uint64_t>(offset));
    }
    return written;
}
extern "C" int fdatasync(int fd) {
    const auto result = static_cast<int>(::syscall(SYS_fdatasync, fd));
    if (CrashKernel::current() != nullptr) CrashKernel::current()->note_sync(fd);
    return result;
}

namespace {

constexpr std::uint64_t disk_sectors = 4096;
constexpr std::size_t under_way_max = 12;

std::vector<std::byte> read_file(const std::string& path) {
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

struct Habits {
    bool discards = true;
    bool grows = false;  ///< the disk becomes larger; nothing is written behind its first end
};

/// Runs the traffic; keeps the history and the flushes.
class Traffic {
  public:
    Traffic(const std::string& path, const ModelDisk& before, std::uint64_t seed, Habits habits)
        : random_(seed), kernel_(seed + 1, path), history_(before), habits_(habits) {
        DriverHarness harness{kernel_, 0};  // without threads: what the workers do happens at once, in the log's order
        {
            const auto driver = harness.open("qcow2:" + path);
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
        Entry(Kind kind, SectorRange range)
            : memory(Mapping::anonymous(range.length_bytes() + page_size_bytes)),
              started(0),
              request(kind, range, memory.bytes().first(kind == Kind::discard ? 0 : range.length_bytes())) {}
        Mapping memory;
        std::size_t started;
        TestRequest request;
    };
    std::size_t now() const { return kernel_.events().size(); }

    bool growing() const { return resize_ && !resize_->answered; }
    /// Four times as large each time: past what any table has room for.
    void grow(ImageDriver& driver) {
        if (growing()) return;
        resize_.emplace(Kind::read, SectorRange{});
        driver.resize(driver.info().size_sectors * 4, *resize_);
    }
    void start_one(ImageDriver& driver) {
        const std::uint64_t draw = random_() % 16;
        const Kind kind = draw == 0 ? Kind::flush : draw == 1 && habits_.discards ? Kind::discard : Kind::write;
        SectorRange range{};
        if (kind != Kind::flush) {
            const std::uint64_t count = 1 + random_() % (random_() % 6 == 0 || kind == Kind::discard ? 600 : 16);
            range = {random_() % (disk_sectors - count), count};
        }
        for (const Entry& entry : under_way_) {
            if (kind != Kind::flush && entry.request.range.overlaps(range)) return;
        }
        Entry& entry = under_way_.emplace_back(kind, range);
        entry.started = now();
        if (kind == Kind::write) {
            ModelDisk::fill(range, ++stamp_, entry.memory.bytes().first(range.length_bytes()));
            history_.sent(range, stamp_, now());
        } else if (kind == Kind::discard) {
            history_.sent(cleared(driver, range), 0, now());
        }
        driver.start(entry.request);
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
            if (entry.request.kind == Kind::flush) {
                flushes_.push_back({entry.started, now()});
            } else if (entry.request.kind == Kind::write) {
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
    Crash(std::vector<std::byte> before, const Traffic& traffic, std::uint64_t seed)
        : before_(std::move(before)), traffic_(traffic), random_(seed) {}

    /// The file after `events` events when the power failed.
    std::vector<std::byte> lose_power(std::size_t events) {
        std::size_t durable = 0;
        std::size_t file_bytes = before_.size();
        for (std::size_t i = 0; i < events; ++i) {
            if (traffic_.events()[i].sync) durable = i;
            if (traffic_.events()[i].sync || random_() % 2 == 0) file_bytes = traffic_.events()[i].file_bytes;
        }
        std::vector<std::byte> file = before_;
        const std::uint64_t share = 1 + random_() % 7;  // of the sectors that reached the disk, in eighths
        for (std::size_t i = 0; i < events; ++i) {
            const DiskEvent& event = traffic_.events()[i];
            for (std::size_t at = 0; at < event.data.size(); at += sector_size_bytes) {
                if (i < durable || random_() % 8 < share) put(file, event, at);
            }
        }
        file.resize(std::max<std::size_t>(file.size(), file_bytes));
        return file;
    }
    /// The same when the process died.
    std::vector<std::byte> die(std::size_t events) const {
        std::vector<std::byte> file = before_;
        for (std::size_t i = 0; i < events; ++i) {
            const DiskEvent& event = traffic_.events()[i];
            for (std::size_t at = 0; at < event.data.size(); at += sector_size_bytes)
                put(file, event, at);
            file.resize(std::max<std::size_t>(file.size(), event.file_bytes));
        }
        return file;
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
    static void put(std::vector<std::byte>& file, const DiskEvent& event, std::size_t at) {
        const std::size_t end = event.offset + at + sector_size_bytes;
        if (file.size() < end) file.resize(end);
        std::memcpy(file.data() + event.offset + at, event.data.data() + at, sector_size_bytes);
    }

    const std::vector<std::byte> before_;
    const Traffic& traffic_;
    std::mt19937_64 random_;
};

void examine(const std::string& path, const History& history, std::size_t kept, std::size_t now) {
    const int status = check_qcow2(path);
    REQUIRE((status == 0 || status == 3));
    const Mapping memory = Mapping::anonymous(disk_sectors * sector_size_bytes);
    for (int life = 0; life < 2; ++life) {  // opening it for writing changes nothing that is seen
        DriverHarness harness;
        const auto driver = harness.open("qcow2:" + path);
        REQUIRE_FALSE(harness.read(*driver, {0, disk_sectors}, memory.bytes()));
        for (std::uint64_t sector = 0; sector < disk_sectors; ++sector) {
            CAPTURE(sector);
            const auto data = memory.bytes().subspan(sector * sector_size_bytes, sector_size_bytes);
            if (!history.allows(sector, data, kept, now)) FAIL("the sector holds what it cannot");
        }
    }
    REQUIRE(check_qcow2(path) == status);
}

void write_file(const std::string& path, const std::vector<std::byte>& bytes) {
    std::ofstream{path, std::ios::binary | std::ios::trunc}.write(reinterpret_cast<const char*>(bytes.data()),
                                                                  static_cast<std::streamsize>(bytes.size()));
}

void check_crashes(const TemporaryDirectory& directory, const std::string& path, const ModelDisk& before,
                   Habits habits) {
    const std::uint64_t seed = seed_of_this_run();
    std::vector<std::byte> bytes = read_file(path);
    const Traffic traffic{path, before, seed, habits};
    REQUIRE(traffic.flushes().size() > 2);
    Crash crash{std::move(bytes), traffic, seed + 2};
    const char* const wanted = std::getenv("BLKTAP_CRASH_POINTS");
    const std::size_t points = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 25;
    std::mt19937_64 random{seed + 3};
    const std::string crashed = path + ".crashed";
    for (std::size_t point = 0; point < points; ++point) {
        const std::size_t events = random() % (traffic.events().size() + 1);
        CAPTURE(events);
        write_file(crashed, crash.lose_power(events));
        examine(crashed, traffic.history(), crash.kept(events), events);
        write_file(crashed, crash.die(events));
        examine(crashed, traffic.history(), events, events);
    }
    (void)directory;
}

}  // namespace

TEST_CASE("qcow2 driver: a crash at any moment leaves an image with everything that was promised", "[crash][qcow2]") {
    if (!qemu_img_available()) {
        WARN("needs qemu-img");
        return;
    }
    const TemporaryDirectory directory;
    const std::string options = GENERATE("cluster_size=65536", "cluster_size=4096", "cluster_size=512,refcount_bits=8",
                                         "compat=0.10,cluster_size=4096", "cluster_size=4096,refcount_bits=1",
                                         "extended_l2=on,cluster_size=16384", "extended_l2=on");
    CAPTURE(options);
    check_crashes(directory, make_qcow2(directory.path("disk"), "2M", options), ModelDisk{disk_sectors}, {});
}

TEST_CASE("qcow2 driver: a crash while old contents are copied loses none of them", "[crash][qcow2]") {
    if (!qemu_img_available()) {
        WARN("needs qemu-img");
        return;
    }
    const TemporaryDirectory directory;
    ModelDisk model{disk_sectors};
    for (std::uint64_t first = 0; first + 100 < disk_sectors; first += 300)
        model.write({first, 100}, first + 1);
    const std::string raw = directory.make_file("base", disk_sectors * sector_size_bytes);
    std::vector<std::byte> bytes(disk_sectors * sector_size_bytes);
    for (std::uint64_t sector = 0; sector < disk_sectors; ++sector)
        ModelDisk::fill({sector, 1}, model.stamp(sector), std::span(bytes).subspan(sector * 512, 512));
    write_file(raw, bytes);
    const std::string path = directory.path("disk");
    const std::string options = GENERATE("cluster_size=16384", "cluster_size=16384,extended_l2=on");
    CAPTURE(options);
    if (GENERATE(true, false)) {
        make_qcow2(path, "2M", options, {"-b", raw, "-F", "raw"});
        check_crashes(directory, path, model, {.discards = false});
    } else {
        qemu_img({"convert", "-q", "-c", "-f", "raw", "-O", "qcow2", "-o", options, raw, path});
        check_crashes(directory, path, model, {});
    }
}

TEST_CASE("qcow2 driver: a crash while tables move for a larger disk leaves a disk of either size", "[crash][qcow2]") {
    if (!qemu_img_available()) {
        WARN("needs qemu-img");
        return;
    }
    const TemporaryDirectory directory;
    const std::string options =
        GENERATE("cluster_size=512", "cluster_size=512,refcount_bits=64", "cluster_size=1024,refcount_bits=8");
    CAPTURE(options);
    const std::string path = make_qcow2(directory.path("disk"), "2M", options);
    check_crashes(directory, path, ModelDisk{disk_sectors}, {.grows = true});
}
