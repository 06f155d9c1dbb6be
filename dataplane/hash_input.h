// SPDX-License-Identifier: BSD-2-Clause
// What of a packet chooses its backend in the lookup array. Flows are told apart by all five parts whatever it is.
#pragma once

#include <cstdint>

#include "dataplane/flow_key.h"

namespace xebec {

enum class HashInput : uint8_t {
  five_tuple,
  source,              ///< one client address, one backend
  source_destination,  ///< the same for each address of a VIP that is a prefix
  quic,  ///< five_tuple, for packets whose connection id names no backend (dataplane/quic_routes.h)
};

/// The hash that MaglevTable::pick() takes. `flow`: flow_hash() of the same key, which the caller has.
inline uint64_t lookup_hash(const HashSecret& secret, const FlowKey& key, HashInput input, uint64_t flow) {
  if (input == HashInput::five_tuple || input == HashInput::quic) [[likely]]
    return flow;
  FlowKey part;
  part.source = key.source;
  if (input == HashInput::source_destination) part.destination = key.destination;
  return secret.hash(&part, sizeof part);
}

}  // namespace xebec
