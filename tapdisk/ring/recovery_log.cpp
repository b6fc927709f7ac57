// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/ring/recovery_log.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libblktap/base/assert.hpp"
#include "tapdisk/ring/named_store.hpp"

namespace blktap {
namespace {

using log_layout::Header;
using log_layout::QueueHeader;
using log_layout::Slot;
using log_layout::SlotState;

std::size_t queue_size_bytes(std::size_t slots) {
    return sizeof(QueueHeader) + slots * sizeof(Slot);
}

std::size_t log_size_bytes(std::uint32_t queue_count, std::uint32_t slots) {
    return sizeof(Header) + queue_count * queue_size_bytes(slots);
}

/// Ring indices are free-running.
bool is_before(std::uint32_t index, std::uint32_t end) noexcept {
    return static_cast<std::int32_t>(index - end) < 0;
}

/// Stores `value` after all earlier stores; that order suffices for a reader that starts when this process is gone.
void store_last(std::uint32_t& where, std::uint32_t value) noexcept {
    std::atomic_ref(where).store(value, std::memory_order_release);
}

}  // namespace

const ring::RawRequest& RecoveryLog::Queue::record(std::uint16_t slot, std::uint32_t ring_index, std::uint64_t sequence,
                                                   const ring::RawRequest& request) noexcept {
    Slot& entry = slots_[slot];
    BLKTAP_ASSERT(entry.state == static_cast<std::uint32_t>(SlotState::free));
    entry.request = request;
    entry.ring_index = ring_index;
    entry.sequence = sequence;
    BLKTAP_STORED("slot-filled");
    store_last(entry.state, static_cast<std::uint32_t>(SlotState::unanswered));
    BLKTAP_STORED("slot-taken");
    return entry.request;
}

void RecoveryLog::Queue::advance(std::uint32_t consumed) noexcept {
    store_last(header_->consumed, consumed);
    BLKTAP_STORED("ring-advanced");
}

void RecoveryLog::Queue::begin_publish(std::uint32_t old_producer, std::uint32_t new_producer,
                                       std::span<const std::uint16_t> slots) noexcept {
    BLKTAP_ASSERT(header_->publishing == 0 && slots.size() <= slots_.size());
    header_->old_producer = old_producer;
    header_->new_producer = new_producer;
    header_->published_count = static_cast<std::uint32_t>(slots.size());
    std::copy(slots.begin(), slots.end(), header_->published);
    BLKTAP_STORED("record-filled");
    store_last(header_->publishing, 1);
    BLKTAP_STORED("record-begun");
}

void RecoveryLog::Queue::end_publish() noexcept {
    for (std::uint32_t i = 0; i < header_->published_count; ++i) {
        store_last(slots_[header_->published[i]].state, static_cast<std::uint32_t>(SlotState::free));
        BLKTAP_STORED("slot-freed");
    }
    store_last(header_->publishing, 0);
    BLKTAP_STORED("record-cleared");
}

bool RecoveryLog::Queue::settle(std::uint32_t responses_published) noexcept {
    if (BLKTAP_PLANTED("record-not-settled")) header_->publishing = 0;
    if (header_->publishing != 0) {
        const bool visible = responses_published == header_->new_producer;
        if (!visible && responses_published != header_->old_producer) return false;
        if (visible) {
            end_publish();
        } else {
            // Nothing of the record changes before it ends: a successor may die here, too, and the next one reads it.
            store_last(header_->publishing, 0);
        }
        BLKTAP_STORED("outcome-settled");
    }
    for (Slot& slot : slots_) {
        const bool taken = slot.state != static_cast<std::uint32_t>(SlotState::free);
        if (!taken || is_before(slot.ring_index, header_->consumed)) continue;
        slot.state = static_cast<std::uint32_t>(SlotState::free);
        BLKTAP_STORED("half-taken-freed");
    }
    return true;
}

std::vector<std::uint16_t> RecoveryLog::Queue::unanswered() const {
    std::vector<std::uint16_t> taken;
    for (std::size_t i = 0; i < slots_.size(); ++i)
        if (slots_[i].state != static_cast<std::uint32_t>(SlotState::free))
            taken.push_back(static_cast<std::uint16_t>(i));
    return taken;
}

void RecoveryLog::Queue::clear() noexcept {
    for (Slot& slot : slots_)
        slot.state = static_cast<std::uint32_t>(SlotState::free);
}

RecoveryLog::RecoveryLog(UniqueFd file, const Shape& shape) : file_(std::move(file)) {
    BLKTAP_ASSERT(shape.queue_count > 0 && shape.slots_per_queue > 0 && shape.slots_per_queue <= ring::ring_slots_max);
    const std::size_t size_bytes = log_size_bytes(shape.queue_count, shape.slots_per_queue);
    // Emptied first: a log must never begin with another connection's requests.
    if (::ftruncate(file_.get(), 0) != 0 || ::ftruncate(file_.get(), static_cast<off_t>(size_bytes)) != 0) {
        throw_system_error("recovery log: resize to " + std::to_string(size_bytes) + " bytes");
    }
    // Reserve the space now: a full tmpfs must be an error here, not a SIGBUS on the path of a request.
    if (const int error = ::posix_fallocate(file_.get(), 0, static_cast<off_t>(size_bytes)); error != 0) {
        throw_error({error, std::system_category()}, "recovery log: " + std::to_string(size_bytes) + " bytes");
    }
    BLKTAP_STORED("log-emptied");
    map(shape);
    header().version = log_layout::version;
    header().queue_count = shape.queue_count;
    header().slots_per_queue = shape.slots_per_queue;
    header().boot = shape.identity.boot;
    header().frontend = shape.identity.frontend;
    BLKTAP_STORED("header-filled");
    std::atomic_ref(header().magic).store(log_layout::magic, std::memory_order_release);
    BLKTAP_STORED("log-made");
}

RecoveryLog RecoveryLog::adopt(UniqueFd file, const Shape& shape) {
    const auto refuse = [](Errc code, const std::string& reason) { throw_error(code, "recovery log: " + reason); };
    RecoveryLog log(std::move(file));
    struct stat status {};
    if (::fstat(log.file_.get(), &status) != 0) throw_system_error("recovery log");
    const std::size_t size_bytes = log_size_bytes(shape.queue_count, shape.slots_per_queue);
    if (status.st_size != static_cast<off_t>(size_bytes)) {
        refuse(Errc::bad_message,
               std::to_string(status.st_size) + " bytes, but these rings' has " + std::to_string(size_bytes));
    }
    log.map(shape);
    const auto contents = read_log(log.bytes());
    if (!contents && contents.error() == Errc::bad_version) {
        refuse(Errc::bad_version, "version " + std::to_string(log.header().version) + " is not known here");
    }
    if (!contents) refuse(Errc::bad_message, "damaged");
    if (contents.value().queues.size() != shape.queue_count ||
        contents.value().slots_per_queue != shape.slots_per_queue)
        refuse(Errc::bad_message, "of rings of another size");
    if (contents.value().version == log_layout::version) {
        if (contents.value().identity.boot != shape.identity.boot) refuse(Errc::bad_message, "of an earlier boot");
        if (contents.value().identity != shape.identity) refuse(Errc::bad_message, "of another frontend's rings");
        return log;
    }
    log.header().boot = shape.identity.boot;
    log.header().frontend = shape.identity.frontend;
    BLKTAP_STORED("identity-kept");
    log.keep({});
    store_last(log.header().version, log_layout::version);
    BLKTAP_STORED("version-kept");
    return log;
}

log_layout::Header& RecoveryLog::header() const noexcept {
    return *reinterpret_cast<Header*>(mapping_.data());
}

void RecoveryLog::map(const Shape& shape) {
    mapping_ = Mapping::shared_file(file_.get(), log_size_bytes(shape.queue_count, shape.slots_per_queue));
    for (std::uint32_t i = 0; i < shape.queue_count; ++i) {
        std::byte* start = mapping_.data() + sizeof(Header) + i * queue_size_bytes(shape.slots_per_queue);
        queues_.emplace_back(*reinterpret_cast<QueueHeader*>(start),
                             std::span(reinterpret_cast<Slot*>(start + sizeof(QueueHeader)), shape.slots_per_queue));
    }
}

void RecoveryLog::keep(const StorageHealth::Kept& health) noexcept {
    header().lost_until = health.lost_until;
    BLKTAP_STORED("loss-kept");
    store_last(header().health, health.bits);
    BLKTAP_STORED("health-kept");
}

StorageHealth::Kept RecoveryLog::kept() const noexcept {
    if (BLKTAP_PLANTED("failed-forgotten")) return {};
    return {header().health, header().lost_until};
}

bool RecoveryLog::is_in(const UniqueFd& fd) const noexcept {
    struct stat own {};
    struct stat other {};
    return ::fstat(file_.get(), &own) == 0 && ::fstat(fd.get(), &other) == 0 && own.st_dev == other.st_dev &&
           own.st_ino == other.st_ino;
}

UniqueFd RecoveryLog::take_file() noexcept {
    queues_.clear();
    mapping_.reset();
    return std::move(file_);
}

UniqueFd make_anonymous_log_file() {
    UniqueFd file{::memfd_create("tapdisk-recovery", MFD_CLOEXEC)};
    if (!file) throw_system_error("recovery log: memfd_create");
    return file;
}

UniqueFd open_log_file(const std::string& path) {
    UniqueFd file{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600)};
    if (!file) throw_system_error("recovery log " + path);
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) throw_system_error("recovery log " + path);
    if (!S_ISREG(status.st_mode)) {
        throw_reason(std::make_error_code(std::errc::invalid_argument),
                     "recovery log " + path + ": not a regular file");
    }
    return file;
}

namespace {

/// No disk ever has so many; those that a successor gives come after it.
constexpr std::uint64_t sequence_max = std::uint64_t{1} << 62;

template <class T>
T read_at(std::span<const std::byte> bytes, std::size_t offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

Result<LogContents::Queue> read_queue(const QueueHeader& header, std::uint32_t slots) {
    LogContents::Queue queue{header.consumed, header.publishing == 1, header.old_producer, header.new_producer, {}};
    if (header.publishing > 1 || header.published_count > slots) return Errc::bad_message;
    if (!queue.publishing) return queue;
    if (header.new_producer - header.old_producer != header.published_count) return Errc::bad_message;
    queue.published.assign(header.published, header.published + header.published_count);
    for (const std::uint16_t slot : queue.published) {
        if (slot >= slots) return Errc::bad_message;
    }
    return queue;
}

}  // namespace

Result<LogContents> read_log(std::span<const std::byte> bytes) {
    if (bytes.size() < sizeof(Header)) return Errc::bad_message;
    const auto header = read_at<Header>(bytes, 0);
    if (header.magic != log_layout::magic) return Errc::bad_message;
    if (header.version < log_layout::oldest_version || header.version > log_layout::version) return Errc::bad_version;
    const std::uint32_t slots = header.slots_per_queue;
    if (header.queue_count == 0 || header.queue_count > 64 || slots == 0 || slots > ring::ring_slots_max) {
        return Errc::bad_message;
    }
    if (bytes.size() < log_size_bytes(header.queue_count, slots)) return Errc::bad_message;

    LogContents contents{};
    contents.version = header.version;
    contents.slots_per_queue = slots;
    if (header.version >= 2) {
        if ((header.health & ~StorageHealth::Kept::all_bits) != 0) return Errc::bad_message;
        contents.health = {header.health, header.lost_until};
        contents.identity = {header.boot, header.frontend};
    }
    for (std::uint32_t q = 0; q < header.queue_count; ++q) {
        const std::size_t offset = sizeof(Header) + q * queue_size_bytes(slots);
        auto queue = read_queue(read_at<QueueHeader>(bytes, offset), slots);
        if (!queue) return queue.error();
        for (std::uint32_t s = 0; s < slots; ++s) {
            const auto slot = read_at<Slot>(bytes, offset + sizeof(QueueHeader) + s * sizeof(Slot));
            if (slot.state > 1) return Errc::bad_message;
            // A slot at or past the consumed index was being written when its writer died: the request is still in the
            // ring.
            if (slot.state == 1 && is_before(slot.ring_index, queue.value().consumed)) {
                if (slot.sequence > sequence_max) return Errc::bad_message;
                contents.unanswered.push_back({static_cast<std::uint16_t>(q), static_cast<std::uint16_t>(s),
                                               slot.ring_index, slot.sequence, slot.request});
            }
        }
        contents.queues.push_back(std::move(queue).value());
    }
    std::ranges::sort(contents.unanswered, {}, &LogContents::Request::sequence);
    return contents;
}

}  // namespace blktap
