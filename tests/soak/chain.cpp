// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/soak/chain.hpp"

#include <filesystem>

#include "tests/soak/host/tapback_calls.hpp"

namespace blktap::soak {
namespace {

namespace fs = std::filesystem;

constexpr int only_leaks = 3;  // of tap-ctl image check
constexpr const char* no_space = "No space left";

/// A sparse copy, complete or not there.
bool copies(const std::string& from, const std::string& to) {
    if (testing::run({"/bin/cp", "--sparse=always", from, to}, {.output = "/dev/null"}, patience) == 0) return true;
    fs::remove(to);
    return false;
}

}  // namespace

Chain::Chain(ChainPlan plan, const Storage& storage, const TapCtl& tap_ctl)
    : plan_(std::move(plan)), storage_(storage), tap_ctl_(tap_ctl) {
    layers_.push_back({plan_.format, new_path()});
    create();
}

Chain::~Chain() {
    std::error_code ignored;
    if (!may_move()) return;
    for (const Layer& layer : layers_)
        fs::remove(layer.path, ignored);
}

std::string Chain::new_path() {
    return storage_.path(plan_.place, plan_.disk + "-" + std::to_string(++names_), plan_.number);
}

void Chain::create() {
    const Layer& layer = layers_.front();
    if (!may_move()) {
        if (fs::file_size(layer.path) != plan_.size_bytes) throw Wrong(layer.path + " has another size");
        return;
    }
    if (plan_.format == "raw") {
        const UniqueFd file{::open(layer.path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
        if (!file || ::ftruncate(file.get(), static_cast<off_t>(plan_.size_bytes)) != 0) throw_system_error(layer.path);
        return;
    }
    TapCtl::Outcome outcome;
    wait_for("make the image " + layer.path, [&] {
        outcome = tap_ctl_.run(
            {"image", "create", layer.format + ":" + layer.path, "--size", std::to_string(plan_.size_bytes)});
        return outcome.status == 0 || !outcome.says(no_space);
    });
    if (outcome.status != 0) throw Wrong("tap-ctl image create: " + outcome.said);
}

void Chain::rename_top() {
    const std::string path = new_path();
    fs::rename(layers_.back().path, path);
    layers_.back().path = path;
}

void Chain::copy_top() {
    const std::string path = new_path();
    if (!copies(layers_.back().path, path)) return;
    fs::remove(layers_.back().path);
    layers_.back().path = path;
}

std::string Chain::complaint() const {
    for (const Layer& layer : layers_) {
        if (layer.format == "raw") continue;
        const TapCtl::Outcome outcome = tap_ctl_.run({"image", "check", layer.format + ":" + layer.path});
        if (outcome.status != 0 && outcome.status != only_leaks)
            return "tap-ctl image check " + layer.path + ": status " + std::to_string(outcome.status) + ", " +
                   outcome.said;
    }
    return "";
}

std::string Chain::next_layer(bool vhd) {
    const std::string& format = layers_.back().format;
    const std::string next = format == "raw" ? (vhd ? "vhd" : "qcow2") : format;
    return next + ":" + new_path();
}

void Chain::now_has(const ipc::ImageArguments& image) {
    if (image.path != layers_.back().path) layers_.push_back({image.format, image.path});
}

}  // namespace blktap::soak
