// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Vbd: one virtual block device: a disk and its connections, from an open image to served guests and back. The states,
// and what each allows:
//
//   closed --open--> open --connect--> connected --disconnect--> open --close--> closed
//                      \--- pause --->  paused   --- resume ---/   (with or without connections)
//
// Operations that must wait for I/O (open, resume, pause, disconnect, close) answer through a callback, on the loop's
// thread, once. At most one of them is under way, except that close() may cancel an opening. All functions throw
// std::system_error with a text that names the object.
//
// Tested by tests/unit/tapdisk/vbd_test.cpp, tests/unit/tapdisk/ring/connections_test.cpp.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "tapdisk/disk/disk.hpp"
#include "tapdisk/idle_trim.hpp"
#include "tapdisk/local_logs.hpp"
#include "tapdisk/ring/connections.hpp"
#include "tapdisk/ring/ring_drain.hpp"
#include "tapdisk/ring/trace_recorder.hpp"

namespace blktap {

class Vbd {
  public:
    struct Options {
        Disk::Options disk{};
        Nanoseconds poll_max{0};
        /// Opens a log file for a connection that comes without one.
        std::function<UniqueFd()> make_log_file = make_anonymous_log_file;
    };
    /// Called once when an operation is over.
    using Done = Disk::Done;
    using Opened = Disk::Opened;
    using State = Disk::State;
    /// Limited because each connection takes memory, descriptors and a part of the turn.
    static constexpr std::size_t connections_max = 8;

    /// All references outlive the Vbd. Errors: throws std::system_error (AIO, descriptors).
    Vbd(EventLoop& loop, AioKernel& kernel, const Registry& drivers, const Options& options);
    Vbd(const Vbd&) = delete;
    Vbd& operator=(const Vbd&) = delete;
    ~Vbd();

    /// Opens an image; `files` opens its files, also when it is resumed. The state is closed until `opened` is called.
    void open(const ImageSpec& image, std::unique_ptr<ImageOpener> files, Opened opened);
    /// Whether an image is being opened, for open() or resume().
    bool opening() const noexcept { return disk_.opening() || resuming_; }
    /// Ends the opening with an error; no-op if there is none.
    void cancel_opening() noexcept;
    /// Connects a frontend to the open image. `log_file`: the file of its recovery log; none: Options::make_log_file.
    /// `memory`: for local rings. Returns the descriptors that the peer of local rings needs. `adopted`, between
    /// recover() and resume(): the rings are those of a tapdisk that died, as they were connected there, and the log is
    /// the one that it left. Without `log_file` it is one that recover() brought, and rings that had no unanswered
    /// requests may come after resume(), too. Errors: also those of RecoveryLog::adopt(); EAGAIN: try again.
    enum class Rings : bool { fresh, adopted };
    std::vector<UniqueFd> connect(const ipc::ConnectArguments& frontend, UniqueFd log_file, UniqueFd memory = {},
                                  Rings rings = Rings::fresh);
    /// Goes on where another tapdisk died that served `image`, of which guests were told `told`: paused, until
    /// resume(). Its connections are then connected as adopted ones; the first request that is served follows
    /// resume(). `logs`: of its local rings, which resume() waits for.
    void recover(const ImageSpec& image, std::unique_ptr<ImageOpener> files, const ipc::DeviceDescription& told,
                 std::vector<UniqueFd> logs = {});
    /// Takes files for the recovery logs of local rings.
    void give_logs(std::vector<UniqueFd> files) { logs_.keep(std::move(files)); }
    /// Ends the connection called `name`: answers requests that were taken, treats requests in the rings as `rings`
    /// says until the frontend sends no more (for at most RingDrain::at_most), then unmaps the guest's memory.
    void disconnect(const std::string& name, ipc::RingsLeft rings, Done done);
    /// As disconnect(), for a frontend that went away without a message: at once, or after the operation that is under
    /// way. No-op if it is not connected.
    void hang_up(const std::string& name);
    /// Waits for I/O in the kernel and closes the image; requests wait until resume().
    void pause(Done done);
    /// Opens the paused image again, or another one at least as large, and serves it. `files`: null to use the same
    /// opener.
    void resume(const std::optional<ImageSpec>& image, std::unique_ptr<ImageOpener> files, Opened opened);
    /// While not paused: tries requests that wait for space at once.
    void retry();
    /// Answers held flushes with an error.
    void accept_loss();
    /// Grows the image and the device to `size_bytes`. Errors: also through `done`: see Disk::resize().
    void resize(std::uint64_t size_bytes, Done done);
    /// Disconnects if needed, flushes and closes the image, or ends its opening.
    void close(Done done);
    /// Stops taking requests, finishes those that can finish, flushes and closes; requests that wait for space stay in
    /// the recovery log. For SIGTERM.
    void shut_down(Done done);

    /// Starts, or stops, writing a trace of the guest's requests, of this and later connections without a name.
    void start_recording(UniqueFd file);
    void stop_recording(Done done);

    /// What connections to guests use: opened with the first one, or beforehand.
    xen::KeptHandles& xen_handles() noexcept { return xen_handles_; }
    State state() const noexcept { return disk_.state(); }
    /// Whether the guest is connected, whatever other connections there are.
    bool connected() const noexcept { return connections_.find({}) != nullptr; }
    /// The device as it is offered to a guest. Only after open() succeeded and before close().
    ipc::DeviceDescription describe(std::string_view connection = {}) const;
    /// The problems that were reported and are not over.
    const ipc::Problems& problems() const noexcept { return disk_.problems().told(); }
    /// `changed` is called on the loop's thread whenever problems() has changed. It must not throw.
    void on_problems(std::function<void()> changed) { disk_.problems().on_change(std::move(changed)); }
    /// The counters for "stats"; docs/control-protocol.md names each.
    ipc::Json stats() const;

    /// The loop's turn.
    EventLoop::Next turn() noexcept;

  private:
    enum class Ending : std::uint8_t { none, disconnect, pause, close, shut_down };
    void require(bool condition, const char* reason) const;
    UniqueFd choose_log(const ipc::ConnectArguments& frontend, UniqueFd given);
    void require_open(const char* while_paused) const;
    void resume_now();
    void begin(Ending ending, Done done);
    bool ended() const noexcept;
    void finish_ending();
    void finish_closing(std::error_code error);
    void over(std::error_code error);
    void drop(const Connection& connection);
    void drop_all();
    void give_up_waiting(const Connection& connection) const;
    void stop_recorder(Done done);

    EventLoop& loop_;
    const Options options_;
    Disk disk_;
    xen::KeptHandles xen_handles_;
    Connections connections_;
    LocalLogs logs_;
    IdleTrim idle_trim_;
    std::unique_ptr<TraceRecorder> recorder_;

    struct Resuming {
        std::optional<ImageSpec> image;
        std::unique_ptr<ImageOpener> files;
        Opened opened;
    };
    std::optional<Resuming> resuming_;  ///< waits for local rings

    Ending ending_ = Ending::none;
    Done ending_done_;
    Connection* leaving_ = nullptr;         ///< the connection that Ending::disconnect ends
    std::optional<RingDrain> drain_;        ///< empties its rings
    bool finishing_ = false;                ///< requests are done, the last step (a flush, the trace) is under way
    Done shut_down_next_;                   ///< SIGTERM came while another operation was under way
    std::deque<std::string> hang_up_next_;  ///< frontends that went away while another operation was under way
    std::function<void()> recording_over_;  ///< the image is closed and waits for the end of a recording
};

}  // namespace blktap
