// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/support/machine/vbd_harness.hpp"

#include <algorithm>
#include <chrono>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <stdexcept>
#include <sys/stat.h>
#include <unistd.h>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/base/mapping.hpp"
#include "libblktap/files/local_image_opener.hpp"

namespace blktap::testing {
namespace {

// Far above any test: sanitizers on a busy machine are slow.
constexpr auto patience = std::chrono::seconds(30);
constexpr int rounds_max = 100'000;

/// Returns the number that the next descriptor of this process will get.
int next_descriptor() {
    const UniqueFd probe{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    return probe.get();
}

}  // namespace

VbdHarness::VbdHarness(Options options)
    : directory_("/dev/shm"),
      epoll_fd_(next_descriptor()),
      loop_(clock_),
      sim_kernel_(options.seed),
      options_(std::move(options)) {
    log::configure("test", log::Level::error, log::Sink::standard_error);
    sim_kernel_.complete_at_submit();
    image_path_ =
        directory_.make_file("image", options_.file_sectors.value_or(options_.size_sectors) * sector_size_bytes);
    replace_tapdisk();
    loop_.set_turn([this] {
        const EventLoop::Next next = vbd_->turn();
        turn_again_ = next == EventLoop::Next::turn_again;
        return next;
    });
    open(parse_image_spec(image_name(), options_.access), std::make_unique<LocalImageOpener>());
    make_frontend(options_.frontend);
    if (options_.connect) connect();
}

VbdHarness::~VbdHarness() {
    sim_kernel_.set_chances({});
    sim_kernel_.complete_at_submit();
    sim_kernel_.complete_all();
    options_.at_end();
    // Not close(): a failed test may leave another operation under way.
    (void)shut_down();
    BLKTAP_ASSERT(!vbd_->connected());
    vbd_.reset();
    BLKTAP_ASSERT(world().pages_mapped_by(0) == 0 && world().ports_of(0) == 0);
}

// ---- traffic ----

bool VbdHarness::round() {
    const std::size_t before = unanswered();
    loop_.run_once(Nanoseconds{0});
    take_answers();
    return unanswered() != before;
}

bool VbdHarness::would_sleep() const {
    pollfd loop{epoll_fd_, POLLIN, 0};
    return !turn_again_ && ::poll(&loop, 1, 0) == 0;
}

void VbdHarness::run_until(const std::function<bool()>& condition) {
    const auto give_up = std::chrono::steady_clock::now() + patience;
    for (round(); !condition(); take_answers()) {
        if (std::chrono::steady_clock::now() > give_up)
            throw std::runtime_error("nothing happens any more: " + vbd_->stats().dump());
        loop_.run_once(patience);
    }
}

void VbdHarness::settle() {
    round();
    for (int rounds = 0; !would_sleep(); ++rounds) {
        if (rounds == rounds_max) throw std::runtime_error("the loop never sleeps: " + vbd_->stats().dump());
        round();
    }
}

ring::Status VbdHarness::run(const ring::RawRequest& request, unsigned queue) {
    send(request, queue);
    run_until([&] { return answered(request.id); });
    return *answer(request.id);
}

// ---- control ----

void VbdHarness::connect() {
    UniqueFd log = make_anonymous_log_file();
    log_file_ = UniqueFd{::fcntl(log.get(), F_DUPFD_CLOEXEC, 0)};
    vbd_->connect(frontend().connect_arguments(), std::move(log));
    told_ = vbd_->describe();
}

void VbdHarness::replace_tapdisk() {
    AioKernel& kernel = options_.kernel != nullptr ? *options_.kernel : sim_kernel_;
    vbd_.reset();
    const auto last_log = [this] {
        return log_file_ ? UniqueFd{::fcntl(log_file_.get(), F_DUPFD_CLOEXEC, 0)} : make_anonymous_log_file();
    };
    vbd_.emplace(loop_, kernel, options_.drivers,
                 Vbd::Options{.disk = {.aio_slots = options_.aio_slots}, .make_log_file = last_log});
}

void VbdHarness::recover(std::vector<UniqueFd> logs) {
    replace_tapdisk();
    vbd_->recover(parse_image_spec(image_name(), options_.access), std::make_unique<LocalImageOpener>(), told_,
                  std::move(logs));
    vbd_->connect(frontend().connect_arguments(), UniqueFd{::fcntl(log_file_.get(), F_DUPFD_CLOEXEC, 0)}, {},
                  Vbd::Rings::adopted);
}

std::string VbdHarness::image_name() const {
    if (!options_.image.empty()) return options_.image;
    const std::string size = "&size=" + std::to_string(options_.size_sectors * sector_size_bytes);
    return "raw:" + image_path_ + "?buffered=yes" + (options_.file_sectors ? size : "") + options_.image_options;
}

void VbdHarness::relink() {
    if (!options_.image.empty()) return resume();  // a test's own driver has only one image
    const std::string copy = directory_.path("image-" + std::to_string(++relinks_));
    std::filesystem::rename(image_path_, copy);
    image_path_ = copy;
    resume(parse_image_spec(image_name(), options_.access), std::make_unique<LocalImageOpener>());
}

// ---- what can be seen ----

std::uint64_t VbdHarness::counter(const std::string& pointer) const {
    return vbd_->stats().at("connection").at(ipc::Json::json_pointer(pointer)).get<std::uint64_t>();
}

LogContents VbdHarness::log() const {
    struct stat status {};
    BLKTAP_ASSERT(::fstat(log_file_.get(), &status) == 0);
    const Mapping bytes = Mapping::shared_file(log_file_.get(), static_cast<std::size_t>(status.st_size));
    auto contents = read_log(bytes.bytes());
    BLKTAP_ASSERT(contents.has_value());
    return std::move(contents).value();
}

std::vector<std::uint64_t> VbdHarness::logged_ids() const {
    std::vector<std::uint64_t> ids;
    for (const LogContents::Request& request : log().unanswered)
        ids.push_back(request.request.id);
    std::ranges::sort(ids);
    return ids;
}

std::vector<std::byte> VbdHarness::image_bytes(SectorRange range) const {
    std::vector<std::byte> bytes(range.length_bytes());
    const UniqueFd file{::open(image_path_.c_str(), O_RDONLY | O_CLOEXEC)};
    const auto count = ::pread(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(range.offset_bytes()));
    // Bytes behind the file's end are zeros.
    BLKTAP_ASSERT(count >= 0 && (options_.file_sectors || count == static_cast<ssize_t>(bytes.size())));
    return bytes;
}

}  // namespace blktap::testing
