// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What a mortal tapdisk has that the one that ships has not: the ends at named stores, and after a time; planted
// faults; and a storage whose flushes fail while a file exists.
#include "tests/crash/mortal/death.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <string_view>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <libaio.h>

#include "libblktap/base/units.hpp"
#include "tapdisk/ring/named_store.hpp"

namespace blktap::mortal {
namespace {

struct Orders {
    std::string_view store{};
    unsigned long passage = 0;
    std::string_view fault{};
    const char* bad_storage = nullptr;
};

[[noreturn]] void die(std::string_view store) noexcept {
    DeathNote last;
    store.copy(last.store.data(), last.store.size() - 1);
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    last.when_ns = now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
    const char* const path = std::getenv(note_variable);
    const int fd = path == nullptr ? -1 : ::open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0 || ::write(fd, &last, sizeof last) != sizeof last) ::_exit(99);
    ::kill(::getpid(), SIGKILL);
    for (;;)
        ::pause();
}

void time_has_come(int) noexcept {
    die({});
}

Orders read_orders() noexcept {
    Orders orders;
    if (const char* const text = std::getenv(die_at_variable)) {
        const char* const colon = std::strchr(text, ':');
        if (colon == nullptr) ::_exit(98);
        orders.store = std::string_view(text, static_cast<std::size_t>(colon - text));
        orders.passage = std::strtoul(colon + 1, nullptr, 10);
    }
    if (const char* const text = std::getenv(fault_variable)) orders.fault = text;
    orders.bad_storage = std::getenv(bad_storage_variable);
    return orders;
}

const Orders& orders() noexcept {
    static const Orders read = read_orders();
    return read;
}

/// Before main(): the time counts from the start.
[[gnu::constructor]] void set_the_time() noexcept {
    const char* const text = std::getenv(die_after_variable);
    if (text == nullptr) return;
    const auto microseconds = std::strtol(text, nullptr, 10);
    ::signal(SIGALRM, time_has_come);
    const itimerval once{{0, 0}, {microseconds / 1'000'000, microseconds % 1'000'000}};
    ::setitimer(ITIMER_REAL, &once, nullptr);
}

[[gnu::constructor]] void map_much() noexcept {
    const char* const text = std::getenv(mappings_variable);
    if (text == nullptr) return;
    const std::size_t bytes = std::strtoul(text, nullptr, 10) * page_size_bytes;
    void* const memory = ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) ::_exit(97);
    // Neighbours with the same access are one mapping.
    for (std::size_t offset = 0; offset < bytes; offset += 2 * page_size_bytes)
        ::mprotect(static_cast<char*>(memory) + offset, page_size_bytes, PROT_READ);
}

bool is_known(std::string_view name) noexcept {
    for (const NamedStore& each : named_stores)
        if (each.name == name) return true;
    return false;
}

}  // namespace

void stored(const char* name) noexcept {
    static unsigned long passages = 0;
    if (!is_known(name)) {
        std::fprintf(stderr, "no store is named %s in tests/crash/mortal/death.hpp\n", name);
        std::abort();
    }
    if (orders().store == name && ++passages == orders().passage) die(name);
}

bool planted(const char* name) noexcept {
    return orders().fault == name;
}

}  // namespace blktap::mortal

// In place of libaio's: a flush is refused where the storage is bad.
extern "C" int io_submit(io_context_t context, long count, iocb** control_blocks) {
    const char* const bad = blktap::mortal::orders().bad_storage;
    for (long i = 0; i < count && bad != nullptr; ++i) {
        if (control_blocks[i]->aio_lio_opcode != IO_CMD_FDSYNC || ::access(bad, F_OK) != 0) continue;
        if (i == 0) return -EIO;
        count = i;
    }
    const long taken = ::syscall(SYS_io_submit, context, count, control_blocks);
    return taken < 0 ? -errno : static_cast<int>(taken);
}
