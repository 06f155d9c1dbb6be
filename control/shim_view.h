// SPDX-License-Identifier: BSD-2-Clause
// What the shim would do with a frame, said without a kernel: bpf/shim.bpf.c once more, in C++. tests/bpf runs both
// over the same frames.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <tuple>
#include <vector>

#include "control/reply_rules.h"
#include "dataplane/table.h"
#include "dataplane/wire.h"

namespace xebec {

/// One shim that serves interfaces with these addresses. An empty list, or 00:00:00:00:00:00 in it: a frame to any address
/// will do. Which service has a packet is the table's to say, which the shim's maps are made to agree with
/// (dataplane/service_match.h); the table outlives this.
class ShimView {
 public:
  explicit ShimView(const Table& table, std::vector<MacAddress> local_macs = {}, ReplyRules replies = {});

  /// False: XDP_PASS, the host's own, or left to it for want of a backend (NoBackend::pass). True: a worker gets it, if one is alive; or the shim drops it because the service
  /// denies its source, as the worker would. Remembers first fragments of
  /// replies and of what could be taken for some.
  bool steers(std::span<const uint8_t> frame);

 private:
  /// What is known of a packet, above all one to no VIP.
  struct Reply {
    IpAddress source, destination;
    uint32_t fragment_id = 0;
    bool is_fragment = false;
  };
  using Fragment = std::tuple<IpAddress, IpAddress, uint32_t, uint8_t>;

  bool is_ours(std::span<const uint8_t> frame);
  bool ipv4_is_ours(std::span<const uint8_t> packet);
  bool ipv6_is_ours(std::span<const uint8_t> packet);
  bool extended_is_ours(bool is_vip, Reply& reply, std::span<const uint8_t> packet);
  bool l4_is_ours(const Reply& packet, uint8_t protocol, bool ipv6, std::span<const uint8_t> l4) const;
  bool passes(const IpAddress& vip) const;
  bool l4_is_reply(const Reply& reply, uint8_t protocol, bool ipv6, bool has_l4, std::span<const uint8_t> l4);
  bool quotes_translated(const Reply& reply, bool ipv6, std::span<const uint8_t> quoted) const;
  bool is_translated(const IpAddress& backend, uint8_t protocol, uint16_t port, const IpAddress& to,
                     uint16_t to_port) const;
  bool may_be_translated(const IpAddress& backend, uint8_t protocol, const IpAddress& to) const;
  bool is_fragment_of_reply(const Reply& reply, uint8_t protocol, bool ipv6) const;
  bool is_sent_to_us(std::span<const uint8_t> frame) const;

  const Table& table_;
  bool any_passes_;
  ReplyRules replies_;
  std::map<Fragment, bool>
      fragments_;  ///< whether the first was a reply's; the shim forgets the oldest of 4,096; this does not
  std::vector<MacAddress> local_macs_;
};

}  // namespace xebec
