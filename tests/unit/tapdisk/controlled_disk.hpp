// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Controlled: a disk with a control socket and one client, for tests of what a controller can do.
#pragma once

#include <optional>
#include <string>

#include "tapdisk/control_server.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/tapdisk/control_client.hpp"

namespace blktap::testing {

/// A disk that is closed, its control socket, and the arguments to open and connect it.
struct Controlled {
    explicit Controlled(VbdHarness::Options options = unconnected()) : machine(std::move(options)) {
        REQUIRE_FALSE(machine.close());
    }

    static VbdHarness::Options unconnected() {
        VbdHarness::Options options;
        options.connect = false;
        return options;
    }
    ipc::Json image() const {
        return {{"format", "raw"}, {"path", machine.image_path()}, {"options", {{"buffered", "yes"}}}};
    }
    ipc::Json frontend(const char* lifetime = "tapdisk") {
        ipc::Json arguments = machine.frontend().connect_arguments();
        arguments["lifetime"] = lifetime;
        return arguments;
    }
    void serve(ControlClient& client) {
        REQUIRE(client.error("open", image()).empty());
        REQUIRE(client.error("connect", frontend()).empty());
    }
    ring::Status read(std::uint64_t id) { return machine.run(machine.read(id, 0, machine.pages(1))); }

    VbdHarness machine;
    std::string path = machine.directory().path("control");
    std::string sandbox = "off";
    ipc::MessageListener listener{path};
    std::optional<ControlServer> server{std::in_place, machine.loop(), machine.vbd(), listener,
                                        ControlServer::Self{::getpid(), sandbox}};
    ControlClient client{machine, path};
};

}  // namespace blktap::testing
