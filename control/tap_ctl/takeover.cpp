// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tap_ctl/takeover.hpp"

#include <cerrno>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

#include "control/tap_ctl/sha256.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/small_file.hpp"

namespace blktap::tap_ctl {
namespace {

// Every version of the wrapper has this comment, and no script of Xen's has it.
constexpr std::string_view wrapper_mark = "# tapdisk-block-wrapper:";
constexpr mode_t script_mode = 0755;
constexpr mode_t record_mode = 0644;

bool is_wrapper(const std::string& script) {
    return script.find(wrapper_mark) != std::string::npos;
}

[[noreturn]] void refuse(const Takeover& takeover, TakeoverState state) {
    throw_reason(std::make_error_code(std::errc::operation_not_permitted), takeover.block() + ": " + advice(state));
}

void remove_file(const std::string& path) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw_system_error(path);
}

void rename_file(const std::string& from, const std::string& to) {
    if (::rename(from.c_str(), to.c_str()) != 0) throw_system_error(from + " to " + to);
}

/// Links the file at `path` to the name `other` too, replacing a file of that name.
void link_file(const std::string& path, const std::string& other) {
    const std::string temporary = other + ".tapdisk-new";
    remove_file(temporary);
    if (::link(path.c_str(), temporary.c_str()) != 0) throw_system_error(path + " to " + temporary);
    rename_file(temporary, other);
    // If both names are the same file already, rename() does nothing and leaves both.
    remove_file(temporary);
}

}  // namespace

TakeoverFiles TakeoverFiles::under(const std::string& root) {
    const std::string top = root.ends_with('/') ? root.substr(0, root.size() - 1) : root;
    return {top + BLKTAP_XEN_SCRIPTS_DIR, top + BLKTAP_DATA_DIR "/tapdisk/block-wrapper",
            top + "/var/lib/tapdisk/takeover.sha256"};
}

std::optional<std::string> Takeover::recorded() const {
    const auto line = read_small_file(files_.record);
    if (!line) return std::nullopt;
    return line->substr(0, line->find(' '));
}

TakeoverState Takeover::state() const {
    const auto block_script = read_small_file(block());
    if (!block_script) return TakeoverState::no_script;
    const auto xen_script = read_small_file(block_xen());
    if (!is_wrapper(*block_script)) {
        if (!xen_script) return TakeoverState::disabled;
        return *xen_script == *block_script ? TakeoverState::interrupted : TakeoverState::replaced;
    }
    if (!xen_script) return TakeoverState::lost;
    if (recorded() != sha256(*xen_script)) return TakeoverState::changed;
    return read_small_file(files_.wrapper) == block_script ? TakeoverState::enabled : TakeoverState::outdated;
}

bool Takeover::enable() const {
    const TakeoverState now = state();
    switch (now) {
        case TakeoverState::enabled:
            return false;
        case TakeoverState::outdated:
            install_wrapper();
            return true;
        case TakeoverState::replaced:
            // An older package's script may be lost; one that an operator put there may not.
            if (const auto old = read_small_file(block_xen()); old && recorded() == sha256(*old)) break;
            throw_reason(std::make_error_code(std::errc::file_exists),
                         block_xen() + " is not the script that was recorded, and would be lost; move it away first");
        case TakeoverState::disabled:
        case TakeoverState::interrupted:
            break;
        case TakeoverState::changed:
        case TakeoverState::lost:
        case TakeoverState::no_script:
            refuse(*this, now);
    }
    if (::access((files_.scripts + "/block-tapdisk").c_str(), X_OK) != 0) {
        throw_system_error(files_.scripts + "/block-tapdisk, which the wrapper runs, is not there");
    }
    if (const auto script = read_small_file(block())) take(*script);
    return true;
}

/// After each step the next enable() or disable() can go on.
void Takeover::take(const std::string& script) const {
    link_file(block(), block_xen());
    std::filesystem::create_directories(std::filesystem::path(files_.record).parent_path());
    write_small_file(files_.record, sha256(script) + "  " + block_xen() + '\n', record_mode);
    install_wrapper();
}

void Takeover::install_wrapper() const {
    const auto wrapper = read_small_file(files_.wrapper);
    if (!wrapper) throw_error(std::make_error_code(std::errc::no_such_file_or_directory), files_.wrapper);
    write_small_file(block(), *wrapper, script_mode);
}

bool Takeover::disable() const {
    const TakeoverState now = state();
    switch (now) {
        case TakeoverState::disabled:
            remove_file(files_.record);
            return false;
        case TakeoverState::enabled:
        case TakeoverState::outdated:
        case TakeoverState::changed:
            rename_file(block_xen(), block());
            break;
        case TakeoverState::replaced:
            if (const auto old = read_small_file(block_xen()); old && recorded() != sha256(*old)) {
                throw_reason(std::make_error_code(std::errc::file_exists),
                             block_xen() + " is not the script that was recorded; look at it and remove it yourself");
            }
            remove_file(block_xen());
            break;
        case TakeoverState::interrupted:
            remove_file(block_xen());
            break;
        case TakeoverState::lost:
        case TakeoverState::no_script:
            refuse(*this, now);
    }
    remove_file(files_.record);
    return true;
}

bool Takeover::newer_script_waits() const {
    const auto newer = read_small_file(block() + ".dpkg-dist");
    return newer && newer != read_small_file(block_xen());
}

const char* name_of(TakeoverState state) {
    switch (state) {
        case TakeoverState::disabled:
            return "disabled";
        case TakeoverState::enabled:
            return "enabled";
        case TakeoverState::outdated:
            return "outdated";
        case TakeoverState::replaced:
            return "replaced";
        case TakeoverState::interrupted:
            return "interrupted";
        case TakeoverState::changed:
            return "changed";
        case TakeoverState::lost:
            return "lost";
        case TakeoverState::no_script:
            return "no-script";
    }
    return "unknown";
}

std::string advice(TakeoverState state) {
    switch (state) {
        case TakeoverState::disabled:
            return "plain disk lines run on the kernel's backend";
        case TakeoverState::enabled:
            return "plain disk lines run on tapdisk";
        case TakeoverState::outdated:
            return "the wrapper is of another version of tap-ctl; enable it again";
        case TakeoverState::replaced:
            return "Xen's package has put its script back, and plain disk lines run on the kernel's backend; enable it "
                   "again, or disable it to clean up";
        case TakeoverState::interrupted:
            return "enabling or disabling it was interrupted; do it again";
        case TakeoverState::changed:
            return "block.xen is not the script that was recorded; disable puts it back as it is";
        case TakeoverState::lost:
            return "Xen's script block.xen is gone, and disks that are not files fail; put it back from Xen's package";
        case TakeoverState::no_script:
            return "there is no such script; is Xen installed?";
    }
    return "";
}

bool is_sound(TakeoverState state) {
    return state == TakeoverState::enabled || state == TakeoverState::disabled;
}

}  // namespace blktap::tap_ctl
