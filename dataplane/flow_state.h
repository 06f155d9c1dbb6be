// SPDX-License-Identifier: BSD-2-Clause
// The life of a flow as its client's packets show it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/wire.h"

namespace xebec {

enum class FlowState : uint8_t {
  half_open,    ///< TCP: only the client's SYN was seen; SCTP: only its INIT
  established,  ///< TCP: a later segment was seen; SCTP: another chunk
  closing,      ///< TCP: FIN or RST was seen; SCTP: ABORT or one of the SHUTDOWNs
  datagram,     ///< UDP, and protocols that nothing is known of
  picked_up,  ///< TCP: one segment from mid-way was seen and no other; kept as long as established, gives way
              ///< as half_open
};
inline constexpr std::size_t kFlowStates = 5;

inline bool opens_connection(uint8_t tcp_flags) {
  return (tcp_flags & (kTcpSyn | kTcpAck)) == kTcpSyn;
}

inline bool ends_connection(uint8_t tcp_flags) {
  return (tcp_flags & (kTcpFin | kTcpRst)) != 0;
}

/// Protocols whose packets show whether they can open a connection. parse() puts SCTP's into TCP's words.
inline bool has_connections(uint8_t protocol) {
  return protocol == kProtoTcp || protocol == kProtoSctp;
}

inline FlowState first_state(uint8_t protocol, uint8_t tcp_flags) {
  if (!has_connections(protocol)) return FlowState::datagram;
  if (ends_connection(tcp_flags)) return FlowState::closing;
  // A SYN with ACK never comes from a client unasked: if it is remembered at all, then as what gives way
  // first.
  return (tcp_flags & kTcpSyn) ? FlowState::half_open : FlowState::picked_up;
}

inline FlowState next_state(FlowState state, uint8_t tcp_flags) {
  if (state == FlowState::datagram || state == FlowState::closing) return state;
  if (ends_connection(tcp_flags)) return FlowState::closing;
  return opens_connection(tcp_flags) ? state : FlowState::established;
}

inline bool gives_way(FlowState state) {
  return state != FlowState::established && state != FlowState::datagram;
}

}  // namespace xebec
