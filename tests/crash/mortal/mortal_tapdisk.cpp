// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/crash/mortal/mortal_tapdisk.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <stdexcept>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <utility>

#include "tapdisk/ring/recovery_log.hpp"
#include "tests/replay/failure.hpp"
#include "tests/support/places.hpp"

namespace blktap::testing {
namespace {

using namespace std::chrono_literals;

constexpr Nanoseconds end_limit = 20s;
constexpr int answer_limit_ms = 60'000;

UniqueFd duplicate(int fd) {
    UniqueFd copy{::fcntl(fd, F_DUPFD_CLOEXEC, 0)};
    if (!copy) throw_system_error("a descriptor");
    return copy;
}

/// Made by tapdisk for local rings where nobody gives it one.
std::string own_log(const TemporaryDirectory& directory) {
    return directory.path("log");
}

MortalTapdisk::Options with_opener(MortalTapdisk::Options options) {
    options.image.files_from_controller = options.open_file != nullptr;
    return options;
}

bool means_gone(const std::error_code& code) {
    return code == Errc::peer_closed || code == std::errc::broken_pipe || code == std::errc::connection_reset;
}

}  // namespace

// --- a connection

MortalTapdisk::Link::Link(MortalTapdisk& tapdisk, std::string name)
    : tapdisk_(tapdisk), name_(std::move(name)), log_path_(tapdisk.directory_.path("log-" + name_)) {
    if (!name_.empty()) news_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

replay::Connected MortalTapdisk::Link::connect(const ipc::ConnectArguments& rings,
                                               const std::vector<int>& descriptors) {
    rings_ = rings;
    rings_.connection = name_;
    if (rings.local) memory_ = duplicate(descriptors.front());
    replay::Connected connected;
    tapdisk_.tell([&] {
        if (tapdisk_.connected_.empty()) tapdisk_.ask(ipc::Open{tapdisk_.options_.image});
        // The log of local rings is that of the command line.
        const UniqueFd log = rings.local ? duplicate(memory_.get()) : open_log_file(log_path_);
        ipc::Reply reply = tapdisk_.ask(ipc::Connect{rings_}, {log.get()});
        connected = {reply.result.get<ipc::DeviceDescription>(), std::move(reply.descriptors)};
    });
    tapdisk_.device_ = connected.device;
    tapdisk_.connected_.push_back(this);
    return connected;
}

int MortalTapdisk::Link::fd() const noexcept {
    return news_ ? news_.get() : tapdisk_.events_.get();
}

bool MortalTapdisk::Link::check() {
    if (news_) {
        take_new_descriptors();
        return true;
    }
    tapdisk_.do_what_is_due(MonotonicClock().now());
    try {
        while (tapdisk_.next_reply()) {
        }
    } catch (const replay::BackendGone&) {
        // The answers that the dead one gave come first, so that the next answer is the successor's.
        if (frontend_ == nullptr || !frontend_->rearm()) tapdisk_.go_on();
    }
    return true;
}

/// On the thread of its frontend.
void MortalTapdisk::Link::take_new_descriptors() {
    eventfd_t ignored = 0;
    ::eventfd_read(news_.get(), &ignored);
    const std::lock_guard lock(mutex_);
    if (abandoned_) throw replay::BackendGone("nobody serves " + name_);
    if (new_descriptors_.empty()) return;
    frontend_->connected(std::exchange(new_descriptors_, {}));
    // What it said meanwhile, it said to the dead one.
    for (unsigned queue = 0; queue < frontend_->queue_count(); ++queue)
        frontend_->notify(queue);
}

// --- the tapdisk

MortalTapdisk::MortalTapdisk(const fakexen::World& world, const TemporaryDirectory& directory, Options options)
    : world_(world),
      directory_(directory),
      options_(with_opener(std::move(options))),
      socket_(directory.path("control")),
      output_(directory.path("tapdisk.log")),
      deaths_(directory.make_file("notes", 0)),
      timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)),
      events_(::epoll_create1(EPOLL_CLOEXEC)) {
    watch(timer_.get());
    start();
}

MortalTapdisk::Link& MortalTapdisk::link(const std::string& name) {
    return links_.emplace_back(*this, name);
}

void MortalTapdisk::start() {
    do {
        fate_ = options_.next_fate(deaths_.last_store());
        std::vector<std::string> environment = world_.environment(0);
        environment.emplace_back("LD_PRELOAD=" BLKTAP_LIB_DIR "/libfakexen.so");
        const auto order = [&](const char* variable, const std::string& value) {
            environment.push_back(std::string(variable) + '=' + value);
        };
        order(mortal::note_variable, deaths_.notes_path());
        if (!fate_.store.empty()) order(mortal::die_at_variable, fate_.store + ':' + std::to_string(fate_.passage));
        if (fate_.after) order(mortal::die_after_variable, std::to_string(fate_.after->count() / 1000));
        if (!options_.fault.empty()) order(mortal::fault_variable, options_.fault);
        if (options_.tormented) order(mortal::mappings_variable, "10000");
        if (!options_.bad_storage.empty()) order(mortal::bad_storage_variable, options_.bad_storage);
        process_ = Process({BLKTAP_TESTS_DIR "/mortal_tapdisk", "--control", socket_, "--recovery-log",
                            own_log(directory_), "--log-level", "warning"},
                           {.environment = environment, .output = output_});
    } while (!reach());
}

/// False: it died before that.
bool MortalTapdisk::reach() {
    channel_.reset();
    const bool over = wait_until([&] {
        try {
            channel_.emplace(ipc::MessageSocket::connect_to(socket_));
        } catch (const std::system_error&) {
            return !process_.running();
        }
        return true;
    });
    if (!over) throw std::runtime_error("no tapdisk: " + output());
    if (!channel_) {
        bury();
        return false;
    }
    watch(channel_->fd());
    // They end by themselves, one that has the memory of a dead tapdisk only with the last I/O of that: nobody waits.
    std::erase_if(tormentors_, [](Process& each) { return !each.running(); });
    for (int i = 0; i < 2 && options_.tormented; ++i)
        tormentors_.emplace_back(Process({BLKTAP_TESTS_DIR "/tormentor", std::to_string(process_.pid())}));
    return true;
}

/// Errors: throws replay::BackendGone; std::runtime_error: it refuses.
ipc::Reply MortalTapdisk::ask(const std::string& name, const ipc::Json& arguments,
                              const std::vector<int>& descriptors) {
    std::uint64_t id = 0;
    try {
        id = channel_->send_request(name, arguments, descriptors);
    } catch (const std::system_error& error) {
        if (means_gone(error.code())) throw replay::BackendGone("tapdisk is gone");
        throw;
    }
    for (;;) {
        while (auto reply = next_reply()) {
            if (reply->id != id) continue;
            if (reply->error_code.empty()) return std::move(*reply);
            throw replay::Failure("tapdisk refused to " + name + ": " + reply->error_message + "\n" + describe());
        }
        pollfd readable{channel_->fd(), POLLIN, 0};
        if (::poll(&readable, 1, answer_limit_ms) == 0)
            throw replay::Failure("no answer to " + name + "\n" + describe());
    }
}

/// Answers requests of tapdisk on the way. Errors: throws replay::BackendGone.
std::optional<ipc::Reply> MortalTapdisk::next_reply() {
    try {
        while (auto message = channel_->next()) {
            if (message->reply) return std::move(message->reply);
            answer(*message->request);
        }
        return std::nullopt;
    } catch (const std::system_error& error) {
        if (means_gone(error.code())) throw replay::BackendGone("tapdisk is gone");
        throw;
    }
}

void MortalTapdisk::answer(const ipc::Request& request) {
    if (request.name != ipc::OpenFile::name || !options_.open_file)
        return channel_->reply_error(request.id, Errc::unknown_request, request.name);
    UniqueFd file;
    try {
        file = options_.open_file(request.arguments.get<ipc::OpenFile>(), process_.pid());
    } catch (const std::system_error& error) {
        return channel_->reply_error(request.id, error.code(), error.what());
    }
    channel_->reply(request.id, ipc::Json::object(), {file.get()});
}

void MortalTapdisk::watch(int fd) const {
    epoll_event event{.events = EPOLLIN, .data = {}};
    if (::epoll_ctl(events_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw_system_error("epoll");
}

void MortalTapdisk::at(Nanoseconds when, std::function<void()> what) {
    due_at_ = when;
    due_ = std::move(what);
    const auto seconds = std::chrono::floor<std::chrono::seconds>(when);
    const itimerspec once{{0, 0}, {seconds.count(), (when - seconds).count()}};
    ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &once, nullptr);
}

void MortalTapdisk::do_what_is_due(Nanoseconds now) {
    if (now < due_at_) return;
    due_at_ = Nanoseconds::max();
    std::uint64_t expirations = 0;
    // It may not have expired yet: then it only looks once more.
    if (::read(timer_.get(), &expirations, sizeof expirations) < 0 && errno != EAGAIN) throw_system_error("a timer");
    std::exchange(due_, nullptr)();
}

void MortalTapdisk::bury() {
    if (process_.wait(end_limit) != 128 + SIGKILL)
        throw replay::Failure("tapdisk ended by itself, or not at all: " + output());
    deaths_.add(paused_);
}

/// The next one may die in the middle of this, too.
void MortalTapdisk::go_on() {
    for (;;) {
        bury();
        start();
        if (connected_.empty()) return;
        try {
            ask(ipc::Recover{options_.image, device_});
            for (Link* link : connected_)
                adopt(*link);
            if (!paused_) ask(ipc::Resume{});
            const ipc::Reply stats = ask(ipc::Stats{});
            for (const ipc::Json& connection : stats.result.at("connections"))
                adopted_ += connection.at("adopted").get<std::uint64_t>();
            return;
        } catch (const replay::BackendGone&) {
        }
    }
}

void MortalTapdisk::adopt(Link& link) {
    if (fate_.old_log) make_log_old(link);
    const UniqueFd log = open_log_file(link.rings_.local ? own_log(directory_) : link.log_path_);
    std::vector<int> descriptors{log.get()};
    if (link.memory_) descriptors.insert(descriptors.begin(), link.memory_.get());
    ipc::Reply reply = ask(ipc::Adopt{link.rings_}, descriptors);
    if (!link.memory_) return;
    if (!link.news_) return link.frontend_->connected(std::move(reply.descriptors));
    const std::lock_guard lock(link.mutex_);
    link.new_descriptors_ = std::move(reply.descriptors);
    ::eventfd_write(link.news_.get(), 1);
}

/// As the version before wrote it; what that did not have is zeros.
void MortalTapdisk::make_log_old(const Link& link) const {
    const UniqueFd file = open_log_file(link.rings_.local ? own_log(directory_) : link.log_path_);
    log_layout::Header header{};
    if (::pread(file.get(), &header, sizeof header, 0) != sizeof header) throw_system_error("a log");
    if (header.health != 0 || header.lost_until != 0) throw std::logic_error("version 1 does not know that");
    header.version = log_layout::oldest_version;
    header.boot = {};
    header.frontend = 0;
    if (::pwrite(file.get(), &header, sizeof header, 0) != sizeof header) throw_system_error("a log");
}

void MortalTapdisk::tell(const std::function<void()>& step) {
    for (;;) {
        try {
            return step();
        } catch (const replay::BackendGone&) {
            go_on();
        }
    }
}

void MortalTapdisk::disconnect(Link& link) {
    ipc::Disconnect message;
    message.connection = link.name_;
    ask(message);
    std::erase(connected_, &link);
}

void MortalTapdisk::abandon(Link& link) noexcept {
    const std::lock_guard lock(link.mutex_);
    link.abandoned_ = true;
    ::eventfd_write(link.news_.get(), 1);
}

void MortalTapdisk::kill() noexcept {
    deaths_.killed(MonotonicClock().now());
    process_.signal(SIGKILL);
}

/// The controller wants it paused, so a successor is left paused.
void MortalTapdisk::die_paused() {
    paused_ = true;
    try {
        ask(ipc::Pause{});
        kill();
    } catch (const replay::BackendGone&) {
        // By itself, on the way.
    }
    go_on();
}

/// Dead or alive, it is paused afterwards.
void MortalTapdisk::pause() {
    paused_ = true;
    try {
        ask(ipc::Pause{});
    } catch (const replay::BackendGone&) {
        go_on();
    }
}

void MortalTapdisk::resume(bool accept_loss) {
    ipc::Resume message;
    message.accept_loss = accept_loss;
    bool told = false;
    paused_ = false;
    while (!told) {
        try {
            ask(message);
            told = true;
        } catch (const replay::BackendGone&) {
            go_on();
            // The successor has done the rest.
            told = !accept_loss;
        }
    }
}

ipc::Json MortalTapdisk::stats() {
    ipc::Json result;
    tell([&] { result = ask(ipc::Stats{}).result; });
    return result;
}

std::string MortalTapdisk::describe() const {
    return "died of: " + deaths_.history() + "\nnow: " + fate_.store + " passage " + std::to_string(fate_.passage) +
           (process_.pid() > 0 ? ", started" : ", ended") + (paused_ ? ", paused\n" : "\n") + output();
}

std::optional<int> MortalTapdisk::end() {
    process_.signal(SIGTERM);
    return process_.wait(end_limit);
}

}  // namespace blktap::testing
