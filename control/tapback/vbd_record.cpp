// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd_record.hpp"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <unistd.h>

#include "libblktap/base/log.hpp"
#include "libblktap/ipc/fields.hpp"

namespace blktap::tapback {
namespace {

constexpr unsigned record_version = 1;

std::string path_of(const std::string& directory, const ipc::VbdAddress& backend) {
    return directory + '/' + backend.file_name() + ".json";
}

VbdRecord read_record(const std::filesystem::path& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    const auto json = ipc::Json::parse(text.str(), nullptr, false);
    ipc::Fields fields(json, path.string());
    unsigned version = 0;
    fields.read("version", version);
    if (version != record_version) fields.fail("version", std::to_string(version) + ": not one of this tapback's");
    VbdRecord record;
    std::string backend;
    fields.read("backend", backend);
    const auto node = ipc::parse_backend_path(backend);
    if (!node || !node->below.empty()) fields.fail("backend", backend + ": no backend directory");
    record.backend = node->vbd;
    record.image = fields.require("image").get<ipc::ImageArguments>();
    if (const ipc::Json* next = fields.find("next")) record.next = next->get<ipc::ImageArguments>();
    fields.read("plugged", record.plugged);
    fields.read_optional("socket", record.socket);
    if (record.socket.find('/') != std::string::npos) fields.fail("socket", record.socket + ": not a file's name");
    if (const ipc::Json* tap = fields.find("tap")) record.tap = tap->get<ipc::TapArguments>();
    fields.expect_no_others();
    return record;
}

}  // namespace

void replace_file(const std::string& path, const std::string& text) {
    const std::string fresh = path + ".new";
    std::ofstream file(fresh, std::ios::trunc);
    file << text;
    file.close();
    if (!file) throw_error(std::make_error_code(std::errc::io_error), fresh + ": cannot be written");
    if (std::rename(fresh.c_str(), path.c_str()) != 0) throw_system_error(path);
}

void write_record(const std::string& directory, const VbdRecord& record) {
    ipc::Json json{{"version", record_version},
                   {"backend", record.backend.backend_path()},
                   {"image", record.image},
                   {"plugged", record.plugged}};
    if (record.next) json["next"] = *record.next;
    if (!record.socket.empty()) json["socket"] = record.socket;
    if (record.tap) json["tap"] = *record.tap;
    replace_file(path_of(directory, record.backend), json.dump() + '\n');
}

void remove_record(const std::string& directory, const ipc::VbdAddress& backend) noexcept {
    ::unlink(path_of(directory, backend).c_str());
}

std::vector<VbdRecord> read_records(const std::string& directory) {
    std::vector<VbdRecord> records;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        if (entry.path().extension() != ".json") continue;
        try {
            records.push_back(read_record(entry.path()));
        } catch (const std::exception& error) {
            log::error("record", {{"file", entry.path()}, {"reason", error.what()}, {"state", "left as it is"}});
        }
    }
    return records;
}

}  // namespace blktap::tapback
