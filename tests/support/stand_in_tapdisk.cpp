// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A tapdisk that misbehaves, for tests of tapback: MODE and then tapdisk's own arguments. It has no image and no guest,
// and answers every request with success.
//
//     problems     reports without end that a problem has begun, and that it is over
//     replies      sends unexpected replies without end
//     requests     asks for a file without end, and reads no answer
//     deaf         answers "open" and the requests that come with it, then nothing; ignores SIGTERM
//     last-word    ends before it serves, with a last output that is long and unprintable
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <unistd.h>

#include "libblktap/ipc/channel.hpp"
#include "libblktap/ipc/messages.hpp"

using namespace blktap;

namespace {

using std::chrono::steady_clock;

void say_last_word(ipc::Channel& channel) {
    const std::string word = "\x1b[2J forged\nline " + std::string(60'000, 'x');
    channel.reply_bad_message(std::system_error(std::make_error_code(std::errc::no_space_on_device), word));
}

ipc::Json answer(const std::string& request) {
    if (request == ipc::Open::name) {
        ipc::DeviceDescription device;
        device.size_sectors = 2048;
        return device;
    }
    if (request == ipc::Watch::name) return ipc::Problems{};
    if (request == ipc::Stats::name) return {{"state", "open"}, {"connected", false}};
    return ipc::Json::object();
}

void flood(const std::string& mode, ipc::Channel& channel, std::uint64_t count) {
    if (mode == "problems") {
        ipc::Problems problems;
        if (count % 2 == 0)
            problems.problems.push_back({"no-space", count, "no space, said the " + std::to_string(count)});
        channel.send_request(ipc::TellProblems{problems});
    } else if (mode == "replies") {
        channel.reply(1'000'000 + count, ipc::Json::object());
    } else {
        channel.send_request(ipc::OpenFile{{"/nowhere", true, false}});
    }
}

/// Serves until the other side hangs up.
void serve(const std::string& mode, ipc::Channel& channel) {
    const bool floods = mode == "problems" || mode == "replies" || mode == "requests";
    bool flooding = false;
    bool deaf = false;
    for (std::uint64_t count = 0;; ++count) {
        if (mode != "requests" || !flooding) {
            while (const auto request = channel.next_request()) {
                if (!deaf) channel.reply(request->id, answer(request->name));
                if (request->name == "watch") flooding = floods;
                if (request->name == "watch") deaf = mode == "deaf";
            }
        }
        if (flooding) {
            flood(mode, channel, count);
        } else {
            ::usleep(1000);
        }
    }
}

}  // namespace

int main(int argument_count, char** arguments) {
    const std::string mode = arguments[1];
    ipc::MessageSocket socket{UniqueFd(std::atoi(arguments[argument_count - 1]))};
    // Longer than tapback needs to read the earlier messages.
    socket.set_patience(std::chrono::seconds(60));
    ipc::Channel channel(std::move(socket));
    if (mode == "deaf") ::signal(SIGTERM, SIG_IGN);
    try {
        if (mode == "last-word") return say_last_word(channel), 1;
        serve(mode, channel);
    } catch (const std::system_error&) {
        // The connection is closed: like a tapdisk with a guest, keep running.
    }
    for (;;)
        ::pause();
}
