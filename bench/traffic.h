// SPDX-License-Identifier: BSD-2-Clause
// The traffic both sides are given: established TCP flows to one service, each packet of another flow, in an
// order that no cache or predictor can know.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/compare/baseline.h"
#include "dataplane/table.h"

namespace xebec::bench {

/// One kind of packet: family, how it is forwarded, and what the caches hold.
struct Scenario {
  Mode mode = Mode::dsr_l2;
  bool v6 = false;
  uint32_t flows = 1;
  std::string name() const;  ///< "dsr-l2-v4-1k"
  bool cold = false;         ///< each batch finds nothing of what it needs in the caches of its core
};

inline constexpr uint32_t kBackends = 100;
inline constexpr uint16_t kPort = 443;
inline constexpr uint32_t kTcpLength = 20;

IpAddress vip(bool v6);
IpAddress backend_address(uint32_t n, bool v6);
IpAddress tunnel_source(bool v6);
MacAddress backend_mac(uint32_t n);
MacAddress own_mac();

class Traffic {
 public:
  explicit Traffic(const Scenario& scenario);

  /// The packets' flows in the order they come, then from the start again; each flow once before any comes
  /// twice.
  const std::vector<baseline_tuple>& sequence() const { return sequence_; }
  /// A segment without payload, before its tuple is written: 60 bytes (padded) of IPv4, 74 of IPv6.
  const std::vector<uint8_t>& frame() const { return frame_; }
  /// Makes `frame` (a copy of frame()) a packet of that flow, with that flag byte.
  void write(uint8_t* frame, const baseline_tuple& tuple, uint8_t tcp_flags) const;

 private:
  void make_frame();
  bool v6_;
  std::vector<baseline_tuple> sequence_;
  std::vector<uint8_t> frame_;
};

}  // namespace xebec::bench
