// SPDX-License-Identifier: BSD-2-Clause
// Port ranges cut into pieces without overlap, and pieces into blocks.
#include "dataplane/port_segments.h"

#include <algorithm>
#include <bit>
#include <set>
#include <tuple>

namespace xebec {

std::vector<PortSegment> port_segments(std::vector<PortRange> ranges) {
  // A sweep over the ports: what is open is ordered by who wins.
  struct Edge {
    uint32_t port;  // one beyond the last for an end
    bool begins;
    std::size_t range;
  };
  std::vector<Edge> edges;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    edges.push_back({ranges[i].first, true, i});
    edges.push_back({ranges[i].last + 1u, false, i});
  }
  std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) { return a.port < b.port; });
  const auto rank = [&](std::size_t i) {
    const PortRange& r = ranges[i];
    return std::tuple(r.last - r.first, r.preference, i);
  };
  const auto wins = [&](std::size_t a, std::size_t b) { return rank(a) < rank(b); };
  std::set<std::size_t, decltype(wins)> open(wins);

  std::vector<PortSegment> out;
  for (std::size_t e = 0; e < edges.size();) {
    const uint32_t port = edges[e].port;
    for (; e < edges.size() && edges[e].port == port; ++e) {
      if (edges[e].begins) {
        open.insert(edges[e].range);
      } else {
        open.erase(edges[e].range);
      }
    }
    if (open.empty()) continue;
    const uint32_t owner = ranges[*open.begin()].owner;
    const auto last = static_cast<uint16_t>(edges[e].port - 1);  // something is open, so an end is to come
    if (!out.empty() && out.back().owner == owner && out.back().last + 1u == port) {
      out.back().last = last;
    } else {
      out.push_back({static_cast<uint16_t>(port), last, owner});
    }
  }
  return out;
}

std::vector<PortBlock> port_blocks(uint16_t first, uint16_t last) {
  std::vector<PortBlock> blocks;
  for (uint32_t at = first; at <= last;) {
    // As large as its alignment and what is left allow.
    const uint32_t aligned = at == 0 ? 16 : static_cast<uint32_t>(std::countr_zero(at));
    const uint32_t left = std::bit_width(last - at + 1u) - 1u;
    const uint32_t bits = std::min(aligned, left);
    blocks.push_back({static_cast<uint16_t>(at), static_cast<uint8_t>(16 - bits)});
    at += 1u << bits;
  }
  return blocks;
}

}  // namespace xebec
