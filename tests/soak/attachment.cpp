// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/soak/attachment.hpp"

namespace blktap::soak {
namespace {

using namespace std::chrono_literals;

/// Whatever the domain has goes with it.
void destroy(control_test::Toolstack& xl, DiskOperator& disk) {
    xl.destroy_domain(disk.vbd().domain);
    wait_for("be gone with its domain", [&] { return disk.is_gone(); });
    xl.create_domain(disk.vbd().domain);
}

class Plugged final : public Attachment {
  public:
    Plugged(Ground& ground, DiskOperator& disk, const XenStore& store)
        : disk_(disk), xl_(ground.host, control_test::Xl::v4_19, store) {}
    std::uint64_t attach(const ipc::ImageArguments& image) override { return disk_.plug(image); }
    void detach() override { disk_.unplug(); }
    void destroy_domain() override { destroy(xl_, disk_); }
    const char* name() const noexcept override { return "plug"; }

  private:
    DiskOperator& disk_;
    control_test::Toolstack xl_;
};

class ByToolstack final : public Attachment {
  public:
    ByToolstack(control_test::Xl version, Ground& ground, DiskOperator& disk, const XenStore& store)
        : version_(version), disk_(disk), xl_(ground.host, version, store) {
        line_.domain = disk.vbd().domain;
        line_.device = disk.vbd().device;
    }

    std::uint64_t attach(const ipc::ImageArguments& image) override {
        line_.target = image.format + ":" + image.path;
        std::optional<std::uint64_t> sectors;
        wait_for("be attached by xl", [&] {
            const auto outcome = xl_.attach(line_);
            if (outcome.okay()) sectors = sectors_now();
            if (sectors) return true;
            require_excuse("attach", outcome);
            // libxl cleans up after an error, and people try again.
            xl_.detach_by_force(line_, 2s);
            return !testing::wait_until([this] { return disk_.is_gone(); }, 30s);
        });
        if (!sectors) throw Wrong("is not gone after xl could not attach it");
        return *sectors;
    }
    void detach() override {
        wait_for("be detached by xl", [&] {
            const auto outcome = xl_.detach(line_, 20s);
            return outcome.okay() && testing::wait_until([this] { return disk_.is_gone(); }, 20s);
        });
    }
    void destroy_domain() override { destroy(xl_, disk_); }
    const char* name() const noexcept override {
        return version_ == control_test::Xl::v4_17 ? "attach by xl 4.17" : "attach by xl 4.19";
    }

  private:
    /// Tapback was away, or the storage was full or hung.
    static void require_excuse(const std::string& what, const control_test::Toolstack::Outcome& outcome) {
        for (const char* excuse : {"tapback", "No space", "unable to add", "does not answer", "killed by signal"})
            if (outcome.okay() || outcome.error.find(excuse) != std::string::npos) return;
        throw Wrong(what + " by xl: " + outcome.error);
    }
    std::optional<std::uint64_t> sectors_now() {
        std::optional<std::uint64_t> sectors;
        testing::wait_until(
            [&] {
                const auto now = disk_.entry_if_any();
                if (now && now->description) sectors = now->description->size_sectors;
                return !now || sectors;
            },
            10s);
        return sectors;
    }

    const control_test::Xl version_;
    DiskOperator& disk_;
    control_test::Toolstack xl_;
    control_test::Disk line_{};
};

}  // namespace

std::unique_ptr<Attachment> make_attachment(Way way, Ground& ground, DiskOperator& disk, const XenStore& store) {
    if (way == Way::plug) return std::make_unique<Plugged>(ground, disk, store);
    const auto version = way == Way::xl_4_17 ? control_test::Xl::v4_17 : control_test::Xl::v4_19;
    return std::make_unique<ByToolstack>(version, ground, disk, store);
}

}  // namespace blktap::soak
