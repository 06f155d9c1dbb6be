// SPDX-License-Identifier: BSD-2-Clause
// Blocks of a pcapng file (draft-ietf-opsawg-pcapng), in this machine's byte order. Pure: appends to a string.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace xebec {

enum class PcapngDirection : uint32_t { inbound = 1, outbound = 2 };  ///< the low bits of epb_flags

struct PcapngPacket {
  uint32_t interface = 0;  ///< in the order of the interface blocks
  uint64_t time_ns = 0;    ///< since the epoch
  uint32_t length = 0;     ///< on the wire
  std::span<const uint8_t> bytes;
  PcapngDirection direction = PcapngDirection::inbound;
  std::string_view comment;
};

/// Begins a section. application: who wrote it.
void append_section(std::string& out, std::string_view application);
/// An Ethernet interface with times in nanoseconds.
void append_interface(std::string& out, std::string_view name, uint32_t snaplen, std::string_view comment);
void append_packet(std::string& out, const PcapngPacket& packet);
/// lost: of the packets that were to be written.
void append_statistics(std::string& out, uint32_t interface, uint64_t time_ns, uint64_t written,
                       uint64_t lost);

/// What stands in whole blocks that lie one behind the other.
struct PcapngTotals {
  uint64_t packets = 0;
  uint64_t lost = 0;   ///< by the statistics blocks
  bool ended = false;  ///< there is a statistics block: the capture is over
};
/// Adds what is in `blocks`; false if they are no whole blocks of this machine's byte order.
bool add_pcapng_totals(std::string_view blocks, PcapngTotals& totals);

}  // namespace xebec
