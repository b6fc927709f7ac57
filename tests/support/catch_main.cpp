// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The main() of every test program.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
