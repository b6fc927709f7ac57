// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/attack/honest_queue.hpp"

#include <algorithm>
#include <cstring>

#include "tests/attack/victim.hpp"

namespace blktap::attack {
namespace {

constexpr std::size_t words_of_a_sector = sector_size_bytes / sizeof(std::uint64_t);

}  // namespace

HonestQueue::HonestQueue(replay::FrontendHost& host, std::span<std::byte> ring_pages, ring::Protocol protocol,
                         HonestDisk& disk)
    : ring_(ring_pages, protocol), data_(host.share(pages, xen::PageAccess::read_write)), disk_(disk) {
    for (std::uint32_t page = 0; page < pages; ++page)
        free_pages_.push_back(page);
}

std::span<std::byte> HonestQueue::sector_bytes(const UnderWay& request, std::uint32_t index) const {
    return data_.bytes().subspan(request.page * page_size_bytes + (request.first + index) * sector_size_bytes,
                                 sector_size_bytes);
}

bool HonestQueue::is_free(std::uint64_t sector, std::uint32_t count) const {
    return std::ranges::none_of(under_way_, [&](const auto& entry) {
        const UnderWay& other = entry.second;
        return sector < other.sector + other.count && other.sector < sector + count;
    });
}

void HonestQueue::put(SeededRandom& random, std::uint32_t count) {
    for (; count > 0 && !ring_.full() && !free_pages_.empty(); --count) {
        UnderWay request{};
        request.operation = random.one_in(12)  ? ring::Operation::flush_diskcache
                            : random.one_in(2) ? ring::Operation::write
                                               : ring::Operation::read;
        request.first = random.between<std::uint32_t>(0, 7);
        request.count = random.between<std::uint32_t>(1, 8 - request.first);
        request.sector = random.between<std::uint64_t>(0, disk_.sectors() - request.count);
        if (!is_free(request.sector, request.count)) continue;
        const bool has_data = request.operation != ring::Operation::flush_diskcache;
        if (!has_data) request.count = 0;
        request.page = free_pages_.back();
        free_pages_.pop_back();
        request.number = disk_.next();
        for (std::uint32_t index = 0; index < request.count; ++index) {
            const std::vector<std::uint64_t> words(words_of_a_sector, request.operation == ring::Operation::write
                                                                          ? request.number + index
                                                                          : ~request.number);
            std::memcpy(sector_bytes(request, index).data(), words.data(), sector_size_bytes);
        }
        ring::RawRequest raw{};
        raw.operation = static_cast<std::uint8_t>(request.operation);
        raw.id = ++last_id_;
        raw.sector_number = has_data ? request.sector : 0;
        raw.segment_count = has_data ? 1 : 0;
        raw.segments[0] = {data_.refs()[request.page], static_cast<std::uint8_t>(request.first),
                           static_cast<std::uint8_t>(request.first + request.count - (has_data ? 1 : 0)), 0};
        ring_.put_request(raw);
        under_way_.emplace(raw.id, request);
    }
    static_cast<void>(ring_.publish());
}

void HonestQueue::check(const UnderWay& request) const {
    for (std::uint32_t index = 0; index < request.count; ++index) {
        if (disk_.number(request.sector + index) == HonestDisk::unknown) continue;
        const auto bytes = sector_bytes(request, index);
        const std::vector<std::uint64_t> expected(words_of_a_sector, disk_.number(request.sector + index));
        if (std::memcmp(bytes.data(), expected.data(), sector_size_bytes) == 0) continue;
        std::uint64_t found = 0;
        std::memcpy(&found, bytes.data(), sizeof found);
        throw Finding("sector " + std::to_string(request.sector + index) + " has " + std::to_string(found) +
                      ", expected " + std::to_string(expected.front()));
    }
}

void HonestQueue::give_up() {
    for (const auto& [id, request] : under_way_) {
        for (std::uint32_t index = 0; request.operation == ring::Operation::write && index < request.count; ++index)
            disk_.number(request.sector + index) = HonestDisk::unknown;
    }
}

void HonestQueue::take() {
    for (;;) {
        const auto taken = ring_.take_response();
        if (!taken) throw Finding("more answers than requests in an honest ring");
        if (!taken.value()) return;
        const ring::Response response = *taken.value();
        const auto known = under_way_.extract(response.id);
        if (known.empty())
            throw Finding("an answer to the request " + std::to_string(response.id) + ", which waits for none");
        const UnderWay& request = known.mapped();
        if (response.status != ring::Status::okay)
            throw Finding("an honest request failed: " + std::to_string(static_cast<int>(response.status)));
        if (response.operation != static_cast<std::uint8_t>(request.operation))
            throw Finding("an answer of another operation");
        if (request.operation == ring::Operation::read) check(request);
        for (std::uint32_t index = 0; request.operation == ring::Operation::write && index < request.count; ++index)
            disk_.number(request.sector + index) = request.number + index;
        for (std::uint32_t index = 1; index < request.count; ++index)
            static_cast<void>(disk_.next());
        free_pages_.push_back(request.page);
        ++answered_;
    }
}

}  // namespace blktap::attack
