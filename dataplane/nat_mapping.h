// SPDX-License-Identifier: BSD-2-Clause
// One translated connection: what it looks like on the client's side and on the backend's.
#pragma once

#include <cstdint>
#include <type_traits>

#include "dataplane/flow_key.h"
#include "dataplane/link_header.h"
#include "dataplane/stream_shift.h"

namespace xebec {

/// How packets go back to a client: the way his came. No route is asked, and a gateway that has failed over is learned with
/// the client's next packet.
struct ReturnPath {
  MacAddress destination{};
  MacAddress source{};
  LinkHeader link;         ///< with the tags the client's packets have
  uint16_t interface = 0;  ///< index into the daemon's interfaces
  uint8_t zero[2] = {};
  friend bool operator==(const ReturnPath& a, const ReturnPath& b) {
    return std::memcmp(&a, &b, sizeof a) == 0;
  }
};
static_assert(sizeof(ReturnPath) == 28);

/// What translating to the backend adds to checksums, folded (dataplane/checksum.h): the same for every packet of a connection,
/// and the complement of it on the way back. Never 0.
struct ChecksumChange {
  uint16_t addresses = 0;  ///< of the IPv4 header; the TTL comes on top
  uint16_t segment = 0;    ///< of TCP or UDP: addresses and ports
};

/// reply: complete, the ports and addresses that were chosen.
ChecksumChange checksum_change(const FlowKey& forward, const FlowKey& reply);

/// Plain bytes without undefined ones: read while it may be written (NatTable).
struct NatMapping {
  FlowKey forward;  ///< the client's packets as received: client -> VIP
  FlowKey reply;    ///< the backend's packets as received: backend -> NAT address (nat) or client (dnat)
  uint64_t forward_hash = 0;  ///< of the keys, under the table's secret
  uint64_t reply_hash = 0;
  ReturnPath client;
  uint32_t backend = 0;  ///< id
  ChecksumChange change;
  StreamShift shift;        ///< TCP to a backend that is told the client's address in the stream
  uint32_t generation = 0;  ///< which of the mappings that its slot has held, below 2^24: NatTable::replied()
  uint32_t zero = 0;
};
static_assert(sizeof(NatMapping) == 152 && std::is_trivially_copyable_v<NatMapping>);

}  // namespace xebec
