// SPDX-License-Identifier: BSD-2-Clause
// What `xebec doctor` concludes of what it has seen of a backend. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/preflight.h"
#include "dataplane/ip_address.h"
#include "dataplane/table.h"

namespace xebec {

/// What came back of the probes to one backend of one service. A probe is an echo request that goes the way of the service's
/// packets, rewritten by the same code.
struct BackendEvidence {
  std::string service;
  std::string backend;
  std::string vip;  ///< one address of the service
  Mode mode = Mode::dsr_l2;
  uint16_t tunnel_port = 0;  ///< gue, vxlan
  uint32_t vni = 0;          ///< vxlan
  bool has_way = true;       ///< its next hop is known: probes could be sent
  bool plain = false;        ///< it answered one to its own address, sent as it is
  bool same_family = true;   ///< as the VIP: only then is there an `inside`
  bool inside = false;       ///< it answered one to its own address inside the tunnel
  bool to_vip = false;       ///< it answered one to the VIP
  std::string refused;  ///< "protocol unreachable", "port unreachable": its ICMP about the tunnel's packets
  bool answers_arp = false;  ///< it says on the link that the VIP is there
};

std::vector<Finding> findings_of(const BackendEvidence& evidence);

}  // namespace xebec
