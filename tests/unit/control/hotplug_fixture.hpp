// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A disk as libxl of 4.17 (backend/vbd) or of 4.19 and later (backend/vbd3) writes it, in a real xenstored, and a sysfs
// in which it can be unbound from blkback.
#pragma once

#include <filesystem>

#include "control/hotplug/hotplug.hpp"
#include "tests/support/process.hpp"
#include "tests/support/xenstored.hpp"
#include "tests/unit/control/fake_tapback.hpp"

namespace blktap::testing {

struct HotplugHost {
    static constexpr ipc::VbdAddress vbd{ipc::VbdAddress::Kind::vbd, 5, 51712};
    static constexpr ipc::VbdAddress vbd3{ipc::VbdAddress::Kind::vbd3, 5, 51712};

    HotplugHost() {
        std::filesystem::create_directories(directory.path("sys/bus/xen-backend/drivers/vbd"));
        unbind = directory.make_file("sys/bus/xen-backend/drivers/vbd/unbind", 0);
        // Paths of a backend are relative to this domain, which xenstored knows by its connection.
        store.write("/local/domain/0/name", "Domain-0");
    }

    void make_disk(const ipc::VbdAddress& address, const std::string& params, const std::string& mode = "w") const {
        const std::string backend = address.backend_path();
        store.write(backend + "/frontend", "/local/domain/5/device/vbd/51712");
        store.write(backend + "/params", params);
        store.write(backend + "/mode", mode);
        store.write(backend + "/state", "2");
    }
    std::string node(const ipc::VbdAddress& address, const std::string& name) const {
        return store.read(address.backend_path() + '/' + name).value_or("none");
    }
    std::string unbound() const { return read_file(unbind); }
    std::string sysfs() const { return directory.path("sys"); }

    Xenstored xenstored{};
    XenStore store{};
    TemporaryDirectory directory{};
    std::string unbind{};
};

}  // namespace blktap::testing
