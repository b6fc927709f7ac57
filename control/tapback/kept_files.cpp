// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/kept_files.hpp"

#include "libblktap/base/log.hpp"

namespace blktap::tapback {

void keep_files_of(TapdiskHandle& tapdisk, ImageFiles& files, const std::string& owner,
                   const ipc::ImageArguments& image, std::function<void()> then) {
    const auto keep = [&files, owner, image, then = std::move(then)](ipc::Reply reply) {
        try {
            ipc::throw_if_error(reply);
            const auto result = reply.result.get<ipc::Files::Result>();
            if (result.files.size() != reply.descriptors.size())
                throw_error(Errc::bad_message, "files: not as many descriptors as files");
            for (std::size_t i = 0; i < result.files.size(); ++i)
                files.keep(owner, ipc::open_arguments(image, true), result.files[i], std::move(reply.descriptors[i]));
        } catch (const std::system_error& error) {
            log::warning("files", {{"disk", owner}, {"reason", error.what()}, {"state", "its tapdisk alone locks it"}});
        }
        then();
    };
    tapdisk.call(ipc::Files{}, {}, keep);
}

}  // namespace blktap::tapback
