// SPDX-License-Identifier: BSD-2-Clause
// Who may speak to a service: prefixes that are allowed and prefixes that are denied. Of those that contain a source the
// longest decides. If none does, it is allowed, unless there are allowed prefixes.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "dataplane/ip_prefix.h"

namespace xebec {

/// Immutable once built, shared by tables.
class SourceRules {
 public:
  /// A prefix that is in both lists is denied: the control plane refuses such a configuration.
  SourceRules(std::vector<IpPrefix> allow, std::vector<IpPrefix> deny);

  /// No allocation, log2 of the number of prefixes steps.
  bool allows(const IpAddress& source) const;

  const std::vector<IpPrefix>& allow() const { return allow_; }
  const std::vector<IpPrefix>& deny() const { return deny_; }
  /// What becomes of a source that no prefix contains.
  bool allows_unlisted() const { return allow_.empty(); }

 private:
  /// From `first` on, up to the next, sources are allowed or not. Prefixes are nested or apart, never crossed, so all
  /// addresses fall into so many pieces at most as the prefixes have edges.
  struct Piece {
    IpAddress first;
    bool allowed = false;
  };
  std::vector<IpPrefix> allow_;
  std::vector<IpPrefix> deny_;
  std::vector<Piece> pieces_;  ///< ascending; the first begins at ::
};

}  // namespace xebec
