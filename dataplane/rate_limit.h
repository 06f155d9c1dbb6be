// SPDX-License-Identifier: BSD-2-Clause
// Tokens refilled with time.
#pragma once

#include <cstdint>

namespace xebec {

/// At most `per_second` a second, `burst` at once. Time is passed in.
class RateLimit {
 public:
  RateLimit(uint32_t per_second, uint32_t burst) : per_second_(per_second), burst_(burst), tokens_(burst) {}
  bool take(uint64_t now_ns);
  /// Another rate from now on; what is left over stays, up to the new burst. Cheap if nothing changes.
  void set(uint32_t per_second, uint32_t burst);

 private:
  uint64_t per_second_;
  uint64_t burst_;
  uint64_t tokens_;
  uint64_t refilled_ns_ = 0;
};

}  // namespace xebec
