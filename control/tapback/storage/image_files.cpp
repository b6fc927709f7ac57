// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/storage/image_files.hpp"

#include <algorithm>

#include "control/tapback/storage/storage_messages.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {
namespace {

bool is_lost(const ipc::Reply& reply) {
    return reply.error_code == ipc::error_code_name(Errc::peer_closed);
}

void ask_nothing(const ipc::Request& question) {
    throw_error(Errc::unknown_request, '"' + question.name + '"');
}

}  // namespace

ImageFiles::ImageFiles(EventLoop& loop, const ImageDirectories& directories, StartProcess start)
    : loop_(loop),
      rules_(directories.images, directories.backing),
      start_(std::move(start)),
      tidy_timer_(loop, [this] { tidy(); }) {}

ImageFiles::~ImageFiles() = default;

// Owners.

ImageFiles::Owner* ImageFiles::find(const std::string& name) {
    const auto found = owners_.find(name);
    if (found == owners_.end()) return nullptr;
    if (!found->second->link.lost()) return found->second.get();
    leave(name);  // the next request starts another process
    return nullptr;
}

ImageFiles::Owner& ImageFiles::owner(const std::string& name) {
    if (Owner* const known = find(name)) return *known;
    if (gone_.size() >= hung_max) {
        throw_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                    std::to_string(gone_.size()) + " files of disks that are gone are still being opened");
    }
    auto& added = owners_[name];
    try {
        added = std::make_unique<Owner>(loop_, name, start_());
    } catch (const std::exception&) {
        owners_.erase(name);
        throw;
    }
    return *added;
}

/// Lets the owner's process finish its jobs and end.
void ImageFiles::leave(const std::string& name) {
    auto node = owners_.extract(name);
    if (node.empty()) return;
    node.mapped()->gone = true;
    gone_.push_back(std::move(node.mapped()));
    tidy_timer_.arm(Nanoseconds{0});
}

void ImageFiles::hand_over(const std::string& from, const std::string& to) {
    if (owners_.contains(to)) {
        refuse_open(to);
        rules_.release(to);  // its files are being closed
        leave(to);
    }
    rules_.hand_over(from, to);
    auto node = owners_.extract(from);
    if (node.empty()) return;
    node.key() = node.mapped()->name = to;
    owners_.insert(std::move(node));
}

/// Ends processes without jobs and files, and refuses files that tapdisks have waited for too long.
void ImageFiles::tidy() {
    const Nanoseconds now = loop_.clock().now();
    std::erase_if(gone_, [](const auto& each) { return each->link.jobs() == 0; });
    std::erase_if(owners_, [this](const auto& each) {
        return each.second->link.jobs() == 0 && (each.second->link.lost() || rules_.count(each.first) == 0);
    });
    Nanoseconds next = Nanoseconds::max();
    for (const auto& [name, owner] : owners_) {
        for (Opening& opening : owner->openings) {
            if (opening.refused) continue;
            if (opening.deadline <= now) {
                log::warning("storage", {{"disk", name},
                                         {"path", opening.request.file().path},
                                         {"reason", "it does not answer"},
                                         {"state", "not opened"}});
                refuse(opening, std::make_error_code(std::errc::timed_out),
                       opening.request.file().path + ": its storage does not answer");
            } else {
                next = std::min(next, opening.deadline);
            }
        }
    }
    if (next != Nanoseconds::max()) tidy_timer_.arm(next - now);
}

// Opening files.

void ImageFiles::open(const std::string& name, const ipc::OpenArguments& image, FileRequest request) {
    FileRules::require_granted(image, request.file());
    Owner& by = owner(name);
    if (by.openings.size() >= openings_max) {
        throw_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                    request.file().path + ": " + std::to_string(openings_max) + " files are being opened");
    }
    const storage::Open message{request.file(), FileRules::naming_image(image, request.file()),
                                storage::named(request.tapdisk()), request.id()};
    const int connection = request.connection();
    Opening& opening =
        by.openings.emplace_back(Opening{image, std::move(request), loop_.clock().now() + patience, false});
    by.link.add(
        message, connection, [this, &by, &opening](const ipc::Request& question) { judge(by, opening, question); },
        [this, &by, &opening](const ipc::Reply& reply) { opened(by, opening, reply); });
    tidy_timer_.arm(Nanoseconds{0});
}

void ImageFiles::judge(const Owner& owner, const Opening& opening, const ipc::Request& question) {
    const bool asks_if_wanted = question.name == storage::StillWanted::name;
    if (!asks_if_wanted && question.name != storage::Judge::name) ask_nothing(question);
    if (opening.refused) {
        throw_error(std::make_error_code(std::errc::operation_canceled), opening.request.file().path);
    }
    if (asks_if_wanted) return;
    const auto judged = question.arguments.get<storage::Judge>();
    rules_.require_allowed(owner.name, opening.image, opening.request.file(), judged.facts);
    if (judged.open) rules_.hold(owner.name, opening.request.file(), judged.facts);
}

/// The storage process has answered the tapdisk, unless it has ended.
void ImageFiles::opened(Owner& owner, const Opening& opening, const ipc::Reply& reply) {
    const auto own = std::ranges::find_if(owner.openings, [&](const Opening& each) { return &each == &opening; });
    if (is_lost(reply) && !own->refused)
        refuse(*own, ipc::error_code_named(reply.error_code), own->request.file().path + ": " + reply.error_message);
    owner.openings.erase(own);
    tidy_timer_.arm(Nanoseconds{0});
}

void ImageFiles::refuse(Opening& opening, std::error_code code, const std::string& message) {
    opening.refused = true;
    opening.request.refuse(code, message);
}

void ImageFiles::refuse_open(const std::string& name) {
    Owner* const known = find(name);
    if (known == nullptr) return;
    for (Opening& opening : known->openings) {
        if (opening.refused) continue;
        refuse(opening, std::make_error_code(std::errc::operation_canceled),
               opening.request.file().path + ": its disk is being taken away");
    }
}

void ImageFiles::take(const std::string& name, const ipc::OpenArguments& image, const std::string& socket_path,
                      pid_t tapdisk, Then then) {
    const auto failed = [name](const std::string& reason) {
        log::warning("files", {{"disk", name}, {"reason", reason}, {"state", "its tapdisk alone locks it"}});
    };
    try {
        Owner& by = owner(name);
        by.link.add(
            storage::Take{socket_path, static_cast<std::uint32_t>(tapdisk)}, -1,
            [this, &by, image](const ipc::Request& question) {
                if (question.name != storage::Keep::name) ask_nothing(question);
                const auto kept = question.arguments.get<storage::Keep>();
                rules_.keep(by.name, image, kept.file, kept.facts);
            },
            [this, failed, then](const ipc::Reply& reply) {
                if (!reply.error_code.empty()) failed(reply.error_message);
                tidy_timer_.arm(Nanoseconds{0});
                then();
            });
    } catch (const std::system_error& error) {
        failed(error.what());
        then();
    }
}

// Closing files.

void ImageFiles::release(const std::string& name, Then then) {
    Owner* const known = find(name);
    if (known == nullptr) {
        rules_.release(name);
        return then();
    }
    known->link.add(storage::Release{}, -1, ask_nothing, [this, known, then = std::move(then)](const ipc::Reply&) {
        if (!known->gone) rules_.release(known->name);
        tidy_timer_.arm(Nanoseconds{0});
        then();
    });
}

void ImageFiles::forget(const std::string& name, Then then) {
    rules_.forget_kept(name);
    refuse_open(name);
    Owner* const known = find(name);
    if (known != nullptr && rules_.count(name) == 0 && known->link.jobs() == known->openings.size()) leave(name);
    release(name, std::move(then));
}

}  // namespace blktap::tapback
