// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/support/xenstored.hpp"

#include <cstdlib>
#include <memory>
#include <stdexcept>

#include "libblktap/base/error.hpp"
#include "tests/support/places.hpp"

extern "C" {
#include <xenstore.h>
}

namespace blktap::testing {
namespace {

// The xenstored of the Xen release for which libfakexenstored.so was built: the structs between the two change with
// each release.
constexpr const char* program = BLKTAP_XENSTORED;

struct Close {
    void operator()(xs_handle* handle) const noexcept { xs_close(handle); }
};
using Handle = std::unique_ptr<xs_handle, Close>;

Handle open_store() {
    Handle handle(xs_open(0));
    if (!handle) throw_system_error("xenstored");
    return handle;
}

bool answers() noexcept {
    const Handle handle(xs_open(0));
    unsigned count = 0;
    char** const names = handle ? xs_directory(handle.get(), XBT_NULL, "/", &count) : nullptr;
    std::free(names);  // one block, names and all
    return names != nullptr;
}

}  // namespace

Xenstored::Xenstored() {
    ::setenv("XENSTORED_RUNDIR", directory_.path("").c_str(), 1);
    ::setenv("XENSTORED_PATH", directory_.path("socket").c_str(), 1);
    start();
}

Xenstored::~Xenstored() {
    kill();
    ::unsetenv("XENSTORED_RUNDIR");
    ::unsetenv("XENSTORED_PATH");
}

void Xenstored::start() {
    const std::string log = directory_.path("log");
    process_ = Process({program, "-N", "--pid-file", directory_.path("pid")},
                       {.environment = {"LD_PRELOAD=" BLKTAP_LIB_DIR "/libfakexenstored.so"}, .output = log});
    if (!wait_until([this] { return answers() || !process_.running(); }) || !process_.running())
        throw std::runtime_error(std::string(program) + " (package xen-utils-VERSION) does not run: " + read_file(log));
}

void Xenstored::introduce(std::uint16_t domain) const {
    constexpr unsigned long ring_frame = 1;
    constexpr unsigned ring_port = 1;
    if (!xs_introduce_domain(open_store().get(), domain, ring_frame, ring_port)) throw_system_error("introduce");
}

void Xenstored::release(std::uint16_t domain) const {
    if (!xs_release_domain(open_store().get(), domain)) throw_system_error("release");
}

}  // namespace blktap::testing
