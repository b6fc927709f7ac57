// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// How a tapdisk that is to die is told where (variables of its environment), and how it tells that it did (a note in a
// file, the last thing that it writes).
#pragma once

#include <array>
#include <cstdint>

namespace blktap::mortal {

/// "NAME:N": dies when it has made the store NAME for the Nth time.
inline constexpr const char* die_at_variable = "BLKTAP_DIE_AT";
/// Microseconds after its start.
inline constexpr const char* die_after_variable = "BLKTAP_DIE_AFTER";
/// The file of the notes, which exists.
inline constexpr const char* note_variable = "BLKTAP_DEATH_NOTE";
/// The name of the fault that it has.
inline constexpr const char* fault_variable = "BLKTAP_FAULT";
/// While this file exists, each flush fails.
inline constexpr const char* bad_storage_variable = "BLKTAP_BAD_STORAGE";
/// So many mappings of memory that nothing uses: who reads about this memory takes long.
inline constexpr const char* mappings_variable = "BLKTAP_MAPPINGS";

struct DeathNote {
    std::array<char, 24> store{};  ///< empty: the time had come
    std::int64_t when_ns = 0;      ///< of CLOCK_MONOTONIC
};

/// Where a tapdisk may die, and who does that: docs/formats/recovery-log.md tells what each store is.
struct NamedStore {
    const char* name;
    /// What makes it: connecting rings, serving requests, going on after a death, and that only after certain ones.
    enum class Part { connects, serves, adopts, adopts_old_log, adopts_half_done } part;
};

inline constexpr std::array named_stores{
    NamedStore{"log-emptied", NamedStore::Part::connects},
    NamedStore{"header-filled", NamedStore::Part::connects},
    NamedStore{"log-made", NamedStore::Part::connects},
    NamedStore{"slot-filled", NamedStore::Part::serves},
    NamedStore{"slot-taken", NamedStore::Part::serves},
    NamedStore{"ring-advanced", NamedStore::Part::serves},
    NamedStore{"response-put", NamedStore::Part::serves},
    NamedStore{"record-filled", NamedStore::Part::serves},
    NamedStore{"record-begun", NamedStore::Part::serves},
    NamedStore{"responses-visible", NamedStore::Part::serves},
    NamedStore{"slot-freed", NamedStore::Part::serves},
    NamedStore{"record-cleared", NamedStore::Part::serves},
    NamedStore{"frontend-notified", NamedStore::Part::serves},
    NamedStore{"loss-kept", NamedStore::Part::adopts},
    NamedStore{"health-kept", NamedStore::Part::adopts},
    NamedStore{"identity-kept", NamedStore::Part::adopts_old_log},
    NamedStore{"version-kept", NamedStore::Part::adopts_old_log},
    NamedStore{"outcome-settled", NamedStore::Part::adopts_half_done},
    NamedStore{"half-taken-freed", NamedStore::Part::adopts_half_done},
    NamedStore{"queue-adopted", NamedStore::Part::adopts},
    NamedStore{"request-readmitted", NamedStore::Part::adopts},
    NamedStore{"frontend-woken", NamedStore::Part::adopts},
};

inline constexpr std::array faults{"record-not-settled", "sequence-ignored", "failed-forgotten", "ring-scanned-first"};

}  // namespace blktap::mortal
