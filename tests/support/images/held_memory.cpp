// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/support/images/held_memory.hpp"

#include <csignal>
#include <fcntl.h>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "libblktap/base/units.hpp"
#include "tests/support/process.hpp"

namespace blktap::testing {
namespace {

void copy_from(pid_t process, const void* address, const std::string& file) {
    const UniqueFd fd{::open(file.c_str(), O_RDWR | O_CLOEXEC)};
    void* const page = ::mmap(nullptr, page_size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd.get(), 0);
    if (page == MAP_FAILED) return;
    const iovec here{page, 1};
    const iovec there{const_cast<void*>(address), 1};
    ::process_vm_readv(process, &here, 1, &there, 1, 0);
}

}  // namespace

HeldMemory::HeldMemory(pid_t process, const void* address) : page_(page_size_bytes) {
    page_.hold(HangingFileSystem::Call::read);
    child_ = ::fork();
    if (child_ < 0) throw_system_error("fork");
    if (child_ == 0) {
        copy_from(process, address, page_.file());
        ::_exit(0);
    }
    const bool holds = wait_until([this] { return page_.held() > 0 || ::waitpid(child_, nullptr, WNOHANG) != 0; });
    if (!holds || page_.held() == 0) throw std::runtime_error("the memory of a process cannot be held");
}

HeldMemory::~HeldMemory() {
    page_.let_go();
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
}

}  // namespace blktap::testing
