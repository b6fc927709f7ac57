// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/session/vbd_record.hpp"

#include <algorithm>
#include <filesystem>
#include <unistd.h>

#include "libblktap/base/log.hpp"
#include "libblktap/base/small_file.hpp"
#include "libblktap/ipc/fields.hpp"

namespace blktap::tapback {
namespace {

constexpr unsigned record_version = 1;
constexpr mode_t record_mode = 0600;

std::string path_of(const std::string& directory, const ipc::VbdAddress& backend) {
    return directory + '/' + backend.file_name() + ".json";
}

ProcessId read_process(const ipc::Json& json, const std::string& file) {
    ipc::Fields fields(json, file, "process");
    std::uint32_t pid = 0;
    ProcessId process;
    fields.read("pid", pid);
    fields.read("start", process.start_ticks);
    fields.expect_no_others();
    process.pid = static_cast<pid_t>(pid);
    return process;
}

std::vector<std::uint64_t> read_times(const ipc::Json& json, const std::string& file) {
    const auto is_time = [](const ipc::Json& time) { return time.is_number_unsigned(); };
    if (!json.is_array() || !std::ranges::all_of(json, is_time))
        throw_error(Errc::bad_message, file + ": \"deaths\": not an array of times");
    return json.get<std::vector<std::uint64_t>>();
}

VbdRecord read_record(const std::filesystem::path& path) {
    const auto json = ipc::Json::parse(read_small_file(path).value_or(""), nullptr, false);
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
    fields.read_optional("life", record.life);
    if (const ipc::Json* process = fields.find("process")) record.process = read_process(*process, path.string());
    fields.read_optional("socket", record.socket);
    if (record.socket.find('/') != std::string::npos) fields.fail("socket", record.socket + ": not a file's name");
    if (const ipc::Json* rings = fields.find("rings")) record.rings = rings->get<ipc::ConnectArguments>();
    if (const ipc::Json* device = fields.find("device")) record.device = device->get<ipc::DeviceDescription>();
    fields.read_optional("paused", record.paused);
    fields.read_optional("recovering", record.recovering);
    if (const ipc::Json* deaths = fields.find("deaths")) record.deaths = read_times(*deaths, path.string());
    fields.read_optional("held", record.held);
    if (const ipc::Json* tap = fields.find("tap")) record.tap = tap->get<ipc::TapArguments>();
    fields.expect_no_others();
    return record;
}

/// Whether a writer that was killed, or found no space, left this file: of this version, or of one before 0.1.
bool is_unfinished(const std::string& name) {
    return name.ends_with(small_file_suffix) || name.ends_with(".json.new") || name.ends_with(".state.new");
}

/// A record that cannot be opened for now is not broken: if it were skipped, its disk would be forgotten.
bool may_be_readable_later(const std::exception& error) {
    const auto* const reason = dynamic_cast<const std::system_error*>(&error);
    if (reason == nullptr) return false;
    const std::error_code code = reason->code();
    return code == std::errc::too_many_files_open || code == std::errc::too_many_files_open_in_system ||
           code == std::errc::not_enough_memory;
}

}  // namespace

void write_record(const std::string& directory, const VbdRecord& record) {
    ipc::Json json{{"version", record_version},
                   {"backend", record.backend.backend_path()},
                   {"image", record.image},
                   {"plugged", record.plugged}};
    if (!record.life.empty()) json["life"] = record.life;
    if (record.next) json["next"] = *record.next;
    if (record.process) json["process"] = {{"pid", record.process->pid}, {"start", record.process->start_ticks}};
    if (!record.socket.empty()) json["socket"] = record.socket;
    if (record.rings) json["rings"] = *record.rings;
    if (record.device) json["device"] = *record.device;
    if (record.paused) json["paused"] = true;
    if (record.recovering) json["recovering"] = true;
    if (!record.deaths.empty()) json["deaths"] = record.deaths;
    if (!record.held.empty()) json["held"] = record.held;
    if (record.tap) json["tap"] = *record.tap;
    write_small_file(path_of(directory, record.backend), json.dump() + '\n', record_mode, Outlives::process);
}

void remove_record(const std::string& directory, const ipc::VbdAddress& backend) noexcept {
    ::unlink(path_of(directory, backend).c_str());
}

std::vector<VbdRecord> read_records(const std::string& directory) {
    std::vector<VbdRecord> records;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        const std::string name = entry.path().filename();
        if (is_unfinished(name)) ::unlink(entry.path().c_str());
        if (entry.path().extension() != ".json") continue;
        try {
            records.push_back(read_record(entry.path()));
        } catch (const std::exception& error) {
            if (may_be_readable_later(error)) throw;
            log::error("record", {{"file", entry.path()}, {"reason", error.what()}, {"state", "left as it is"}});
        }
    }
    return records;
}

}  // namespace blktap::tapback
