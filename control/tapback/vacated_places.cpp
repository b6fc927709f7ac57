// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vacated_places.hpp"

#include <system_error>
#include <utility>

#include "libblktap/base/log.hpp"

namespace blktap::tapback {

void VacatedPlaces::look() {
    const auto places = std::exchange(places_, {});
    for (const auto& [name, place] : places)
        hooks_.release(name);
    for (const auto& [name, place] : places) {
        if (hooks_.is_store_lost()) return;
        try {
            hooks_.look(place);
        } catch (const std::system_error& error) {
            log::warning("vbd.look", {{"vbd", name}, {"reason", error.what()}, {"state", "looks again"}});
            add(place);
        }
    }
}

}  // namespace blktap::tapback
