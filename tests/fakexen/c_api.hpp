// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What the files that define the libraries' C symbols share.
#pragma once

#include <cerrno>
#include <new>
#include <system_error>

/// The only symbols that the preloadable library exports.
#define FAKEXEN_API extern "C" __attribute__((visibility("default")))

namespace fakexen {

/// Runs `body`; an exception becomes errno and `failed`. No exception may reach a C caller.
template <class Body, class Failed>
auto c_call(Body body, Failed failed) noexcept -> decltype(body()) {
    try {
        return body();
    } catch (const std::system_error& error) {
        errno = error.code().value();
    } catch (const std::bad_alloc&) {
        errno = ENOMEM;
    }
    return failed;
}

}  // namespace fakexen
