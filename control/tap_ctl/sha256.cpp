// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tap_ctl/sha256.hpp"

#include <array>
#include <bit>
#include <cstdint>

namespace blktap::tap_ctl {
namespace {

using State = std::array<std::uint32_t, 8>;

constexpr std::size_t block_bytes = 64;
constexpr std::size_t length_bytes = 8;  // for the message's length in bits, at the end of the last block

// The first 32 bits of the fractions of the square roots of the first 8 primes, ...
constexpr State initial{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
// ... and of the cube roots of the first 64.
constexpr std::array<std::uint32_t, 64> constants{
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

std::uint32_t big_endian(std::string_view bytes) {
    std::uint32_t word = 0;
    for (std::size_t index = 0; index < 4; ++index)
        word = word << 8 | static_cast<unsigned char>(bytes[index]);
    return word;
}

std::array<std::uint32_t, 64> schedule(std::string_view block) {
    std::array<std::uint32_t, 64> words{};
    for (std::size_t index = 0; index < 16; ++index)
        words[index] = big_endian(block.substr(index * 4));
    for (std::size_t index = 16; index < words.size(); ++index) {
        const std::uint32_t near = words[index - 2];
        const std::uint32_t far = words[index - 15];
        const std::uint32_t sigma0 = std::rotr(far, 7) ^ std::rotr(far, 18) ^ far >> 3;
        const std::uint32_t sigma1 = std::rotr(near, 17) ^ std::rotr(near, 19) ^ near >> 10;
        words[index] = words[index - 16] + sigma0 + words[index - 7] + sigma1;
    }
    return words;
}

void add_block(State& state, std::string_view block) {
    auto [a, b, c, d, e, f, g, h] = state;
    const auto words = schedule(block);
    for (std::size_t round = 0; round < words.size(); ++round) {
        const std::uint32_t sum1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
        const std::uint32_t choice = (e & f) ^ (~e & g);
        const std::uint32_t mixed = h + sum1 + choice + constants[round] + words[round];
        const std::uint32_t sum0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
        const std::uint32_t majority = (a & b) ^ (a & c) ^ (b & c);
        h = g, g = f, f = e, e = d + mixed;
        d = c, c = b, b = a, a = mixed + sum0 + majority;
    }
    const State after{a, b, c, d, e, f, g, h};
    for (std::size_t index = 0; index < state.size(); ++index)
        state[index] += after[index];
}

/// The rest after the last whole block, a 1 bit, zeros, and the length in bits: one block or two.
std::string last_blocks(std::string_view data) {
    std::string end(data.substr(data.size() - data.size() % block_bytes));
    end += '\x80';
    while (end.size() % block_bytes != block_bytes - length_bytes)
        end += '\0';
    const std::uint64_t bits = std::uint64_t{data.size()} * 8;
    for (int shift = 56; shift >= 0; shift -= 8)
        end += static_cast<char>(bits >> shift & 0xff);
    return end;
}

void add_blocks(State& state, std::string_view data) {
    for (; data.size() >= block_bytes; data.remove_prefix(block_bytes))
        add_block(state, data.substr(0, block_bytes));
}

}  // namespace

std::string sha256(std::string_view data) {
    State state = initial;
    add_blocks(state, data);
    add_blocks(state, last_blocks(data));
    std::string text;
    for (const std::uint32_t word : state) {
        for (int shift = 28; shift >= 0; shift -= 4)
            text += "0123456789abcdef"[word >> shift & 15];
    }
    return text;
}

}  // namespace blktap::tap_ctl
