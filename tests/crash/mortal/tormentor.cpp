// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// tormentor PID: reads what monitoring programs read of a process, again and again, until it is gone. Each reading
// keeps the memory of the process for a moment: of one that dies meanwhile the last I/O goes on after its death.
#include <array>
#include <fcntl.h>
#include <string>
#include <unistd.h>

int main(int argument_count, char** arguments) {
    if (argument_count != 2) return 2;
    const std::string path = "/proc/" + std::string(arguments[1]) + "/smaps_rollup";
    std::array<char, 4096> text;
    for (;;) {
        const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (file < 0) return 0;
        const ssize_t count = ::read(file, text.data(), text.size());
        ::close(file);
        if (count <= 0) return 0;
    }
}
