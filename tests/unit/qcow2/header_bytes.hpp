// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// HeaderBytes: the first bytes of a valid qcow2 image; tests spoil them field by field.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "drivers/shared/bytes.hpp"

namespace blktap::testing {

class HeaderBytes {
  public:
    /// A disk of 1 GiB with clusters of 64 KiB, version 3, no backing file.
    HeaderBytes() : bytes_(65536) {
        put<std::uint32_t>(0, 0x514649fb);
        put<std::uint32_t>(4, 3);
        put<std::uint32_t>(20, 16);
        put<std::uint64_t>(24, 1ULL << 30);
        put<std::uint32_t>(36, 2);
        put<std::uint64_t>(40, 3 * 65536);
        put<std::uint64_t>(48, 65536);
        put<std::uint32_t>(56, 1);
        put<std::uint32_t>(96, 4);
        put<std::uint32_t>(100, 104);
    }
    template <class Number>
    HeaderBytes& put(std::size_t offset, Number value) {
        store(std::span{bytes_}, offset, value);
        return *this;
    }
    HeaderBytes& put_text(std::size_t offset, const std::string& text) {
        std::memcpy(bytes_.data() + offset, text.data(), text.size());
        return *this;
    }
    /// A header extension at `offset`; returns where the next one begins.
    std::size_t put_extension(std::size_t offset, std::uint32_t type, const std::string& data) {
        put<std::uint32_t>(offset, type);
        put<std::uint32_t>(offset + 4, static_cast<std::uint32_t>(data.size()));
        put_text(offset + 8, data);
        return offset + 8 + (data.size() + 7) / 8 * 8;
    }
    HeaderBytes& put_backing(const std::string& name, std::size_t at = 1024) {
        put<std::uint64_t>(8, at);
        put<std::uint32_t>(16, static_cast<std::uint32_t>(name.size()));
        return put_text(at, name);
    }
    std::vector<std::byte>& bytes() { return bytes_; }

  private:
    std::vector<std::byte> bytes_;
};

}  // namespace blktap::testing
