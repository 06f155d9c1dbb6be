// SPDX-License-Identifier: BSD-2-Clause
// The order in which backends take turns: a list made by the control thread, so that a worker's turn is one read whatever
// the weights are.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace xebec {

/// Turns of backends with these weights, spread as evenly as they go: between two turns of a backend come about as many of
/// the others as its weight wants. One period of the weights exactly, where that is at most kMaxTurns long; else
/// kMaxTurns of them, which is off by less than one turn a backend. Weight 0: no turn. Indices into `weights`.
std::vector<uint16_t> make_turns(std::span<const uint32_t> weights);

/// As many as the default lookup array has slots. 4,096 backends of weight 1 to 1,000 are told apart by it, within 6 %.
inline constexpr uint32_t kMaxTurns = 65536;

}  // namespace xebec
