// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/storage/storage_process.hpp"

#include <poll.h>

#include "control/tapback/storage/storage_messages.hpp"
#include "control/tapback/system/own_device.hpp"
#include "control/tapback/system/process_id.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/files/device_discard.hpp"
#include "libblktap/ipc/channel.hpp"

namespace blktap::tapback::storage {
namespace {

/// tapback answers at once, for as long as it lives.
constexpr std::chrono::hours for_ever{24};

class StorageProcess {
  public:
    StorageProcess(ipc::MessageSocket tapback, ImageDirectories directories)
        : tapback_(std::move(tapback)), files_(std::move(directories)) {}

    /// Errors: throws std::system_error; Errc::peer_closed: tapback is gone.
    void serve() {
        for (;;) {
            auto request = tapback_.next_request();
            if (request) {
                handle(std::move(*request));
            } else {
                pollfd entry{.fd = tapback_.fd(), .events = POLLIN, .revents = 0};
                ::poll(&entry, 1, -1);
            }
        }
    }

  private:
    void handle(ipc::Request request) {
        ipc::Json result;
        try {
            result = serve(request);
        } catch (const std::system_error& error) {
            return tapback_.reply_error(request.id, error.code(), error.what());
        }
        tapback_.reply(request.id, result);
    }

    ipc::Json serve(ipc::Request& request) {
        if (request.name == Open::name) {
            open(request.arguments.get<Open>(), request.descriptors);
        } else if (request.name == Take::name) {
            take(request.arguments.get<Take>());
        } else if (request.name == Release::name) {
            files_.release();
        } else if (request.name == LookAtUse::name) {
            return look_at_use(request.arguments.get<LookAtUse>());
        } else if (request.name == FindTapdisk::name) {
            return find_tapdisk(request.arguments.get<FindTapdisk>());
        } else {
            throw_error(Errc::unknown_request, '"' + request.name + '"');
        }
        return {};
    }

    template <ipc::DeclaredMessage M>
    void ask(const M& message) {
        ipc::throw_if_error(tapback_.call(message, {}, for_ever));
    }

    void open(const Open& message, std::vector<UniqueFd>& descriptors) {
        if (descriptors.size() != 1) throw_error(Errc::bad_message, "open: not one descriptor");
        ipc::Channel tapdisk{ipc::MessageSocket{std::move(descriptors.front())}};
        try {
            const UniqueFd fd = files_.open(message.file, message.naming_image, process_of(message.tapdisk),
                                            [this](const auto& facts, auto stage) {
                                                ask(Judge{facts, stage == HeldFiles::Stage::open});
                                            });
            ask(StillWanted{});  // else the tapdisk would have the file, and its token, without knowing it
            tapdisk.reply(message.tapdisk_id, told_of(fd), {fd.get()});
        } catch (const std::system_error& error) {
            refuse(tapdisk, message, error);
            throw;
        }
    }

    /// What the tapdisk cannot ask itself.
    static ipc::Json told_of(const UniqueFd& fd) {
        const DeviceDiscard discard = read_device_discard(fd.get());
        return ipc::OpenFileResult{discard.max_bytes, discard.granularity_bytes, discard.alignment_bytes};
    }

    static void refuse(ipc::Channel& tapdisk, const Open& message, const std::system_error& error) {
        if (error.code() == std::errc::operation_canceled) return;  // the tapdisk has its answer
        try {
            tapdisk.reply_error(message.tapdisk_id, error.code(), error.what());
        } catch (const std::system_error& lost) {  // the tapdisk is gone, or does not read: tapback will notice
            log::debug("open", {{"path", message.file.path}, {"reason", lost.what()}});
        }
    }

    void take(const Take& message) {
        ipc::Channel tapdisk{ipc::MessageSocket::connect_to(message.socket)};
        if (tapdisk.peer_pid() != static_cast<pid_t>(message.pid))
            throw_error(Errc::wrong_state, message.socket + ": another process listens there");
        const auto id = identify(tapdisk.peer_pid());
        if (!id) throw_error(Errc::peer_closed, message.socket);
        ipc::Reply reply = tapdisk.call(ipc::Files{});
        ipc::throw_if_error(reply);
        const auto result = reply.result.get<ipc::Files::Result>();
        if (result.files.size() != reply.descriptors.size())
            throw_error(Errc::bad_message, "files: not as many descriptors as files");
        for (std::size_t i = 0; i < result.files.size(); ++i) {
            files_.keep(result.files[i], std::move(reply.descriptors[i]), *id, [&](const auto& facts, auto) {
                ask(Keep{result.files[i], facts});
            });
        }
    }

    static LookAtUse::Result look_at_use(const LookAtUse& message) {
        return {OwnDevice({message.sysfs, message.mounts, message.swaps, message.nodes}, message.device).use()};
    }

    static FindTapdisk::Result find_tapdisk(const FindTapdisk& message) {
        const auto pid = static_cast<pid_t>(message.pid);
        if (pid != 0) return {was_started_for(pid, message.socket) ? message.pid : 0};
        return {static_cast<std::uint32_t>(find_started_for(message.socket).value_or(0))};
    }

    ipc::Channel tapback_;
    HeldFiles files_;
};

}  // namespace

void serve_disk(ipc::MessageSocket tapback, ImageDirectories directories) noexcept {
    try {
        StorageProcess(std::move(tapback), std::move(directories)).serve();
    } catch (const std::system_error& error) {
        if (error.code() != Errc::peer_closed && error.code() != std::errc::broken_pipe)
            log::error("storage", {{"reason", error.what()}});
    } catch (const std::exception& error) {
        log::error("storage", {{"reason", error.what()}});
    }
}

}  // namespace blktap::tapback::storage
