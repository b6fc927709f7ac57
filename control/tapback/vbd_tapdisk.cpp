// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Vbd's tapdisk: started or found again, what it is asked, and its end.
#include <unistd.h>

#include "control/tapback/vbd.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {
namespace {

using Tapdisk = Situation::Tapdisk;
using Link = Situation::Link;

}  // namespace

TapdiskProcess::Hooks Vbd::hooks() {
    return {.open_file =
                [this](const ipc::OpenFileArguments& wanted) {
                    if (!image_) throw_error(Errc::wrong_state, wanted.path + ": no image was asked for");
                    return host_.files.open(address_.name(), ipc::open_arguments(*image_, true), wanted);
                },
            .ended = [this] { tapdisk_ended(); },
            .problems = [this](const ipc::Problems& problems) { told_problems(problems); }};
}

// A restart: what an earlier tapback left.

void Vbd::find_tapdisk() {
    try {
        tapdisk_ = TapdiskProcess::adopt(host_.loop, file(".sock"), hooks());
    } catch (const std::system_error& error) {
        set_problem(std::string("its tapdisk ended while tapback was away: ") + error.what());
        return;
    }
    now_.tapdisk = Tapdisk::starting;
    now_.link = Link::busy;
    tapdisk_->call("stats", ipc::Json::object(), {}, [this](const ipc::Reply& reply) { found_tapdisk(reply); });
}

void Vbd::found_tapdisk(const ipc::Reply& stats) {
    now_.link = Link::none;
    const bool open = stats.error_code.empty() && stats.result.value("state", "closed") != "closed";
    if (open) {
        now_.tapdisk = Tapdisk::open;
        paused_ = stats.result.value("state", "") == "paused";
        if (stats.result.value("connected", false)) now_.link = Link::up;
        if (const auto image = stats.result.find("image"); image != stats.result.end() && image->contains("device"))
            description_ = image->at("device").get<ipc::DeviceDescription>();
        watch_problems();
        log::info("vbd.found", {{"vbd", address_.name()}, {"pid", std::to_string(tapdisk_->pid())}});
    } else if (tapdisk_ && !tapdisk_gone_) {
        end_tapdisk();
    }
    host_.mark(address_);
}

void Vbd::attach(const ipc::ImageArguments& image, Done done) {
    if (image_ || tapdisk_ || released_) throw_error(Errc::wrong_state, address_.name() + ": an image is open already");
    if (!claimed()) throw_error(Errc::wrong_state, address_.name() + ": not claimed");
    image_ = image;
    problem_.clear();
    try {
        write_record(host_.options.run_directory, {address_, image, plugged_});
        tapdisk_ = TapdiskProcess::spawn(host_.loop, tapdisk_command(host_.options), file(".sock"), hooks());
    } catch (const std::system_error&) {
        image_.reset();
        remove_record(host_.options.run_directory, address_);
        throw;
    }
    now_.tapdisk = Tapdisk::starting;
    tapdisk_->call("open", ipc::open_arguments(image, true), {},
                   [this, done = std::move(done)](const ipc::Reply& reply) { opened(reply, done); });
    host_.mark(address_);
}

void Vbd::opened(const ipc::Reply& reply, const Done& done) {
    host_.mark(address_);
    if (!reply.error_code.empty()) {
        set_problem(reply.error_message);
        // A retry finds no trace of this one.
        when_ended_.emplace_back([done, code = ipc::error_code_named(reply.error_code), message = reply.error_message] {
            done(error_reply(code, message));
        });
        return end_tapdisk();
    }
    if (now_.tapdisk == Tapdisk::starting) now_.tapdisk = Tapdisk::open;
    description_ = reply.result.get<ipc::DeviceDescription>();
    watch_problems();
    log::info("vbd.attached", {{"vbd", address_.name()},
                               {"image", image_->format + ":" + image_->path},
                               {"pid", std::to_string(tapdisk_->pid())}});
    ipc::Reply result;
    result.result = reply.result;
    done(result);
}

void Vbd::end_tapdisk() {
    now_.tapdisk = Tapdisk::ending;
    tapdisk_->terminate();
}

void Vbd::tapdisk_ended() {
    const bool expected = now_.tapdisk == Tapdisk::ending;
    if (expected) {
        image_.reset();
        remove_record(host_.options.run_directory, address_);
        ::unlink(file(".recovery").c_str());
        recovery_log_.reset();
        host_.files.release(address_.name());
    } else {
        set_problem("its tapdisk " + tapdisk_->end_reason());
        log::error("tapdisk.died", {{"vbd", address_.name()},
                                    {"pid", std::to_string(tapdisk_->pid())},
                                    {"reason", tapdisk_->end_reason()},
                                    {"state", "the disk is held"}});
    }
    ::unlink(file(".sock").c_str());
    now_.tapdisk = Tapdisk::none;
    now_.link = Link::none;
    description_.reset();
    disk_problems_ = {};
    tapdisk_gone_ = true;
    for (const auto& call : std::exchange(when_ended_, {}))
        call();
    host_.mark(address_);
}

void Vbd::call_tapdisk(const std::string& request, const ipc::Json& arguments, const std::vector<int>& descriptors,
                       Done done) {
    if (!tapdisk_ || tapdisk_gone_) throw_error(Errc::wrong_state, address_.name() + ": no image is open");
    tapdisk_->call(request, arguments, descriptors, std::move(done));
}

void Vbd::pause(Done done) {
    call_tapdisk("pause", ipc::Json::object(), {}, [this, done = std::move(done)](const ipc::Reply& reply) {
        // Kept, the file would be served again instead of what its path names by then.
        paused_ = paused_ || reply.error_code.empty();
        if (reply.error_code.empty()) host_.files.release(address_.name());
        done(reply);
    });
}

void Vbd::resume(const ipc::VbdResumeArguments& arguments, Done done) {
    ipc::ResumeArguments request;
    request.accept_loss = arguments.accept_loss;
    const auto before = image_;
    if (arguments.image) image_ = arguments.image;  // its files are asked for before the reply comes
    // Named also when it is the same: the one who opened it first may have been another tapback.
    if (arguments.image || paused_) request.image = ipc::open_arguments(image_.value(), true);
    try {
        call_tapdisk("resume", request, {}, [this, before, done = std::move(done)](const ipc::Reply& reply) {
            paused_ = paused_ && !reply.error_code.empty();
            if (!reply.error_code.empty()) {
                image_ = before;
                // What was refused must not stay locked, nor be served when its path names another file by then.
                if (paused_) host_.files.release(address_.name());
            }
            if (image_ != before) write_record(host_.options.run_directory, {address_, image_.value(), plugged_});
            done(reply);
        });
    } catch (const std::system_error&) {
        image_ = before;
        throw;
    }
}

}  // namespace blktap::tapback
