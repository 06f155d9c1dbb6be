// SPDX-License-Identifier: BSD-2-Clause
// Packet memory: a mapping that a UMEM lives in, and its end.
#include "dataplane/umem_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace xebec {
namespace {

constexpr std::size_t kHugepage = 2u << 20;

tl::unexpected<IoError> failed(std::size_t bytes) {
  const int error = errno;
  return tl::unexpected(IoError{
      error, fmt::format("cannot map {} MiB of packet memory: {}", bytes >> 20, std::strerror(error))});
}

}  // namespace

tl::expected<UmemMemory, IoError> UmemMemory::anonymous(std::size_t bytes) {
  const std::size_t rounded = (bytes + kHugepage - 1) / kHugepage * kHugepage;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
  void* p = mmap(nullptr, rounded, PROT_READ | PROT_WRITE, kFlags | MAP_HUGETLB, -1, 0);
  if (p != MAP_FAILED) return UmemMemory(p, rounded, true);
  p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kFlags, -1, 0);
  if (p != MAP_FAILED) return UmemMemory(p, bytes, false);
  return failed(bytes);
}

tl::expected<UmemMemory, IoError> UmemMemory::shared(int fd, std::size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p != MAP_FAILED) return UmemMemory(p, bytes, false);
  return failed(bytes);
}

UmemMemory::~UmemMemory() {
  if (data_ != nullptr) munmap(data_, mapped_);
}

}  // namespace xebec
