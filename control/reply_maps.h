// SPDX-License-Identifier: BSD-2-Clause
// The shim's maps by which it knows replies of translating services (bpf/abi.h): backends, source addresses, own addresses.
#pragma once

#include <cstdint>
#include <tl/expected.hpp>

#include "control/reply_rules.h"
#include "control/steering.h"

namespace xebec {

/// Remembers what the maps hold: nobody else writes them. The descriptors are the caller's and outlive this.
class ReplyMaps {
 public:
  ReplyMaps(int backends_fd, int sources_fd, int own_fd)
      : backends_fd_(backends_fd), sources_fd_(sources_fd), own_fd_(own_fd) {}

  /// Makes the maps hold exactly these: own addresses first, so that no moment takes the host's own packets for a
  /// client's. On an error some may be as before; the next call tries again.
  tl::expected<void, SteeringError> set(const ReplyRules& wanted);
  const ReplyRules& rules() const { return rules_; }

 private:
  int backends_fd_;
  int sources_fd_;
  int own_fd_;
  ReplyRules rules_;
};

}  // namespace xebec
