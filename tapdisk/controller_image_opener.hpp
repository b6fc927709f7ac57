// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ControllerImageOpener: opens an image's files through the control client that asked for the image, which checks,
// locks and passes descriptors. So a tapdisk needs no rights to the file system.
#pragma once

#include "libblktap/files/image_opener.hpp"
#include "tapdisk/control_server.hpp"

namespace blktap {

class ControllerImageOpener final : public ImageOpener {
  public:
    /// `server` outlives the opener; when `client` is gone open() fails. `image`: the path of the image.
    ControllerImageOpener(ControlServer& server, std::uint64_t client, std::string image)
        : server_(server), client_(client), image_(std::move(image)) {}

    UniqueFd open(const std::string& path, Access access, Caching caching) override {
        return server_.open_through_client(client_,
                                           {path, access == Access::read_only, caching == Caching::buffered, {}});
    }
    /// The controller decides which files the image may use.
    UniqueFd open_named(const std::string& path, const std::string& by, Access access, Caching caching) override {
        return server_.open_through_client(client_, {path, access == Access::read_only, caching == Caching::buffered,
                                                     by == image_ ? std::string{} : by});
    }

    DeviceDiscard device_discard(int fd) override { return server_.device_discard(fd); }

  private:
    ControlServer& server_;
    const std::uint64_t client_;
    const std::string image_;
};

}  // namespace blktap
