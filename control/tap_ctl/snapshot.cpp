// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tap_ctl/snapshot.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

#include "control/tap_ctl/offline_image.hpp"
#include "drivers/formats/formats.hpp"
#include "drivers/tools.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::tap_ctl {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds answer_time{10};
constexpr std::chrono::seconds disk_time{120};  // a pause waits for a slow disk's I/O

/// Options of every disk, whatever its format. Format::options_kept lists those of the image.
constexpr std::array<std::string_view, 3> disk_options = {"enospc-timeout", "low-space", "on-error"};

/// Blocks signals that would end the program, so that Ctrl-C leaves no disk paused.
class SignalsWait {
  public:
    SignalsWait() noexcept {
        ::sigset_t set;
        ::sigemptyset(&set);
        for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE})
            ::sigaddset(&set, signal);
        ::pthread_sigmask(SIG_BLOCK, &set, &before_);
    }
    SignalsWait(const SignalsWait&) = delete;
    SignalsWait& operator=(const SignalsWait&) = delete;
    ~SignalsWait() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  private:
    ::sigset_t before_{};
};

/// An absolute path without "..". If the path has one, links are resolved: behind a linked directory ".." is not the
/// directory written before it.
std::string absolute(const std::string& path) {
    const fs::path whole = fs::absolute(path);
    if (std::ranges::find(whole, fs::path{".."}) == whole.end()) return whole.lexically_normal();
    return fs::canonical(whole.parent_path()) / whole.filename();
}

/// The path with its directory's links resolved: relative names in an image begin at its real directory.
std::string in_its_directory(const std::string& path) {
    const fs::path whole = fs::absolute(path);
    return fs::canonical(whole.parent_path()) / whole.filename();
}

/// The name by which the image at `overlay` refers to the one at `base`.
std::string name_of_base(const std::string& base, const std::string& overlay, bool relative) {
    if (!relative) return absolute(base);
    return fs::canonical(base).lexically_relative(fs::path(overlay).parent_path());
}

ipc::ImageArguments arguments_of(const ImageSpec& spec) {
    return {spec.format, absolute(spec.path), spec.access == Access::read_only, spec.options};
}

/// The tools that make an image of `format` over one of `base_format`. Errors: throws std::system_error (EINVAL): no
/// format can be over `base_format`, or not this one.
const FormatTools& overlay_tools(const std::string& base_format, const std::string& format) {
    std::string possible;
    for (const FormatTools* const tools : all_tools()) {
        if (std::ranges::find(tools->bases, base_format) == tools->bases.end()) continue;
        if (format == tools->format->name) return *tools;
        possible.append(possible.empty() ? "" : " or ").append(tools->format->name);
    }
    const std::string reason = possible.empty() ? "no image can be made over one of the format '" + base_format + "'"
                                                : "an image over one of the format '" + base_format +
                                                      "' can have the format " + possible + ", not '" + format + "'";
    throw_reason(std::make_error_code(std::errc::invalid_argument), reason);
}

/// The overlay with the path at which it will be made over an image of `base_format`.
ImageSpec placed(const ImageSpec& overlay, const std::string& base_format, bool relative) {
    const bool begins_there = relative || overlay_tools(base_format, overlay.format).base_is_relative;
    ImageSpec made = overlay;
    made.path = begins_there ? in_its_directory(overlay.path) : absolute(overlay.path);
    return made;
}

void require_new(const ImageSpec& overlay) {
    if (!overlay.path.empty() && overlay.options.empty()) {
        // Creating it checks this again; here it is checked before a guest has to wait.
        if (!fs::exists(overlay.path)) return;
        throw_error(std::make_error_code(std::errc::file_exists), overlay.path);
    }
    throw_reason(std::make_error_code(std::errc::invalid_argument),
                 image_name(overlay) + ": a new image is FORMAT:PATH, without options");
}

bool same_file(const std::string& one, const std::string& other) {
    struct stat first {};
    struct stat second {};
    if (::stat(one.c_str(), &first) != 0 || ::stat(other.c_str(), &second) != 0) return false;
    if (S_ISBLK(first.st_mode) && S_ISBLK(second.st_mode)) return first.st_rdev == second.st_rdev;
    return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

/// Throws if the header of `base` does not name its data file: an image over `base` has no option that could.
void require_own_data_file(const ipc::ImageArguments& base) {
    const FormatTools* const tools = find_tools(base.format);
    if (tools == nullptr || tools->named_data_file == nullptr) return;
    const std::string option{tools->format->data_file_option};
    const auto given = base.options.find(option);
    if (given == base.options.end()) return;
    const std::string named = tools->named_data_file(base.path);
    if (!named.empty() && same_file(fs::path(base.path).parent_path() / given->second, named)) return;
    throw_reason(std::make_error_code(std::errc::invalid_argument),
                 base.path + ": its data is in '" + given->second + "', by the option " + option +
                     ", but an image over it would " + (named.empty() ? "find none" : "read '" + named + "'") +
                     ", as its header says");
}

/// The path of the base that the image at `path` names. If it cannot be read, the image is removed.
std::string base_found(const FormatTools& tools, const std::string& path) {
    try {
        return tools.describe(path).at(1).path;
    } catch (const std::system_error&) {
        ::unlink(path.c_str());
        throw;
    }
}

void make(const ipc::ImageArguments& base, const ImageSpec& overlay, std::uint64_t size_bytes, bool relative) {
    const FormatTools& tools = overlay_tools(base.format, overlay.format);
    tools.create({.path = overlay.path,
                  .size_bytes = size_bytes,
                  .base = name_of_base(base.path, overlay.path, relative),
                  .base_format = base.format});
    const std::string found = base_found(tools, overlay.path);
    if (same_file(found, base.path)) return;
    ::unlink(overlay.path.c_str());
    throw_reason(std::make_error_code(std::errc::invalid_argument),
                 overlay.path + ": would be over '" + found + "', which is not '" + base.path + "'");
}

class RunningDisk {
  public:
    RunningDisk(const ipc::VbdArguments& vbd, TapbackClient& tapback) : vbd_(vbd), tapback_(tapback) {}

    ipc::VbdEntry info() { return tapback_.call(ipc::Info{vbd_}, answer_time); }
    void pause() {
        try {
            tapback_.call_for_json(ipc::VbdPause{vbd_}, disk_time);
        } catch (const std::exception& error) {
            // The disk may be paused all the same: if only the last flush failed, or later, if the answer was late.
            const auto* said = dynamic_cast<const std::system_error*>(&error);
            if (said == nullptr || said->code() != Errc::wrong_state) go_on_after(error);
            throw;
        }
    }
    /// Resumes the disk with another image. Errors: throws std::system_error; if in_doubt(), the disk may have it all
    /// the same.
    void resume(const ipc::ImageArguments& image) {
        try {
            tapback_.call_for_json(ipc::VbdResume{vbd_, image, false}, disk_time);
        } catch (const std::system_error& error) {
            in_doubt_ = error.code() == std::errc::timed_out || error.code() == Errc::peer_closed;
            throw;
        }
    }
    bool in_doubt() const noexcept { return in_doubt_; }
    /// Resumes the disk with its old image, because of `reason`. Errors: throws std::system_error if that fails.
    void go_on_after(const std::exception& reason) {
        try {
            tapback_.call_for_json(ipc::VbdResume{vbd_, std::nullopt, false}, disk_time);
        } catch (const std::system_error& error) {
            const auto* first = dynamic_cast<const std::system_error*>(&reason);
            throw_reason(first != nullptr ? first->code() : error.code(),
                         std::string(reason.what()) + "; and the disk is paused, because going on failed: " +
                             error.what() + " (tap-ctl resume tries again)");
        }
    }

  private:
    const ipc::VbdArguments vbd_;
    TapbackClient& tapback_;
    bool in_doubt_ = false;
};

/// Whether an option of an image of `base_format` has the same meaning for an image of `format` over it.
bool is_kept(const std::string& option, const Format* base_format, const Format* format) {
    const auto keeps = [&](const Format* each) {
        return each != nullptr && std::ranges::find(each->options_kept, option) != each->options_kept.end();
    };
    return std::ranges::find(disk_options, option) != disk_options.end() || (keeps(base_format) && keeps(format));
}

ipc::ImageArguments overlay_arguments(const ImageSpec& overlay, const ipc::ImageArguments& base) {
    ipc::ImageArguments image{overlay.format, overlay.path, base.read_only, {}};
    const Format* const base_format = find_format(base.format);
    const Format* const format = find_format(overlay.format);
    for (const auto& [name, value] : base.options) {
        if (is_kept(name, base_format, format)) image.options.emplace(name, value);
    }
    return image;
}

/// Makes the overlay for the paused disk, and resumes the disk with it.
SnapshotResult go_on_with_overlay(RunningDisk& disk, const ipc::ImageArguments& base, const ImageSpec& overlay,
                                  bool relative) {
    const ipc::VbdEntry paused = disk.info();
    // Another snapshot may have come first: an overlay of the old image must not replace the new one.
    if (paused.image != base) throw_reason(Errc::wrong_state, paused.backend.name() + ": has another image now");
    if (!paused.description) throw_reason(Errc::wrong_state, "tapback does not know how large the disk is");
    // Held until the overlay's tapdisk locks the base, so that no writer gets in between.
    LocalImageOpener files;
    const UniqueFd lock = files.open(base.path, Access::read_only, Caching::buffered);
    make(base, overlay, paused.description->size_sectors * sector_size_bytes, relative);
    const SnapshotResult result{overlay_arguments(overlay, base), base};
    try {
        disk.resume(result.image);
    } catch (const std::exception&) {
        // In doubt, the overlay may be served by now, and must keep its file.
        if (!disk.in_doubt()) ::unlink(overlay.path.c_str());
        throw;
    }
    return result;
}

}  // namespace

SnapshotResult make_snapshot(const ImageSpec& base, const ImageSpec& overlay, bool relative) {
    require_new(overlay);
    const ImageSpec made = placed(overlay, base.format, relative);
    ImageSpec read = base;
    read.access = Access::read_only;
    const OfflineImage image{read};
    const SnapshotResult result{arguments_of(made), arguments_of(base)};
    require_own_data_file(result.base);
    make(result.base, made, image.info().size_sectors * sector_size_bytes, relative);
    return result;
}

SnapshotResult snapshot_running(const ipc::VbdArguments& vbd, TapbackClient& tapback, const ImageSpec& overlay,
                                bool relative) {
    require_new(overlay);
    RunningDisk disk{vbd, tapback};
    const ipc::VbdEntry before = disk.info();
    if (!before.image) throw_reason(Errc::wrong_state, before.backend.name() + ": has no image");
    if (before.state == "paused")
        throw_reason(Errc::wrong_state, before.backend.name() + ": is paused; resume it first");
    // Checked before the guest has to wait.
    const ImageSpec made = placed(overlay, before.image->format, relative);
    require_own_data_file(*before.image);
    const SignalsWait signals;
    disk.pause();
    try {
        return go_on_with_overlay(disk, *before.image, made, relative);
    } catch (const std::exception& error) {
        if (!disk.in_doubt()) disk.go_on_after(error);
        throw;
    }
}

}  // namespace blktap::tap_ctl
