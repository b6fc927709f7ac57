// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Images on disk for tests of formats: read and damaged byte by byte, and written and compared with a model through
// their driver.
#pragma once

#include <fcntl.h>
#include <optional>
#include <string>
#include <unistd.h>

#include "drivers/shared/bytes.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/mapping.hpp"
#include "libblktap/base/unique_fd.hpp"
#include "tests/support/images/driver_harness.hpp"
#include "tests/support/model_disk.hpp"

namespace blktap::testing {

/// A file's bytes; numbers are big-endian.
class FileBytes {
  public:
    explicit FileBytes(const std::string& path) : fd_(::open(path.c_str(), O_RDWR | O_CLOEXEC)) {
        if (!fd_) throw_system_error(path);
    }
    template <class Number>
    Number get(std::uint64_t offset) const {
        std::byte bytes[sizeof(Number)];
        if (::pread(fd_.get(), bytes, sizeof bytes, static_cast<off_t>(offset)) < 0) throw_system_error("pread");
        return load<Number>(bytes, 0);
    }
    template <class Number>
    void put(std::uint64_t offset, Number value) const {
        std::byte bytes[sizeof(Number)];
        store(std::span{bytes}, 0, value);
        if (::pwrite(fd_.get(), bytes, sizeof bytes, static_cast<off_t>(offset)) < 0) throw_system_error("pwrite");
    }

  private:
    UniqueFd fd_;
};

/// Writes stamps through the driver and the model.
inline std::error_code write_stamp(DriverHarness& harness, ImageDriver& driver, ModelDisk& model, SectorRange range,
                                   std::uint64_t stamp) {
    const Mapping memory = Mapping::anonymous(range.length_bytes());
    ModelDisk::fill(range, stamp, memory.bytes());
    const std::error_code error = harness.write(driver, range, memory.bytes());
    if (!error) model.write(range, stamp);
    return error;
}

inline std::optional<std::uint64_t> find_difference(DriverHarness& harness, ImageDriver& driver,
                                                    const ModelDisk& model) {
    const SectorRange all{0, model.size_sectors()};
    const Mapping memory = Mapping::anonymous(all.length_bytes());
    REQUIRE_FALSE(harness.read(driver, all, memory.bytes()));
    return model.first_difference(all, memory.bytes());
}

}  // namespace blktap::testing
