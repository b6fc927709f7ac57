// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Everything is prepared before fork: between fork and exec a threaded process may make only async-signal-safe calls.
#include "tests/support/process.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <poll.h>
#include <sstream>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include "libblktap/base/error.hpp"

namespace blktap::testing {
namespace {

std::string name_of(const std::string& variable) {
    return variable.substr(0, variable.find('=') + 1);
}

std::vector<std::string> whole_environment(const std::vector<std::string>& added) {
    std::vector<std::string> all = added;
    for (char** each = environ; *each != nullptr; ++each) {
        const std::string variable = *each;
        const auto same = [&](const std::string& other) { return name_of(other) == name_of(variable); };
        if (std::ranges::none_of(added, same)) all.push_back(variable);
    }
    return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> result;
    for (std::string& text : texts)
        result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

struct Image {
    char* const* arguments;
    char* const* environment;
    int input;
    int output;    ///< -1: inherited
    pid_t parent;  ///< 0: the child outlives its parent
};

[[noreturn]] void become(const Image& image) noexcept {
    if (image.parent != 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != image.parent) ::_exit(127);  // the parent died before prctl()
    }
    ::dup2(image.input, STDIN_FILENO);
    if (image.output >= 0) {
        ::dup2(image.output, STDOUT_FILENO);
        ::dup2(image.output, STDERR_FILENO);
    }
    // Reset signal handlers: ours must not run in the child, not even before exec.
    for (int number = 1; number < NSIG; ++number)
        ::signal(number, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execve(image.arguments[0], image.arguments, image.environment);
    ::_exit(127);
}

}  // namespace

Process::Process(const std::vector<std::string>& command, const ProcessOptions& options) {
    std::vector<std::string> words = command;
    std::vector<std::string> variables = whole_environment(options.environment);
    UniqueFd input;
    if (options.reads_pipe) {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) throw_system_error("pipe");
        input.reset(ends[0]);
        input_.reset(ends[1]);
    } else {
        input.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    }
    UniqueFd output;
    if (!options.output.empty()) {
        output.reset(::open(options.output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
        if (!output) throw_system_error(options.output);
    }
    const std::vector<char*> arguments = pointers(words);
    const std::vector<char*> environment = pointers(variables);
    const Image image{arguments.data(), environment.data(), input.get(), output ? output.get() : -1,
                      options.outlives_us ? 0 : ::getpid()};
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, &before);
    pid_ = ::fork();
    if (pid_ == 0) become(image);
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    if (pid_ < 0) throw_system_error("fork");
    handle_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    if (!handle_) {
        kill();
        throw_system_error("pidfd_open");
    }
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      handle_(std::move(other.handle_)),
      input_(std::move(other.input_)),
      status_(other.status_) {}

Process& Process::operator=(Process&& other) noexcept {
    kill();
    pid_ = std::exchange(other.pid_, -1);
    handle_ = std::move(other.handle_);
    input_ = std::move(other.input_);
    status_ = other.status_;
    return *this;
}

void Process::signal(int number) const noexcept {
    if (pid_ > 0) ::kill(pid_, number);
}

std::optional<int> Process::wait(Nanoseconds limit) noexcept {
    if (pid_ <= 0) return status_;
    const auto limit_ms = std::chrono::ceil<std::chrono::milliseconds>(limit).count();
    pollfd ended{.fd = handle_.get(), .events = POLLIN, .revents = 0};
    while (::poll(&ended, 1, static_cast<int>(limit_ms)) < 0 && errno == EINTR) {
    }
    if (ended.revents == 0) return std::nullopt;
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return status_;
}

void Process::kill() noexcept {
    if (pid_ <= 0) return;
    signal(SIGKILL);
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int run(const std::vector<std::string>& command, const ProcessOptions& options, Nanoseconds limit) {
    Process process(command, options);
    if (const auto status = process.wait(limit)) return *status;
    process.kill();
    return 128 + SIGKILL;
}

bool send_signal(pid_t pid, int number) {
    if (pid <= 1) throw std::invalid_argument("a signal to pid " + std::to_string(pid));
    return ::kill(pid, number) == 0;
}

std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string text;
    std::array<char, 4096> part;
    do {
        file.read(part.data(), part.size());  // unlike an iterator it does not throw
        text.append(part.data(), static_cast<std::size_t>(file.gcount()));
    } while (file);
    return text;
}

std::size_t descriptors_of(pid_t pid) {
    std::error_code ignored;
    const std::filesystem::directory_iterator all("/proc/" + std::to_string(pid) + "/fd", ignored);
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

std::uint64_t resident_kib_of(pid_t pid) {
    std::istringstream status(read_file("/proc/" + std::to_string(pid) + "/status"));
    std::uint64_t kib = 0;
    for (std::string word; status >> word;)
        if (word == "VmRSS:") status >> kib;
    return kib;
}

void pause_between_looks() noexcept {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

}  // namespace blktap::testing
