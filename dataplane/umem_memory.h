// SPDX-License-Identifier: BSD-2-Clause
// Packet memory: a mapping that a UMEM lives in, and its end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include <tl/expected.hpp>

#include "dataplane/io_error.h"

namespace xebec {

/// Move-only; the destructor unmaps.
class UmemMemory {
 public:
  UmemMemory() = default;
  /// Memory of its own: reserved hugepages where the system has some free, else transparent ones if it makes them, else
  /// small pages. Touched at once.
  /// Without `reserved`, reserved hugepages stay somebody else's.
  static tl::expected<UmemMemory, IoError> anonymous(std::size_t bytes, bool reserved = true);
  /// The memory behind a descriptor, from its start, shared with whoever else maps it. The descriptor may be
  /// closed afterwards.
  static tl::expected<UmemMemory, IoError> shared(int fd, std::size_t bytes);

  UmemMemory(UmemMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        mapping_(std::exchange(other.mapping_, nullptr)),
        mapped_(other.mapped_),
        huge_(other.huge_) {}
  UmemMemory& operator=(UmemMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(mapping_, other.mapping_);
    std::swap(mapped_, other.mapped_);
    std::swap(huge_, other.huge_);
    return *this;
  }
  ~UmemMemory();

  uint8_t* data() const { return data_; }
  bool hugepages() const { return huge_; }

 private:
  UmemMemory(void* data, std::size_t mapped, bool huge)
      : data_(static_cast<uint8_t*>(data)), mapping_(data), mapped_(mapped), huge_(huge) {}
  static tl::expected<UmemMemory, IoError> transparent(std::size_t bytes);

  uint8_t* data_ = nullptr;
  void* mapping_ = nullptr;  // data_ is in it
  std::size_t mapped_ = 0;
  bool huge_ = false;
};

}  // namespace xebec
