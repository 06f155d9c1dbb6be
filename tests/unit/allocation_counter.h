// SPDX-License-Identifier: BSD-2-Clause
// Counts what a thread allocates with operator new, to show that something allocates nothing.
#pragma once

#include <cstdint>

namespace xebec::test {

/// Counts this thread's allocations while it lives; not nested.
class AllocationCounter {
 public:
  AllocationCounter();
  ~AllocationCounter();
  AllocationCounter(const AllocationCounter&) = delete;
  AllocationCounter& operator=(const AllocationCounter&) = delete;
  uint64_t count() const;
};

}  // namespace xebec::test
