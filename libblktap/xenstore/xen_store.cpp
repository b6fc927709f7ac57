// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/xenstore/xen_store.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "libblktap/base/error.hpp"

namespace blktap {
namespace {

struct Free {
    void operator()(void* memory) const noexcept { std::free(memory); }
};
template <class T>
using FromMalloc = std::unique_ptr<T, Free>;

[[noreturn]] void fail(const char* verb, const std::string& path) {
    throw_system_error(std::string("xenstore: ") + verb + ' ' + path);
}

}  // namespace

std::optional<std::string> StoreNodes::read(const std::string& path) const {
    unsigned length = 0;
    const FromMalloc<char> value(static_cast<char*>(xs_read(handle_, transaction_, path.c_str(), &length)));
    if (value) return std::string(value.get(), length);
    if (errno == ENOENT) return std::nullopt;
    fail("read", path);
}

void StoreNodes::write(const std::string& path, const std::string& value) const {
    const auto length = static_cast<unsigned>(value.size());
    if (!xs_write(handle_, transaction_, path.c_str(), value.data(), length)) fail("write", path);
}

std::vector<std::string> StoreNodes::list(const std::string& path) const {
    unsigned count = 0;
    const FromMalloc<char*> names(xs_directory(handle_, transaction_, path.c_str(), &count));
    if (names) return {names.get(), names.get() + count};
    if (errno == ENOENT) return {};
    fail("list", path);
}

void StoreNodes::remove(const std::string& path) const {
    if (!xs_rm(handle_, transaction_, path.c_str()) && errno != ENOENT) fail("remove", path);
}

void StoreNodes::set_permissions(const std::string& path, std::uint16_t owner, std::uint16_t reader) const {
    std::array<xs_permissions, 2> permissions{};
    permissions[0] = {.id = owner, .perms = XS_PERM_NONE};  // the first entry: the owner, and the rights of all others
    permissions[1] = {.id = reader, .perms = XS_PERM_READ};
    const unsigned count = owner == reader ? 1 : 2;
    if (!xs_set_permissions(handle_, transaction_, path.c_str(), permissions.data(), count)) fail("permissions", path);
}

StoreTransaction::StoreTransaction(xs_handle* handle) : StoreNodes(handle, xs_transaction_start(handle)) {
    if (transaction_ == XBT_NULL) fail("begin", "a transaction");
}

StoreTransaction::~StoreTransaction() {
    if (transaction_ != XBT_NULL) xs_transaction_end(handle_, transaction_, true);
}

bool StoreTransaction::commit() {
    if (xs_transaction_end(handle_, std::exchange(transaction_, XBT_NULL), false)) return true;
    if (errno == EAGAIN) return false;
    fail("commit", "a transaction");
}

XenStore::XenStore() : StoreNodes(xs_open(XS_UNWATCH_FILTER), XBT_NULL) {
    if (handle_ == nullptr) throw_system_error("xenstored");
    fd_ = xs_fileno(handle_);
    if (fd_ >= 0) return;
    const int reason = errno;
    xs_close(handle_);
    errno = reason;
    throw_system_error("xenstored: a descriptor for its events");
}

XenStore::~XenStore() {
    xs_close(handle_);
}

void XenStore::watch(const std::string& path, const std::string& token) const {
    if (!xs_watch(handle_, path.c_str(), token.c_str()) && errno != EEXIST) fail("watch", path);
}

void XenStore::unwatch(const std::string& path, const std::string& token) const noexcept {
    xs_unwatch(handle_, path.c_str(), token.c_str());
}

std::optional<XenStore::Event> XenStore::next_event() const {
    const FromMalloc<char*> event(xs_check_watch(handle_));
    if (event) return Event{event.get()[XS_WATCH_PATH], event.get()[XS_WATCH_TOKEN]};
    if (errno == EAGAIN) return std::nullopt;
    fail("events of", "its watches");
}

bool XenStore::answers() const noexcept {
    unsigned count = 0;
    return FromMalloc<char*>(xs_directory(handle_, XBT_NULL, "/", &count)) != nullptr;
}

bool XenStore::is_domain_known(std::uint16_t domain) const noexcept {
    return xs_is_domain_introduced(handle_, domain);
}

void XenStore::fail_transaction() {
    throw_error(std::make_error_code(std::errc::resource_unavailable_try_again), "xenstore: a transaction");
}

}  // namespace blktap
