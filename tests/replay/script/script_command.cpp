// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// All scripts are parsed before the first one runs: a typing error in the last is known at once.
#include <cstdio>

#include "tests/replay/script/script_runner.hpp"

namespace blktap::replay {
namespace {

std::size_t request_count(const Script& script) {
    std::size_t count = 0;
    for (const ScriptStatement& statement : script.statements)
        count += statement.requests.size();
    return count;
}

bool run_in_all_layouts(const Target& target, const Script& script) {
    try {
        for (const ring::Protocol protocol : script.ring.protocols) {
            const auto connection = target.open();
            ScriptRunner(target, *connection, script, protocol).run();
        }
        std::printf("%s: okay, %zu requests in %zu layouts\n", script.name.c_str(), request_count(script),
                    script.ring.protocols.size());
        return true;
    } catch (const Failure& failure) {
        std::fprintf(stderr, "ring-replay: %s\n", failure.what());
        return false;
    }
}

}  // namespace

Exit run_scripts(const Target& target, const std::vector<std::string>& files) {
    std::vector<Script> scripts;
    for (const std::string& file : files)
        scripts.push_back(load_script(file));
    bool all_okay = true;
    for (const Script& script : scripts)
        all_okay &= run_in_all_layouts(target, script);
    return all_okay ? Exit::okay : Exit::failed;
}

}  // namespace blktap::replay
