// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FormatTools: what can be done with a format's images while nobody serves them. Each format that can has one, in
// drivers/NAME/tools.hpp; drivers/tools.hpp has them all. Values go in and out, no command line and no JSON: how they
// are written for people and for programs is the affair of whoever asks.
//
// Tested by tests/unit/drivers/tools_test.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "drivers/formats/format.hpp"

namespace blktap {

/// An image that is to be made. What not every format can be is asked for only where NewImageCan says so.
struct WantedImage {
    std::string path{};
    std::uint64_t size_bytes = 0;
    std::optional<std::uint64_t> cluster_bytes{};  ///< absent: as the format has it
    std::string base{};         ///< what the disk begins as, by the name that will stand in the image; empty: zeros
    std::string base_format{};  ///< of that
    std::string data_file{};    ///< a file of its own for the data; empty: none
    bool raw_data = false;      ///< that file is the disk's bytes at any time
    bool subclusters = false;
    bool fixed = false;
};

struct NewImageCan {
    bool be_fixed = false;          ///< as long as the disk from the start
    bool have_subclusters = false;  ///< extended L2 entries
    bool have_data_file = false;
};

/// Something that is so of an image; the name is for programs too: "cluster-bytes".
struct ImageFact {
    std::string_view name;
    std::variant<bool, std::uint64_t, std::string> value;
};
using ImageFacts = std::vector<ImageFact>;

/// One image of a chain.
struct ImageLayer {
    std::string path{};
    std::string_view format{};
    std::uint64_t size_bytes = 0;    ///< of the disk
    std::uint64_t stored_bytes = 0;  ///< what the file takes of its file system
    ImageFacts facts{};              ///< what only this format has
};

enum class Soundness : std::uint8_t {
    sound,
    untidy,   ///< space is lost, or the next writer has something to repair; no data is in danger
    damaged,  ///< its tables contradict each other
};
struct CheckReport {
    Soundness soundness = Soundness::sound;
    std::string text{};  ///< for people
    ImageFacts facts{};  ///< the same for programs
};

/// A piece of a disk that is stored in one way, all in bytes.
struct DiskPiece {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    std::string_view what{};            ///< a literal: "data", "zero", ...
    std::string_view file{};            ///< in which it is stored; empty: it is not
    std::optional<std::uint64_t> at{};  ///< where in that its bytes are, one after the other; none when compressed
};
using PieceVisitor = std::function<void(const DiskPiece&)>;

/// Told now and then how much of the work is done.
using TellProgress = std::function<void(std::uint64_t done, std::uint64_t all)>;

/// Errors of every function: throws std::system_error with a text for people. All of them block.
struct FormatTools {
    const Format* format;
    NewImageCan can{};
    /// Names of the formats over whose images one of this format can be made.
    std::span<const std::string_view> bases{};
    /// An image names its base from its own directory, whether asked for it or not.
    bool base_is_relative = false;
    /// What a size of clusters means here, and what it is when none is asked for.
    std::string_view cluster_help{};

    /// Makes the image, durable. On failure no file is left. Errors: also EEXIST: it is there.
    void (*create)(const WantedImage& wanted);
    /// The image and what is below it, in this order.
    std::vector<ImageLayer> (*describe)(const std::string& path);
    CheckReport (*check)(const std::string& path, const TellProgress& tell);
    /// Calls `visit` for each piece of the disk, in order. Lifetime: what a piece refers to is there during that call.
    void (*map)(const std::string& path, const TellProgress& tell, const PieceVisitor& visit);
    /// Where the image says that its data is, though a disk may be using it; empty: in the image, or it does not say.
    /// Null: no image of this format says so.
    std::string (*named_data_file)(const std::string& path) = nullptr;
};

}  // namespace blktap
