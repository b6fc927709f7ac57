// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/unit/xen/peer.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include "libblktap/base/error.hpp"

namespace blktap::testing {
namespace {

std::pair<UniqueFd, UniqueFd> make_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw_system_error("pipe");
    return {UniqueFd{ends[0]}, UniqueFd{ends[1]}};
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> result;
    for (auto& text : texts)
        result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

}  // namespace

Peer::Peer(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
    std::vector<std::string> program{FAKEXEN_PEER};
    program.insert(program.end(), arguments.begin(), arguments.end());
    std::vector<std::string> variables{"LD_PRELOAD=" FAKEXEN_LIBRARY};
    variables.insert(variables.end(), environment.begin(), environment.end());

    auto [stdin_end, input] = make_pipe();
    auto [output, stdout_end] = make_pipe();
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, stdin_end.get(), STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, stdout_end.get(), STDOUT_FILENO);
    const int error =
        ::posix_spawn(&pid_, FAKEXEN_PEER, &actions, nullptr, pointers(program).data(), pointers(variables).data());
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw_error({error, std::system_category()}, FAKEXEN_PEER);
    input_ = std::move(input);
    output_ = std::move(output);
}

std::string Peer::line() {
    std::string text;
    char character = 0;
    while (::read(output_.get(), &character, 1) == 1 && character != '\n')
        text += character;
    return text;
}

std::vector<std::uint32_t> Peer::numbers() {
    std::istringstream words{line()};
    std::vector<std::uint32_t> result;
    for (std::uint32_t each = 0; words >> each;)
        result.push_back(each);
    return result;
}

void Peer::kill() noexcept {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    wait();
}

int Peer::finish() noexcept {
    input_.reset();
    return wait();
}

int Peer::wait() noexcept {
    int status = -1;
    if (pid_ > 0) ::waitpid(std::exchange(pid_, -1), &status, 0);
    return status;
}

}  // namespace blktap::testing
