// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tap_ctl/vbd_list.hpp"

#include <algorithm>
#include <filesystem>
#include <iterator>

#include "control/tap_ctl/vbd_name.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::tap_ctl {
namespace {

constexpr std::chrono::seconds answer_time{10};
constexpr std::chrono::seconds about_time{2};  // a tapdisk that hangs must not delay the others for long

bool same_file(const std::string& one, const std::string& other) {
    std::error_code neither_is_there;
    return one == other || std::filesystem::equivalent(one, other, neither_is_there);
}

ipc::VbdArguments vbd_with_image(const std::string& path, TapbackClient& tapback) {
    auto vbds = list_vbds(tapback);
    std::erase_if(vbds, [&](const ipc::VbdEntry& vbd) { return !vbd.image || !same_file(vbd.image->path, path); });
    if (vbds.empty()) {
        throw_reason(std::make_error_code(std::errc::no_such_file_or_directory),
                     "no disk is served from '" + path + "'");
    }
    if (vbds.size() > 1) {
        throw_reason(
            std::make_error_code(std::errc::invalid_argument),
            "several disks are served from '" + path + "'; name one, for example " + vbds.front().backend.name());
    }
    return {vbds.front().backend.domain, vbds.front().backend.device};
}

}  // namespace

ipc::ListResult list_all(TapbackClient& tapback) {
    ipc::ListResult all;
    ipc::List arguments;
    do {
        ipc::ListResult reply = tapback.call(arguments, answer_time);
        if (reply.more && reply.vbds.empty()) throw_error(Errc::bad_message, "list: no entry, but more to come");
        all.more = reply.more;
        all.sandbox = std::move(reply.sandbox);
        std::ranges::move(reply.vbds, std::back_inserter(all.vbds));
        if (all.more) arguments.after = all.vbds.back().backend.name();
    } while (all.more);
    return all;
}

std::vector<ipc::VbdEntry> list_vbds(TapbackClient& tapback) {
    return list_all(tapback).vbds;
}

std::optional<ipc::AboutResult> about_tapdisk(const ipc::VbdArguments& vbd, TapbackClient& tapback) {
    try {
        return tapback.call(ipc::VbdAbout{vbd}, about_time);
    } catch (const std::system_error&) {
        return std::nullopt;
    }
}

std::vector<std::optional<ipc::AboutResult>> about_tapdisks(const std::vector<ipc::VbdEntry>& vbds,
                                                            TapbackClient& tapback) {
    std::vector<ipc::VbdAbout> questions;
    for (const ipc::VbdEntry& vbd : vbds)
        questions.push_back({{vbd.backend.domain, vbd.backend.device}});
    return tapback.call_all(questions, about_time);
}

ipc::VbdArguments find_vbd(const std::string& text, TapbackClient& tapback) {
    return text.starts_with('/') ? vbd_with_image(text, tapback) : read_vbd(text, domains_named);
}

}  // namespace blktap::tap_ctl
