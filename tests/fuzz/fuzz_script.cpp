// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Replay scripts of any bytes: the parser accepts one or throws its own error, nothing else, and what it accepts keeps
// the bounds that the runner builds on.
#include "libblktap/base/assert.hpp"
#include "tests/replay/script/script.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    using namespace blktap::replay;
    try {
        const Script script = parse_script("fuzz", {reinterpret_cast<const char*>(data), size});
        BLKTAP_ASSERT(!script.ring.protocols.empty());
        for (const ScriptStatement& statement : script.statements) {
            BLKTAP_ASSERT(statement.queue < script.ring.queues);
            std::size_t pages = 0;
            for (const ScriptRequest& request : statement.requests) {
                BLKTAP_ASSERT(request.queue < script.ring.queues);
                BLKTAP_ASSERT(request.segments.size() <= script_segments_max);
                pages += request.segments.size();
            }
            BLKTAP_ASSERT(pages <= script_pages_max);
        }
    } catch (const ScriptError&) {
        // The error for people who mistype.
    }
    return 0;
}
