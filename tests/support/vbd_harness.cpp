// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/support/vbd_harness.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <stdexcept>
#include <sys/stat.h>
#include <unistd.h>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/files/local_image_opener.hpp"
#include "tests/support/model_disk.hpp"

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

/// Returns the bytes of the `index`-th segment.
std::span<std::byte> segment_bytes(const GuestBuffer& buffer, std::size_t index) {
    const ring::Segment& segment = buffer.segments[index];
    return buffer.memory.subspan(index * page_size_bytes + segment.first_sector * std::size_t{sector_size_bytes},
                                 segment.sector_count() * std::size_t{sector_size_bytes});
}

}  // namespace

std::uint64_t GuestBuffer::sector_count() const {
    std::uint64_t count = 0;
    for (const ring::Segment& segment : segments)
        count += segment.sector_count();
    return count;
}

void GuestBuffer::put(std::span<const std::byte> data) {
    BLKTAP_ASSERT(data.size() == sector_count() * sector_size_bytes);
    for (std::size_t i = 0; i < segments.size(); ++i) {
        const auto part = segment_bytes(*this, i);
        std::memcpy(part.data(), data.data(), part.size());
        data = data.subspan(part.size());
    }
}

std::vector<std::byte> GuestBuffer::get() const {
    std::vector<std::byte> data;
    for (std::size_t i = 0; i < segments.size(); ++i) {
        const auto part = segment_bytes(*this, i);
        data.insert(data.end(), part.begin(), part.end());
    }
    return data;
}

void GuestBuffer::fill(std::uint64_t sector, std::uint64_t stamp) {
    std::vector<std::byte> data(sector_count() * sector_size_bytes);
    ModelDisk::fill(at(sector), stamp, data);
    put(data);
}

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
    AioKernel& kernel = options_.kernel != nullptr ? *options_.kernel : sim_kernel_;
    vbd_.emplace(loop_, kernel, options_.drivers, Vbd::Options{.disk = {.aio_slots = options_.aio_slots}});
    loop_.set_turn([this] {
        const EventLoop::Next next = vbd_->turn();
        turn_again_ = next == EventLoop::Next::turn_again;
        return next;
    });
    const std::string image = options_.image.empty() ? image_name() : options_.image;
    open(parse_image_spec(image, options_.access), std::make_unique<LocalImageOpener>());
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
    BLKTAP_ASSERT(world_.pages_mapped_by(0) == 0 && world_.ports_of(0) == 0);
}

// ---- the guest ----

GuestBuffer VbdHarness::buffer(const std::vector<Shape>& shapes, xen::PageAccess access) {
    if (!shares_) {
        const fakexen::ActAs guest{guest_domain};
        shares_.emplace();
    }
    const auto page_count = static_cast<std::uint32_t>(shapes.size());
    const xen::SharedPages& shared = memory_.emplace_back(*shares_, xen::DomainId{0}, page_count + 1, access);
    const std::size_t size_bytes = page_count * page_size_bytes;
    GuestBuffer buffer{shared.bytes().first(size_bytes), {}, shared.bytes().subspan(size_bytes), shared.refs().back()};
    for (std::size_t i = 0; i < shapes.size(); ++i)
        buffer.segments.push_back({shared.refs()[i], shapes[i].first, shapes[i].last, 0});
    return buffer;
}

ring::RawRequest GuestRequests::transfer(ring::Operation operation, std::uint64_t id, std::uint64_t sector,
                                         const GuestBuffer& data) {
    if (data.segments.size() > ring::segments_direct_max) return indirect(operation, id, sector, data);
    ring::RawRequest request{};
    request.operation = static_cast<std::uint8_t>(operation);
    request.id = id;
    request.sector_number = sector;
    request.segment_count = static_cast<std::uint16_t>(data.segments.size());
    std::ranges::copy(data.segments, request.segments.begin());
    return request;
}

ring::RawRequest GuestRequests::read(std::uint64_t id, std::uint64_t sector, const GuestBuffer& data) {
    return transfer(ring::Operation::read, id, sector, data);
}

ring::RawRequest GuestRequests::write(std::uint64_t id, std::uint64_t sector, const GuestBuffer& data) {
    return transfer(ring::Operation::write, id, sector, data);
}

ring::RawRequest GuestRequests::barrier(std::uint64_t id, std::uint64_t sector, const GuestBuffer& data) {
    return transfer(ring::Operation::write_barrier, id, sector, data);
}

ring::RawRequest GuestRequests::indirect(ring::Operation operation, std::uint64_t id, std::uint64_t sector,
                                         const GuestBuffer& data) {
    std::memcpy(data.descriptors.data(), data.segments.data(), std::span(data.segments).size_bytes());
    ring::RawRequest request{};
    request.operation = static_cast<std::uint8_t>(ring::Operation::indirect);
    request.indirect_operation = static_cast<std::uint8_t>(operation);
    request.id = id;
    request.sector_number = sector;
    request.segment_count = static_cast<std::uint16_t>(data.segments.size());
    request.indirect_refs = {};
    request.indirect_refs[0] = data.descriptors_ref;
    return request;
}

ring::RawRequest GuestRequests::flush(std::uint64_t id) {
    ring::RawRequest request{};
    request.operation = static_cast<std::uint8_t>(ring::Operation::flush_diskcache);
    request.id = id;
    request.sector_number = ~std::uint64_t{0};  // as Linux leaves it
    return request;
}

ring::RawRequest GuestRequests::discard(std::uint64_t id, SectorRange range) {
    ring::RawRequest request{};
    request.operation = static_cast<std::uint8_t>(ring::Operation::discard);
    request.id = id;
    request.sector_number = range.first;
    request.discard_sectors = range.count;
    return request;
}

// ---- traffic ----

void VbdHarness::put(const ring::RawRequest& request, unsigned queue) {
    BLKTAP_ASSERT(!answers_.contains(request.id));
    BLKTAP_ASSERT(unanswered_.emplace(request.id, request.response_operation()).second);
    frontend_->ring(queue).put_request(request);
}

void VbdHarness::send(const ring::RawRequest& request, unsigned queue) {
    put(request, queue);
    publish(queue);
}

void VbdHarness::take_answers() {
    if (!frontend_) return;
    frontend_->acknowledge();
    for (unsigned queue = 0; queue < frontend_->queue_count(); ++queue) {
        for (;;) {
            const auto response = frontend_->take(queue);
            BLKTAP_ASSERT(response.has_value());
            if (!response.value()) break;
            const auto request = unanswered_.find(response.value()->id);
            BLKTAP_ASSERT(request != unanswered_.end());
            BLKTAP_ASSERT(request->second == response.value()->operation);
            unanswered_.erase(request);
            answers_[response.value()->id] = *response.value();
        }
    }
    (void)frontend_->rearm();
}

bool VbdHarness::round() {
    const std::size_t before = unanswered_.size();
    loop_.run_once(Nanoseconds{0});
    take_answers();
    return unanswered_.size() != before;
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

std::optional<ring::Status> VbdHarness::answer(std::uint64_t id) const {
    const auto found = answers_.find(id);
    return found == answers_.end() ? std::nullopt : std::optional(found->second.status);
}

ring::Status VbdHarness::run(const ring::RawRequest& request, unsigned queue) {
    send(request, queue);
    run_until([&] { return answered(request.id); });
    return *answer(request.id);
}

std::vector<std::uint64_t> VbdHarness::unanswered_ids() const {
    std::vector<std::uint64_t> ids;
    for (const auto& [id, operation] : unanswered_)
        ids.push_back(id);
    return ids;
}

// ---- control ----

void VbdHarness::make_frontend(const replay::FrontendOptions& options) {
    forget_frontend();
    replay::FrontendOptions ours = options;
    ours.domain = guest_domain;
    ours.backend_domain = 0;
    const fakexen::ActAs guest{guest_domain};
    frontend_.emplace(ours);
}

void VbdHarness::forget_frontend() {
    frontend_.reset();
    unanswered_.clear();
    answers_.clear();
}

void VbdHarness::guest_vanishes() {
    forget_frontend();
    memory_.clear();
    shares_.reset();
}

void VbdHarness::connect() {
    UniqueFd log = make_anonymous_log_file();
    log_file_ = UniqueFd{::fcntl(log.get(), F_DUPFD_CLOEXEC, 0)};
    vbd_->connect(frontend_->connect_arguments(), std::move(log));
}

std::string VbdHarness::image_name() const {
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
