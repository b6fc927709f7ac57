// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A tapdisk that misbehaves, for tests of tapback: MODE and then tapdisk's own arguments. It has no image and no guest,
// and answers every request with success, unless its mode says otherwise.
//
//     problems     reports without end that a problem has begun, and that it is over
//     replies      sends unexpected replies without end
//     requests     asks for a file without end, and reads no answer
//     deaf         answers "open" and the requests that come with it, then nothing; ignores SIGTERM
//     last-word    ends before it serves, with a last output that is long and unprintable
//     descriptors  sends descriptors with each message
//     garbage      sends bytes that are no message
//     huge         sends a message that is longer than one may be
//     lies         answers with values of wrong types and sizes, and reports such problems; ignores SIGTERM
//     files        asks for the files that the variable BLKTAP_WANTED names, a colon between two, and a hundred times
//     for
//                  its image, before it answers "open"; writes the names of those it gets to the file BLKTAP_GOT
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <sstream>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

#include "libblktap/ipc/channel.hpp"
#include "libblktap/ipc/messages.hpp"

using namespace blktap;

namespace {

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

/// Another lie for each `count`. Its device is said to be open, so that it is asked more.
ipc::Json lie(const std::string& request, std::uint64_t count) {
    const ipc::Json lies[] = {
        {{"state", "open"}, {"connected", true}, {"image", {{"device", {{"size-sectors", ~std::uint64_t{0}}}}}}},
        {{"state", -1}, {"connected", "maybe"}},
        {{"state", "open"},
         {"image", {{"path", std::string(40'000, '/')}}},
         {"connections", ipc::Json::array({7, {}})}},
        {{"state", "paused"}, {"connected", true}, {"image", nullptr}, {"problems", "\x1b[2J"}},
        {{"problems", ipc::Json::array({{{"name", std::string(30'000, 'x')}, {"since", -1}, {"message", 5}}})}},
        {{"size-sectors", "many"}, {"read-only", 1e300}},
        ipc::Json::object(),
    };
    if (request == ipc::Open::name && count % 2 == 0) return answer(request);
    return lies[count % std::size(lies)];
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

/// Asks for what it must not have, and for more than anybody needs.
void ask_for_files(ipc::Channel& channel, const std::string& image) {
    std::istringstream wanted(std::getenv("BLKTAP_WANTED"));
    std::ofstream got(std::getenv("BLKTAP_GOT"), std::ios::app);
    const auto ask = [&](const std::string& path, bool read_only) {
        const ipc::Reply reply = channel.call(ipc::OpenFile{{path, read_only, false}});
        if (reply.error_code.empty()) got << path << std::endl;
        for (const UniqueFd& file : reply.descriptors)
            static_cast<void>(::fcntl(file.get(), F_DUPFD, 0));  // never closed
    };
    for (std::string path; std::getline(wanted, path, ':');) {
        ask(path, true);
        ask(path, false);
    }
    for (int i = 0; i < 100; ++i)
        ask(image, false);
    got << "asked" << std::endl;
}

void answer_with_descriptors(ipc::Channel& channel, std::uint64_t id, const std::string& request) {
    channel.reply(id, answer(request), {0, 1, 2, channel.fd()});
}

void send_no_message(const std::string& mode, const ipc::Channel& channel) {
    const std::string bytes = mode == "huge" ? std::string(2 * ipc::message_size_max_bytes, ' ') : "{\"version\": \x80";
    const int buffer_bytes = 1 << 20;
    static_cast<void>(::setsockopt(channel.fd(), SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes));
    static_cast<void>(::send(channel.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
}

void answer_as(const std::string& mode, ipc::Channel& channel, const ipc::Request& request, std::uint64_t count) {
    if (mode == "descriptors") return answer_with_descriptors(channel, request.id, request.name);
    if (mode == "garbage" || mode == "huge") return send_no_message(mode, channel);
    if (mode == "lies") return channel.reply(request.id, lie(request.name, count));
    if (mode == "files" && request.name == ipc::Open::name)
        ask_for_files(channel, request.arguments.at("path").get<std::string>());
    channel.reply(request.id, answer(request.name));
}

/// Serves until the other side hangs up.
void serve(const std::string& mode, ipc::Channel& channel) {
    const bool floods = mode == "problems" || mode == "replies" || mode == "requests";
    bool flooding = false;
    bool deaf = false;
    for (std::uint64_t count = 0;; ++count) {
        if (mode != "requests" || !flooding) {
            while (const auto request = channel.next_request()) {
                if (!deaf) answer_as(mode, channel, *request, ++count);
                if (request->name == "watch") flooding = floods;
                if (request->name == "watch") deaf = mode == "deaf";
            }
        }
        if (flooding) {
            flood(mode, channel, count);
        } else {
            ::usleep(1000);
        }
        // As fast as one may without being taken for one that floods.
        if (mode == "lies" && count % 100 == 0) channel.send_request("problems", lie("problems", count / 100));
    }
}

/// tapback starts a tapdisk with SIGTERM blocked, as the first process of its namespace, which the signal's default
/// action does not end.
void obey_sigterm(bool obeys) {
    ::signal(SIGTERM, obeys ? [](int) { ::_exit(0); } : SIG_IGN);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace

int main(int argument_count, char** arguments) {
    const std::string mode = arguments[1];
    ipc::MessageSocket socket{UniqueFd(std::atoi(arguments[argument_count - 1]))};
    // Longer than tapback needs to read the earlier messages.
    socket.set_patience(std::chrono::seconds(60));
    ipc::Channel channel(std::move(socket));
    obey_sigterm(mode != "deaf" && mode != "lies");
    try {
        if (mode == "last-word") return say_last_word(channel), 1;
        serve(mode, channel);
    } catch (const std::system_error&) {
        // The connection is closed: like a tapdisk with a guest, keep running.
    }
    for (;;)
        ::pause();
}
