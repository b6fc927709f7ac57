// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// DiskOperator: what an operator does to one disk, who knows that tapback may be killed at any moment: an answer that
// is lost is no failure, and the disk's entry then says what became of the request.
#pragma once

#include "tests/soak/chain.hpp"
#include "tests/soak/ground.hpp"

namespace blktap::soak {

class DiskOperator {
  public:
    /// Both must outlive this. `diary`: for what tapback says.
    DiskOperator(Ground& ground, const ipc::VbdArguments& vbd, Diary& diary)
        : ground_(ground), vbd_(vbd), diary_(diary) {}

    // All throw Wrong: refused although nothing speaks against it, or not done within a minute.

    /// Gives the domain the disk; returns its sectors.
    std::uint64_t plug(const ipc::ImageArguments& image);
    /// The guest is asked to let the disk go, if there is one. Returns when the disk is gone.
    void unplug();
    /// The image is open nowhere then.
    void pause();
    /// `image`: where it is now, if it was moved.
    void resume(const std::optional<ipc::ImageArguments>& image = {});
    /// Returns the sectors of the larger disk; what it had, if there is no room.
    std::uint64_t resize(std::uint64_t size_bytes);
    /// The disk goes on with a new image over its present one; returns that it has then.
    ipc::ImageArguments snapshot(const std::string& overlay);

    /// The installed tapdisk goes on with the disk.
    void upgrade();
    /// Whether tapback tells that a flush failed.
    bool tells_failed_flush() const;
    /// After that: writes and flushes succeed again.
    void accept_loss();
    /// After its tapdisk, process `dead`, was killed: returns the disk's sectors when tapback has it served again.
    std::uint64_t comes_back(std::uint32_t dead);

    /// The disk's entry. Errors: also when there is none.
    ipc::VbdEntry entry() const;
    std::optional<ipc::VbdEntry> entry_if_any() const { return ground_.tapback.entry(vbd_); }
    bool is_gone() const { return !entry_if_any(); }
    const ipc::VbdArguments& vbd() const noexcept { return vbd_; }

  private:
    Answer ask(const std::string& request, const ipc::Json& arguments);
    ipc::Json with(const std::string& name, const ipc::Json& value) const;
    bool has_been_plugged();

    Ground& ground_;
    const ipc::VbdArguments vbd_;
    Diary& diary_;
};

}  // namespace blktap::soak
