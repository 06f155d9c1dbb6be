// SPDX-License-Identifier: BSD-2-Clause
// Memory of zeros, from mmap().
#include "dataplane/zero_pages.h"

#include <sys/mman.h>

#include <memory>
#include <new>

namespace xebec {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

}  // namespace

ZeroPages::ZeroPages(std::size_t bytes) : mapped_(bytes + (bytes >= kHugePage ? kHugePage : 0)) {
  base_ =
      ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base_ == MAP_FAILED) throw std::bad_alloc();
  start_ = base_;
  if (bytes < kHugePage) return;
  std::size_t space = mapped_;
  start_ = std::align(kHugePage, bytes, start_, space);
  // Advice only: a kernel without huge pages says no, and the table works.
  (void)::madvise(start_, bytes, MADV_HUGEPAGE);
}

ZeroPages::~ZeroPages() {
  ::munmap(base_, mapped_);
}

}  // namespace xebec
