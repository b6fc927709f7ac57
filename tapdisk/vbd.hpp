// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Vbd: one virtual block device, from an open image to a served guest and back. The states and what each allows:
//
//   closed --open--> open --connect--> connected --disconnect--> open --close--> closed
//                      \--- pause --->  paused   --- resume ---/   (with or without a connection)
//
// Operations that must wait for I/O (pause, disconnect, close) answer through a callback, on the loop's thread, once.
// At most one of them is under way. Everything throws std::system_error with a text that names the object.
//
// Tested by tests/unit/tapdisk/vbd_test.cpp.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "drivers/registry.hpp"
#include "libblktap/aio/io_queue.hpp"
#include "libblktap/base/event_loop.hpp"
#include "libblktap/base/worker_pool.hpp"
#include "libblktap/ipc/problem_states.hpp"
#include "tapdisk/connection.hpp"
#include "tapdisk/space_watch.hpp"
#include "tapdisk/storage_policy.hpp"
#include "tapdisk/trace_recorder.hpp"

namespace blktap {

class Vbd {
  public:
    struct Options {
        unsigned aio_slots = IoQueue::default_slots;
        Nanoseconds poll_max{0};
        /// Of each image that does not have the option itself.
        std::uint64_t memory_budget_bytes = default_memory_budget_bytes;
        /// Opens the file of a log for a connection that brings none.
        std::function<UniqueFd()> make_log_file = make_anonymous_log_file;
    };
    /// Called once when an operation is over.
    using Done = std::function<void(std::error_code)>;
    enum class State : std::uint8_t { closed, open, paused };
    /// A frontend that sends nothing for so long while its rings are emptied has sent its last.
    static constexpr Nanoseconds drain_quiet = std::chrono::milliseconds(200);
    /// Of one that sends without end, so that it can be taken away.
    static constexpr Nanoseconds drain_max = std::chrono::seconds(3);

    /// All references outlive the Vbd. Errors: throws std::system_error (AIO, descriptors).
    Vbd(EventLoop& loop, AioKernel& kernel, const Registry& drivers, const Options& options);
    Vbd(const Vbd&) = delete;
    Vbd& operator=(const Vbd&) = delete;
    ~Vbd();

    /// Opens an image; `files` opens its files, also when it is resumed.
    void open(const ImageSpec& image, std::unique_ptr<ImageOpener> files);
    /// Connects a frontend to the open image. `log_file`: where unanswered requests live; none: the options' maker.
    void connect(const ipc::ConnectArguments& frontend, UniqueFd log_file);
    /// Ends the connection: what was taken is answered, what is in the rings is treated as `rings` says, for as long as
    /// the frontend sends anything (drain_max at most), then everything of the guest's is unmapped.
    void disconnect(ipc::RingsLeft rings, Done done);
    /// As disconnect(), for a frontend that went away without a word: at once, or after the operation that is under
    /// way.
    void hang_up();
    /// Finishes what the kernel has and closes the image; requests wait until resume().
    void pause(Done done);
    /// Opens the paused image again, or another one at least as large, and goes on. `files`: null to use the same
    /// opener.
    void resume(const std::optional<ImageSpec>& image, std::unique_ptr<ImageOpener> files);
    /// While not paused: tries requests that wait for space at once.
    void retry();
    /// Answers held flushes with an error.
    void accept_loss();
    /// Makes the image and the device `size_bytes` long. Errors: also through `done`: EINVAL (smaller than it is, not a
    /// multiple of the disk's smallest write, or more than a block device has), EOPNOTSUPP (the format cannot), ENOSPC.
    void resize(std::uint64_t size_bytes, Done done);
    /// Disconnects if needed, flushes and closes the image.
    void close(Done done);
    /// Stops taking requests, finishes what can be finished, flushes and closes; requests that wait for space stay in
    /// the recovery log. For SIGTERM.
    void shut_down(Done done);

    /// Starts, or stops, writing a trace of the requests of this and later connections.
    void start_recording(UniqueFd file);
    void stop_recording(Done done);

    State state() const noexcept { return state_; }
    bool connected() const noexcept { return connection_ != nullptr; }
    /// What a guest is offered. Only while an image was opened.
    ipc::DeviceDescription describe() const;
    /// What is wrong now, or soon will be, or was until a moment ago.
    const ipc::Problems& problems() const noexcept { return problems_.told(); }
    /// `changed` is called on the loop's thread whenever problems() has changed. It must not throw.
    void on_problems(std::function<void()> changed) { problems_changed_ = std::move(changed); }
    /// The counters for "stats"; docs/control-protocol.md names each.
    ipc::Json stats() const;

    /// The loop's turn.
    EventLoop::Next turn() noexcept;

  private:
    enum class Ending : std::uint8_t { none, disconnect, pause, close, shut_down };
    void begin(Ending ending, Done done);
    bool ended() const noexcept;
    void finish_ending();
    void closed(std::error_code error);
    void over(std::error_code error);
    void drop_connection();
    void flush_and_close(Done done);
    void close_flushed_image();
    std::unique_ptr<ImageDriver> open_image(const ImageSpec& image, ImageOpener& files);
    void require(bool condition, const char* reason) const;
    void stop_recorder(Done done);
    void give_up_waiting();
    void resized(std::error_code error);

    // vbd_progress.cpp
    void watch_progress();
    void arm_idle_timer(const RequestEngine& engine);
    void trim_when_idle(RequestEngine& engine);
    void watch_refused();
    void retry_refused() noexcept;
    void watch_waiting(const RequestEngine& engine);
    Nanoseconds next_retry(const RequestEngine& engine) const;
    void try_again();
    void watch_space();
    void look_at_drain();
    void look_at_space();
    void told_space(const SpaceWatch::Space& space);
    void report_changes();
    void tell_problems();

    EventLoop& loop_;
    const Registry& drivers_;
    const Options options_;
    WorkerPool workers_;
    SpaceWatch space_;
    IoQueue io_;
    EventLoop::Watch completion_watch_;
    EventLoop::Timer idle_timer_;    ///< gives memory back some time after the last request
    EventLoop::Timer kernel_timer_;  ///< tries again what the kernel refused for now
    EventLoop::Timer retry_timer_;   ///< tries parked requests again
    EventLoop::Timer drain_timer_;   ///< armed while the rings are emptied at the end of a connection
    EventLoop::Timer space_timer_;   ///< asks for the file system's space, after traffic or while requests wait for it
    Nanoseconds retry_delay_;
    Nanoseconds kernel_delay_;
    std::optional<Nanoseconds> refused_since_;  ///< since when the kernel or the storage answers "not now"

    State state_ = State::closed;
    ImageSpec image_;
    std::unique_ptr<ImageOpener> files_;
    std::unique_ptr<ImageDriver> driver_;
    ImageInfo info_;  ///< of the image as it was opened first, or resized: what guests were told
    StoragePolicy policy_;
    std::unique_ptr<Connection> connection_;
    std::unique_ptr<TraceRecorder> recorder_;
    struct FinalFlush : ImageRequest {
        Vbd* vbd = nullptr;
    } final_flush_;
    bool flush_failed_ = false;    ///< until the loss is accepted or the image is closed
    bool writes_refused_ = false;  ///< until the image is opened again
    bool image_cut_ = false;       ///< the same: a file of it became shorter than it was

    Ending ending_ = Ending::none;
    Done ending_done_;
    Nanoseconds drain_ends_{0};
    Nanoseconds quiet_since_{0};
    std::uint64_t drained_ = 0;             ///< requests taken when it was looked at last
    bool finishing_ = false;                ///< its requests are done, its last step (a flush, the trace) is under way
    Done shut_down_next_;                   ///< SIGTERM came while another operation was under way
    bool hang_up_next_ = false;             ///< the frontend went away while another operation was under way
    std::function<void()> recording_over_;  ///< the image is closed and waits for the end of a recording
    Done flush_done_;
    std::optional<std::error_code> flush_result_;  ///< the last flush has ended: close the image in the next turn
    struct Resize : ImageRequest {
        Vbd* vbd = nullptr;
        Done done{};
        std::uint64_t size_sectors = 0;
    } resize_;
    std::uint64_t requests_at_idle_check_ = 0;
    std::uint64_t requests_at_space_check_ = 0;
    std::optional<std::uint64_t> least_free_bytes_;  ///< seen since requests wait for space
    bool low_space_ = false;
    std::uint64_t reported_stopped_queues_ = 0;  ///< what the log says already
    unsigned wrong_ = 0;                         ///< a bit for each problem that there is now
    ipc::ProblemStates problems_;
    EventLoop::Timer problem_timer_;  ///< tells what could not be told at once
    std::function<void()> problems_changed_ = [] {};
};

}  // namespace blktap
