// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SessionHost: a DiskSession with tapdisks that answer when the test says so, a storage process that does every job,
// and a clock that the test turns.
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include "control/tapback/session/disk_session.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/unit/tapback/session/fake_tapdisk.hpp"

namespace blktap::tapback {

using namespace std::chrono_literals;

inline constexpr ipc::VbdAddress session_disk{ipc::VbdAddress::Kind::vbd3, 5, 51712};

/// One session, and what it told its disk.
struct SessionHost {
    SessionHost() { session.emplace(places(), DiskSession::Owner{"5/51712", "5-51712.sock", true}, hooks()); }
    DiskSession::Places places() { return {loop, tapdisks, files, run_directory, 3}; }
    SessionHost(const SessionHost&) = delete;
    SessionHost& operator=(const SessionHost&) = delete;

    DiskSession::Hooks hooks() {
        return {.changed = [] {},
                .write_record =
                    [this] {
                        if (!try_to_record())
                            throw_error(std::make_error_code(std::errc::no_space_on_device), "record");
                    },
                .try_to_record = [this] { try_to_record(); },
                .remove_record = [this] { record.reset(); },
                .problem = [this](const std::string& text) { problem = text; },
                .may_revive = [this] { return may_revive; },
                .opened = [] {},
                .found = [this](bool is_connected, bool) { connected = is_connected; },
                .problems = [](const ipc::Problems&) {},
                .ended = [this](DiskSession::End how) { ends.push_back(how); },
                .adopt =
                    [this](const DiskSession::Done& done) {
                        if (has_rings) session->call(ipc::Adopt{}, {}, done);
                        return has_rings;
                    }};
    }
    bool try_to_record() {
        if (full) return false;
        if (!session->image()) return true;  // as a disk
        record.emplace(VbdRecord{.backend = session_disk});
        session->put_into(*record);
        return true;
    }
    /// This tapback ends, and the next one finds what it recorded.
    void restart() {
        const VbdRecord recorded = record.value();
        session.emplace(places(), DiskSession::Owner{"5/51712", "5-51712.sock", true}, hooks());
        session->restore(recorded);
    }
    FakeTapdisk& tapdisk() const { return *tapdisks.last; }
    Session state() const { return session->state(); }
    DiskSession::Done done() {
        return [this](const ipc::Reply& reply) {
            told += reply.error_code.empty() ? "done " : "failed: " + reply.error_message + ' ';
        };
    }
    void start() {
        session->start(image, done());
        tapdisk().answer(device);
        tapdisk().answer(ipc::Problems{});  // "watch"
    }
    /// There is a storage process that is about to keep the image's files.
    void hold_image() {
        holds = true;
        files.take("5/51712", ipc::open_arguments(image, true), run_directory + "/5-51712.sock", 100, [] {});
    }
    /// What the storage process is asked for, each with a blank behind it. It does it.
    std::string asked_of_storage() {
        std::string names;
        while (storage) {
            pollfd ready{storage->fd(), POLLIN, 0};
            if (::poll(&ready, 1, 0) <= 0 || (ready.revents & POLLHUP) != 0) break;  // it has nothing left to keep
            const auto asked = storage->next();
            if (!asked || !asked->request) break;
            names += asked->request->name + ' ';
            storage->reply(asked->request->id, ipc::Json::object());
            if (asked->request->name == "release") break;  // it has nothing left, and ends
            loop.run_once(0ns);
        }
        return names;
    }
    void turn(Nanoseconds time) {
        clock.advance(time);
        loop.run_once(0ns);
    }
    ipc::Json stats(const std::string& state_name, const ipc::ImageArguments& of, bool is_connected = false) const {
        return {{"state", state_name},
                {"connected", is_connected},
                {"image", {{"format", of.format}, {"path", of.path}, {"device", device}}}};
    }
    VbdRecord old_record() const {
        return {.backend = session_disk, .image = image, .process = ProcessId{.pid = 99, .start_ticks = 7}};
    }
    VbdTap tap(bool read_only) const { return {{4711, 3}, {"raw", "/images/a", read_only, {}}}; }

    testing::TemporaryDirectory directory{};
    const std::string run_directory = directory.path(".");
    ManualClock clock{};
    EventLoop loop{clock};
    FakeTapdisks tapdisks{};
    std::optional<ipc::Channel> storage{};
    /// No disk has files here, but for hold_image().
    ImageFiles files{loop, {{"/"}, {}}, [this] {
                         if (!holds) throw_error(Errc::wrong_state, "storage");
                         int ends[2] = {-1, -1};
                         ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends);
                         storage.emplace(ipc::MessageSocket{UniqueFd(ends[1])});
                         return ipc::MessageSocket{UniqueFd(ends[0])};
                     }};
    const ipc::ImageArguments image{"raw", "/images/a", false, {}};
    const ipc::Json device = ipc::DeviceDescription{.size_sectors = 8};
    bool holds = false;
    bool full = false;
    bool may_revive = false;
    bool has_rings = false;
    std::optional<VbdRecord> record{};
    std::string problem{};
    std::optional<bool> connected{};
    std::vector<DiskSession::End> ends{};
    std::string told{};
    std::optional<DiskSession> session{};
};

}  // namespace blktap::tapback
