// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// XenStore: the owner of one libxenstore connection, and its transactions. A missing node is a value, every other
// failure is an exception, so that they cannot be confused: mistaking "xenstored is gone" for "the disk is gone" would
// end running guests.
//
// Tested by tests/unit/xenstore/xen_store_test.cpp, against the real xenstored.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

extern "C" {
#include <xenstore.h>
}

namespace blktap {

/// Reads and writes nodes, of the store itself or of one transaction. Paths that do not begin with '/' are relative to
/// the caller's own domain ("backend/vbd3" is "/local/domain/0/backend/vbd3" in dom0).
/// Errors, of all functions: throws std::system_error naming the path: xenstored's own (quota, access), or, with any
/// errno, a lost connection (XenStore::answers() tells it apart).
class StoreNodes {
  public:
    /// The node's value; nullopt when there is no such node. Values are bytes: a guest may have written anything.
    std::optional<std::string> read(const std::string& path) const;
    /// Writes the node; makes it and its missing parents if needed.
    void write(const std::string& path, const std::string& value) const;
    void write_number(const std::string& path, std::uint64_t value) const { write(path, std::to_string(value)); }
    /// Names of the children; empty when there are none or no such node.
    std::vector<std::string> list(const std::string& path) const;
    /// Removes the node and all nodes below it; nothing happens if there is no such node.
    void remove(const std::string& path) const;
    /// Gives `owner` all rights, `reader` (unless it is `owner`) the right to read, and all others none. Nodes that are
    /// made below inherit this.
    void set_permissions(const std::string& path, std::uint16_t owner, std::uint16_t reader) const;

  protected:
    StoreNodes(xs_handle* handle, xs_transaction_t transaction) noexcept : handle_(handle), transaction_(transaction) {}
    StoreNodes(const StoreNodes&) = default;
    StoreNodes& operator=(const StoreNodes&) = default;
    ~StoreNodes() = default;

    xs_handle* handle_;
    xs_transaction_t transaction_;
};

class StoreTransaction : public StoreNodes {
  public:
    StoreTransaction(const StoreTransaction&) = delete;
    StoreTransaction& operator=(const StoreTransaction&) = delete;
    /// Aborts the transaction unless it was committed.
    ~StoreTransaction();
    /// Returns false, and writes nothing, if another client changed a node that was read: start again.
    bool commit();

  private:
    friend class XenStore;
    explicit StoreTransaction(xs_handle* handle);
};

class XenStore : public StoreNodes {
  public:
    /// Connects to the local xenstored. Errors: throws std::system_error ("xenstored: ...").
    XenStore();
    XenStore(const XenStore&) = delete;
    XenStore& operator=(const XenStore&) = delete;
    ~XenStore();

    /// Runs `work(StoreTransaction&)` until the transaction commits. `work` may run several times, so it must change
    /// nothing but the transaction. Errors: also EAGAIN when other clients interfere a hundred times.
    template <std::invocable<StoreTransaction&> Work>
    void transact(Work work) const {
        for (int tries = 0; tries < transaction_tries; ++tries) {
            StoreTransaction transaction(handle_);
            work(transaction);
            if (transaction.commit()) return;
        }
        fail_transaction();
    }

    struct Event {
        std::string path;
        std::string token;
    };
    /// Watches `path` and all nodes below it; the first event comes at once. `token` is returned with every event.
    void watch(const std::string& path, const std::string& token) const;
    /// Ends a watch; its queued events are dropped. Nothing happens if there is no such watch.
    void unwatch(const std::string& path, const std::string& token) const noexcept;
    /// Returns the next event without waiting; nullopt: none.
    std::optional<Event> next_event() const;
    /// Readable while next_event() has an event. A lost connection does not make it readable: call answers() now and
    /// then.
    int fd() const noexcept { return fd_; }

    /// Whether xenstored still answers; once false, this object cannot be used any more.
    bool answers() const noexcept;
    /// Whether the toolstack has told xenstored about `domain`, and not yet that it is gone.
    bool is_domain_known(std::uint16_t domain) const noexcept;

  private:
    static constexpr int transaction_tries = 100;
    [[noreturn]] static void fail_transaction();
    int fd_ = -1;
};

}  // namespace blktap
