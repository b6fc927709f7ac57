// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/call_names.hpp"

#include <sys/syscall.h>

namespace blktap {

const char* call_name(long number) noexcept {
    switch (number) {
#define BLKTAP_CALL(name) \
    case SYS_##name:      \
        return #name;
#include "libblktap/base/call_names.inc"
#undef BLKTAP_CALL
        default:
            return "unknown";
    }
}

}  // namespace blktap
