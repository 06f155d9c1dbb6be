// SPDX-License-Identifier: BSD-2-Clause
// How a service's new flows are spread over its backends. docs/services.md says when to use which.
#pragma once

#include <cstdint>
#include <string_view>

namespace xebec {

/// In this order, which the questions below go by: those by hash, by the array, by neither, by counts.
enum class Algorithm : uint8_t {
  maglev,          ///< by hash; what is asked again is answered the same
  source_hash,     ///< the same, of the client's address alone
  maglev_bounded,  ///< by hash, but past backends that have more than their part of the flows
  rr,              ///< by turns
  wrr,             ///< by turns, more of them to whom has more weight
  random,
  lc,   ///< fewest open flows
  wlc,  ///< fewest open flows by weight
  p2c,  ///< the better one of two at random
};

/// The pick is a function of packet and table: every worker and every node gives the same answer at any time.
constexpr bool is_by_hash(Algorithm algorithm) {
  return algorithm <= Algorithm::source_hash;
}

/// The slot that a packet's hash means says which backend it gets, or gets if that is not full.
constexpr bool goes_by_array(Algorithm algorithm) {
  return algorithm <= Algorithm::maglev_bounded;
}

/// It asks how many flows backends have.
constexpr bool counts_flows(Algorithm algorithm) {
  return algorithm == Algorithm::maglev_bounded || algorithm >= Algorithm::lc;
}

/// What a pick depends on beside packet and table; empty: nothing. In one word, as `xebec explain` says it.
constexpr std::string_view depends_on(Algorithm algorithm) {
  if (is_by_hash(algorithm)) return {};
  if (counts_flows(algorithm)) return "flows";
  return algorithm == Algorithm::random ? "chance" : "turns";
}

/// Weights other than 0 say nothing to it.
constexpr bool is_unweighted(Algorithm algorithm) {
  return algorithm == Algorithm::rr || algorithm == Algorithm::lc;
}

}  // namespace xebec
