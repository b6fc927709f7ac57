// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ControllerImageOpener: opens an image's files by asking the control client that asked for the image, which checks,
// locks and passes descriptors. It is what lets a tapdisk run without any right to the file system.
#pragma once

#include "libblktap/files/image_opener.hpp"
#include "tapdisk/control_server.hpp"

namespace blktap {

class ControllerImageOpener final : public ImageOpener {
  public:
    /// `server` outlives the opener; `client` need not: without it open() fails. `image`: the path of the image.
    ControllerImageOpener(ControlServer& server, std::uint64_t client, std::string image)
        : server_(server), client_(client), image_(std::move(image)) {}

    UniqueFd open(const std::string& path, Access access, Caching caching) override {
        return server_.open_through_client(client_,
                                           {path, access == Access::read_only, caching == Caching::buffered, {}});
    }
    /// The controller says what the image may have.
    UniqueFd open_named(const std::string& path, const std::string& by, Access access, Caching caching) override {
        return server_.open_through_client(client_, {path, access == Access::read_only, caching == Caching::buffered,
                                                     by == image_ ? std::string{} : by});
    }

  private:
    ControlServer& server_;
    const std::uint64_t client_;
    const std::string image_;
};

}  // namespace blktap
