// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FormatTools: operations on a format's images that no disk uses. A format with tools has one, in
// drivers/NAME/tools.hpp; drivers/tools.hpp lists them. The functions take and return values, no command line and no
// JSON: the caller formats them for people and for programs.
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

/// An image to be made. Properties that not every format has are requested only if NewImageCan allows them.
struct WantedImage {
    std::string path{};
    std::uint64_t size_bytes = 0;
    std::optional<std::uint64_t> cluster_bytes{};  ///< absent: the format's default
    std::string base{};         ///< the image whose contents the disk begins with, as named in the image; empty: zeros
    std::string base_format{};  ///< the format of `base`
    std::string data_file{};    ///< a separate file for the data; empty: none
    bool raw_data = false;      ///< the data file is always a raw image of the disk
    bool subclusters = false;
    bool fixed = false;
};

struct NewImageCan {
    bool be_fixed = false;          ///< as long as the disk from the start
    bool have_subclusters = false;  ///< extended L2 entries
    bool have_data_file = false;
};

/// A property of an image; the name is for programs too: "cluster-bytes".
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
    std::uint64_t stored_bytes = 0;  ///< space that the file takes on its file system
    ImageFacts facts{};              ///< properties that only this format has
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
    std::string_view file{};            ///< the file in which it is stored; empty: none
    std::optional<std::uint64_t> at{};  ///< offset of its bytes in that file; none if they are compressed
};
using PieceVisitor = std::function<void(const DiskPiece&)>;

/// Called now and then with the progress of the work.
using TellProgress = std::function<void(std::uint64_t done, std::uint64_t all)>;

/// Errors of every function: throws std::system_error with a text for people. All of them block.
struct FormatTools {
    const Format* format;
    NewImageCan can{};
    /// Names of the formats over whose images an image of this format can be made.
    std::span<const std::string_view> bases{};
    /// An image always names its base relative to its own directory, whether requested or not.
    bool base_is_relative = false;
    /// For people: what the cluster size means in this format, and its default.
    std::string_view cluster_help{};

    /// Makes the image, and makes it durable. On failure no file is left. Errors: also EEXIST.
    void (*create)(const WantedImage& wanted);
    /// Returns the image and the images below it, in this order.
    std::vector<ImageLayer> (*describe)(const std::string& path);
    CheckReport (*check)(const std::string& path, const TellProgress& tell);
    /// Calls `visit` for each piece of the disk, in order. Lifetime: strings of a piece are valid only during that
    /// call.
    void (*map)(const std::string& path, const TellProgress& tell, const PieceVisitor& visit);
    /// Returns the data file that the image names, also while a disk uses the image; empty: it names none. Null: images
    /// of this format never do.
    std::string (*named_data_file)(const std::string& path) = nullptr;
};

}  // namespace blktap
