// SPDX-License-Identifier: BSD-2-Clause
// Port ranges that overlap, cut into pieces that do not: in each piece the narrowest range is in force. The workers
// search the pieces, the shim's map holds them as prefixes of the port; so both give one answer.
#pragma once

#include <cstdint>
#include <vector>

namespace xebec {

/// Inclusive, host order.
struct PortRange {
  uint16_t first = 0;
  uint16_t last = 0;
  uint32_t owner = 0;      ///< what the caller knows it by
  uint8_t preference = 0;  ///< of ranges of one width the lower wins
};

struct PortSegment {
  uint16_t first = 0;
  uint16_t last = 0;
  uint32_t owner = 0;
  friend bool operator==(const PortSegment&, const PortSegment&) = default;
};

/// In ascending order, without overlap. Of two ranges that are equal in width and preference the first given wins.
std::vector<PortSegment> port_segments(std::vector<PortRange> ranges);

/// A block of ports that share their first `length` bits.
struct PortBlock {
  uint16_t first = 0;
  uint8_t length = 16;
  friend bool operator==(const PortBlock&, const PortBlock&) = default;
};

/// The fewest blocks that make up first..last; at most 30.
std::vector<PortBlock> port_blocks(uint16_t first, uint16_t last);

}  // namespace xebec
