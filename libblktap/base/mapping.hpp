// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Mapping: the owner of one mmap()ed range, and LazyArray, an array on such a range whose memory the kernel gives page
// by page as it is touched and takes back on trim(). The engine's big tables are LazyArrays: sized for the worst case
// at connect, so that nothing is allocated on the path of a request, yet small in memory for an idle disk.
//
// Tested by tests/unit/base/mapping_test.cpp.
#pragma once

#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

namespace blktap {

class Mapping {
  public:
    Mapping() noexcept = default;
    Mapping(Mapping&& other) noexcept
        : address_(std::exchange(other.address_, nullptr)), size_bytes_(std::exchange(other.size_bytes_, 0)) {}
    Mapping& operator=(Mapping&& other) noexcept;
    ~Mapping() { reset(); }

    /// Private zero pages, committed by the kernel on first touch. Errors: throws std::system_error (ENOMEM).
    static Mapping anonymous(std::size_t size_bytes);
    /// Maps `size_bytes` of `fd` from its beginning, shared, readable and writable. Errors: throws std::system_error.
    static Mapping shared_file(int fd, std::size_t size_bytes);

    std::byte* data() const noexcept { return static_cast<std::byte*>(address_); }
    std::size_t size_bytes() const noexcept { return size_bytes_; }
    std::span<std::byte> bytes() const noexcept { return {data(), size_bytes_}; }
    explicit operator bool() const noexcept { return address_ != nullptr; }
    /// Gives the memory back to the kernel; an anonymous range reads as zeros afterwards.
    void trim() const noexcept;
    void reset() noexcept;

  private:
    Mapping(void* address, std::size_t size_bytes) noexcept : address_(address), size_bytes_(size_bytes) {}
    void* address_ = nullptr;
    std::size_t size_bytes_ = 0;
};

/// An array of `count` objects that start as zero bytes. No constructor or destructor of T runs.
template <class T>
class LazyArray {
    static_assert(std::is_trivially_destructible_v<T> && std::is_trivially_copyable_v<T>);

  public:
    LazyArray() noexcept = default;
    explicit LazyArray(std::size_t count) : mapping_(Mapping::anonymous(count * sizeof(T))), count_(count) {}
    T* data() const noexcept { return reinterpret_cast<T*>(mapping_.data()); }
    std::size_t size() const noexcept { return count_; }
    T& operator[](std::size_t index) const noexcept { return data()[index]; }
    std::span<T> span() const noexcept { return {data(), count_}; }
    /// Forgets the contents and gives the memory back to the kernel.
    void trim() const noexcept { mapping_.trim(); }

  private:
    Mapping mapping_;
    std::size_t count_ = 0;
};

}  // namespace blktap
