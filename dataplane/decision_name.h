// SPDX-License-Identifier: BSD-2-Clause
// The words for what was decided about a packet, as the tool and its JSON say them. Without a default: an enumerator
// that has no word does not compile.
#pragma once

#include <string_view>

#include "dataplane/forward.h"

namespace xebec {

constexpr std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::forward:
    case Verdict::cut:
      return "forward";
    case Verdict::reply:
      return "reply";
    case Verdict::drop:
      return "drop";
    case Verdict::hold:
      return "hold";
  }
  return {};
}

/// Empty: no backend was looked for.
constexpr std::string_view name_of(FlowOrigin origin) {
  switch (origin) {
    case FlowOrigin::none:
      return {};
    case FlowOrigin::hit:
      return "hit";
    case FlowOrigin::created:
    case FlowOrigin::unremembered:
    case FlowOrigin::moved:
      return "new";  // by the service's algorithm, whether or not a place was found for it
    case FlowOrigin::stateless:
      return "stateless";
    case FlowOrigin::second_chance:
      return "second-chance";
    case FlowOrigin::connection_id:
      return "connection-id";
  }
  return {};
}

}  // namespace xebec
