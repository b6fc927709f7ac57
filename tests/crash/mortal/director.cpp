// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/crash/mortal/director.hpp"

#include <vector>

namespace blktap::testing {

using Part = mortal::NamedStore::Part;

Fate Director::next(const std::string& died_at) {
    if (!first_ && deaths_left_ > 0) --deaths_left_;
    first_ = false;
    return over() ? Fate{} : choose(died_at);
}

Fate Director::at_store(Part part, std::uint64_t passages_max) {
    std::vector<const char*> names;
    for (const mortal::NamedStore& store : mortal::named_stores)
        if (store.part == part) names.push_back(store.name);
    Fate fate;
    fate.store = names[random_.below(names.size())];
    // Once for the log, not for each of its queues or requests.
    if (part == Part::adopts && fate.store != "queue-adopted" && fate.store != "request-readmitted") passages_max = 1;
    fate.passage = static_cast<unsigned>(1 + random_.below(passages_max));
    return fate;
}

Fate Director::choose(const std::string& died_at) {
    const std::uint64_t choice = random_.below(20);
    if (!connected_) return at_store(choice < 7 ? Part::connects : Part::serves, choice < 7 ? 1 : 40);
    // These stores are made only after such a death.
    if (died_at == "record-begun" && choice < 14) return {.store = "outcome-settled"};
    if (died_at == "slot-taken" && choice < 14) return {.store = "half-taken-freed"};
    if (choice < 5) return {};  // from outside
    if (choice < 8) return {.after = std::chrono::microseconds(1 + random_.below(40'000))};
    if (choice < 9) {
        Fate fate = at_store(Part::adopts_old_log, 1);
        fate.old_log = true;
        return fate;
    }
    return choice < 12 ? at_store(Part::adopts, queue_count_) : at_store(Part::serves, 40);
}

}  // namespace blktap::testing
