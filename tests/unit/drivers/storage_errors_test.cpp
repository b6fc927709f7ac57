// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/shared/storage_errors.hpp"

#include <cerrno>

#include "libblktap/base/error.hpp"
#include "tests/support/catch.hpp"

using namespace blktap;

TEST_CASE("storage errors: what may be mended is tried again, what is wrong for good is not", "[unit][drivers]") {
    const auto retry = [](int error) { return retry_of({error, std::system_category()}); };
    for (const int error : {ENOSPC, EDQUOT})
        CHECK(retry(error) == Retry::when_space);
    for (const int error : {EIO, ETIMEDOUT, ENOLINK, EREMOTEIO, ENODEV, ENXIO, ESTALE, ENOTCONN, EHOSTDOWN,
                            EHOSTUNREACH, ENETDOWN, ENETUNREACH})
        CHECK(retry(error) == Retry::when_healthy);
    for (const int error : {EPERM, EINVAL, EOPNOTSUPP, EFBIG, EBADF, EROFS})
        CHECK(retry(error) == Retry::never);
    CHECK(retry_of(Errc::unexpected_end_of_file) == Retry::when_healthy);
    CHECK(retry_of(Errc::image_invalid) == Retry::never);
}
