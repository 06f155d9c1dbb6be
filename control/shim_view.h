// SPDX-License-Identifier: BSD-2-Clause
// What the shim would do with a frame, said without a kernel: bpf/shim.bpf.c once more, in C++. tests/bpf runs both
// over the same frames.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <vector>

#include "control/steered_service.h"
#include "dataplane/wire.h"

namespace xebec {

/// The maps of one shim that serves interfaces with these addresses. An empty list, or 00:00:00:00:00:00 in it: a frame
/// to any address will do.
class ShimView {
 public:
  explicit ShimView(std::span<const SteeredService> services, std::vector<MacAddress> local_macs = {});

  /// False: XDP_PASS, the host's own. True: a worker gets it, if one is alive.
  bool steers(std::span<const uint8_t> frame) const;

 private:
  bool is_ours(std::span<const uint8_t> frame) const;
  bool ipv4_is_ours(std::span<const uint8_t> packet) const;
  bool ipv6_is_ours(std::span<const uint8_t> packet) const;
  bool extended_is_ours(const IpAddress& vip, std::span<const uint8_t> packet) const;
  bool l4_is_ours(const IpAddress& vip, uint8_t protocol, bool ipv6, std::span<const uint8_t> l4) const;
  bool is_service(const IpAddress& vip, uint8_t protocol, uint16_t port) const;
  bool is_sent_to_us(std::span<const uint8_t> frame) const;

  std::set<SteeredService> services_;
  std::set<IpAddress> vips_;
  std::vector<MacAddress> local_macs_;
};

}  // namespace xebec
