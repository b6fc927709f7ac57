// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// BLKTAP_STORED(name): the store of this name was made, one of those between which a tapdisk may die
// (docs/formats/recovery-log.md). BLKTAP_PLANTED(name): whether this fault is planted. In the programs that ship both
// are nothing. tests/crash compiles these sources once more, into a tapdisk that dies where it is told to, or that has
// a fault which the tests must find: its functions are in tests/crash/mortal/death.cpp.
//
// Tested by tests/crash/recovery_kill_test.cpp, tests/crash/planted_fault_test.cpp.
#pragma once

#ifdef BLKTAP_MORTAL

namespace blktap::mortal {

void stored(const char* name) noexcept;
bool planted(const char* name) noexcept;

}  // namespace blktap::mortal

#define BLKTAP_STORED(name) ::blktap::mortal::stored(name)
#define BLKTAP_PLANTED(name) ::blktap::mortal::planted(name)

#else

#define BLKTAP_STORED(name) static_cast<void>(0)
#define BLKTAP_PLANTED(name) false

#endif
