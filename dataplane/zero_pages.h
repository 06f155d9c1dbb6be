// SPDX-License-Identifier: BSD-2-Clause
// Memory of zeros for a large table: there when it is touched, by the thread that touches it.
#pragma once

#include <cstddef>

namespace xebec {

/// Anonymous pages; huge ones if there is at least one to fill. Throws std::bad_alloc for want of address space.
class ZeroPages {
 public:
  explicit ZeroPages(std::size_t bytes);
  ~ZeroPages();
  ZeroPages(const ZeroPages&) = delete;
  ZeroPages& operator=(const ZeroPages&) = delete;
  void* start() const { return start_; }

 private:
  std::size_t mapped_;
  void* base_;
  void* start_;
};

}  // namespace xebec
