// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/fakexen/control.hpp"

#include <algorithm>
#include <filesystem>
#include <span>
#include <stdlib.h>
#include <system_error>
#include <utility>

#include "libblktap/base/error.hpp"
#include "tests/fakexen/current_world.hpp"
#include "tests/fakexen/failures.hpp"
#include "tests/fakexen/grants.hpp"
#include "tests/fakexen/shared_world.hpp"

namespace fakexen {
namespace {

std::string make_directory() {
    std::string path = "/dev/shm/fakexen.XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) blktap::throw_system_error("fakexen: " + path);
    // Programs under test may give up their user.
    std::filesystem::permissions(path, std::filesystem::perms::all);
    return path;
}

template <class Entry, class Predicate>
std::size_t count_living(SharedWorld& world, std::span<Entry> (SharedWorld::*used)() const, Predicate predicate) {
    const WorldLock lock{world};
    bury_the_dead(world, lock);
    const auto table = (world.*used)();
    return static_cast<std::size_t>(std::count_if(table.begin(), table.end(), predicate));
}

}  // namespace

World::World() : directory_(make_directory()), shared_(std::make_unique<SharedWorld>(directory_)) {
    fail_nothing();
    set_current_world(shared_.get());
}

World::~World() {
    set_current_world(nullptr);
    fail_nothing();
    shared_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
}

std::vector<std::string> World::environment(std::uint16_t domain) const {
    return {"FAKEXEN=" + directory_, "FAKEXEN_DOMAIN=" + std::to_string(domain)};
}

std::size_t World::pages_mapped_by(std::uint16_t domain) const {
    return count_living(*shared_, &SharedWorld::used_maps,
                        [=](const MapRecord& map) { return map.process != 0 && map.domain == domain; });
}

std::size_t World::pages_shared_by(std::uint16_t domain) const {
    return count_living(*shared_, &SharedWorld::used_pages, [=](const Page& page) {
        const Grant grant = from_word(page.grant.load());
        return grant && grant.owner == domain;
    });
}

std::size_t World::ports_of(std::uint16_t domain) const {
    return count_living(*shared_, &SharedWorld::used_ports,
                        [=](const PortEntry& port) { return port.handle.load() != 0 && port.domain == domain; });
}

std::size_t World::connected_ports_of(std::uint16_t domain) const {
    return count_living(*shared_, &SharedWorld::used_ports, [=](const PortEntry& port) {
        return port.handle.load() != 0 && port.domain == domain && port.peer.load() != 0;
    });
}

bool World::is_mapped(std::uint32_t ref) const {
    return is_page_ref(ref) && count_living(*shared_, &SharedWorld::used_maps, [=](const MapRecord& map) {
                                   return map.process != 0 && map.page == ref - first_ref;
                               }) != 0;
}

ActAs::ActAs(std::uint16_t domain) noexcept : before_(act_as(domain)) {}

ActAs::~ActAs() {
    act_as(before_);
}

}  // namespace fakexen
