// SPDX-License-Identifier: BSD-2-Clause
// Packet memory: a mapping that a UMEM lives in, and its end.
#include "dataplane/umem_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include <fmt/format.h>

namespace xebec {
namespace {

constexpr std::size_t kHugepage = 2u << 20;
constexpr std::size_t kSmallPage = 4096;

tl::unexpected<IoError> failed(std::size_t bytes) {
  const int error = errno;
  return tl::unexpected(IoError{
      error, fmt::format("cannot map {} MiB of packet memory: {}", bytes >> 20, std::strerror(error))});
}

}  // namespace

tl::expected<UmemMemory, IoError> UmemMemory::anonymous(std::size_t bytes, bool reserved) {
  const std::size_t rounded = (bytes + kHugepage - 1) / kHugepage * kHugepage;
  if (!reserved) return transparent(rounded);
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
  void* p = mmap(nullptr, rounded, PROT_READ | PROT_WRITE, kFlags | MAP_HUGETLB, -1, 0);
  if (p != MAP_FAILED) return UmemMemory(p, rounded, true);
  return transparent(rounded);
}

/// Without reserved hugepages: memory that begins on a hugepage's border, with the wish for transparent ones. Touched
/// only then, because pages that are there are not made one.
tl::expected<UmemMemory, IoError> UmemMemory::transparent(std::size_t bytes) {
  const std::size_t mapped = bytes + kHugepage;
  void* p = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return failed(bytes);
  UmemMemory memory(p, mapped, false);
  std::size_t space = mapped;
  memory.data_ = static_cast<uint8_t*>(std::align(kHugepage, bytes, p, space));
  (void)madvise(memory.data_, bytes, MADV_HUGEPAGE);  // where the kernel has none, small pages do
  for (std::size_t at = 0; at < bytes; at += kSmallPage) memory.data_[at] = 0;
  return memory;
}

tl::expected<UmemMemory, IoError> UmemMemory::shared(int fd, std::size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p != MAP_FAILED) return UmemMemory(p, bytes, false);
  return failed(bytes);
}

UmemMemory::~UmemMemory() {
  if (mapping_ != nullptr) munmap(mapping_, mapped_);
}

}  // namespace xebec
