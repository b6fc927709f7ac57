// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/host_memory.hpp"

#include <array>
#include <link.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <span>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/base/units.hpp"

namespace blktap {
namespace {

bool has_capability(unsigned capability) noexcept {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
    if (::syscall(SYS_capget, &header, sets.data()) != 0) return false;
    return (sets[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability)) != 0;
}

/// mlockall() succeeds under a limit that is not reached yet, but later allocations fail.
bool may_lock_without_limit(Rights rights) noexcept {
    rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
    if (rights == Rights::go) ::setrlimit(RLIMIT_MEMLOCK, &limit);  // as far as this process may
    return (rights == Rights::stay && has_capability(CAP_IPC_LOCK)) ||
           (::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY);
}

/// Loads the code and constants of a program or library: these pages are clean, and shared by all tapdisks of a host.
int read_in(dl_phdr_info* object, std::size_t, void*) noexcept {
    for (const ElfW(Phdr) & part : std::span(object->dlpi_phdr, object->dlpi_phnum)) {
        if (part.p_type != PT_LOAD || (part.p_flags & PF_W) != 0) continue;
        const std::uintptr_t begin = (object->dlpi_addr + part.p_vaddr) & ~std::uintptr_t{page_size_bytes - 1};
        const std::uintptr_t end = object->dlpi_addr + part.p_vaddr + part.p_memsz;
        // Kernels before 5.14 lack this call: there a page is loaded when it is first used.
        ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_READ);
    }
    return 0;
}

std::error_code lock_memory(Rights rights) noexcept {
    if (!may_lock_without_limit(rights)) return std::make_error_code(std::errc::operation_not_permitted);
    // On fault: only a small part of the threads' stacks and of the page pool is ever used.
    if (::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) return last_system_error();
    ::dl_iterate_phdr(&read_in, nullptr);
    return {};
}

std::string describe(std::error_code error) {
    return error ? "no: " + error.message() : "yes";
}

}  // namespace

HostMemory claim_host_memory(Rights rights) noexcept {
    HostMemory memory;
    memory.lock = lock_memory(rights);
    if (::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) != 0) memory.io_flusher = last_system_error();
    if (memory.lock || memory.io_flusher) {
        log::info("host_memory", {{"locked", describe(memory.lock)}, {"io_flusher", describe(memory.io_flusher)}});
    }
    return memory;
}

}  // namespace blktap
