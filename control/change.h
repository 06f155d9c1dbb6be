// SPDX-License-Identifier: BSD-2-Clause
// A change of the configuration: on what terms it is asked for, and what came of it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "control/config_diff.h"
#include "control/config_impact.h"
#include "control/config_reader.h"

namespace xebec {

struct ChangeTerms {
  std::string by{};  ///< who asks, for the log and the history (control/author.h)
  bool whole =
      false;  ///< of a whole document: what was ordered of single backends stands against its silence
  bool at_once =
      false;  ///< backends that it takes away take no packet any more; else they drain (control/leaving.h)
  bool dry_run = false;  ///< tell what would change, and change nothing
  std::string match{};   ///< ETag of the configuration that it was made from; empty: whatever is in force
  std::chrono::milliseconds confirm_within{0};  ///< undone by itself unless confirmed in this time; 0: stays
};

/// What a change did, or with dry_run would do.
struct ChangeReport {
  bool changed = false;
  bool dry_run = false;
  uint64_t generation = 0;         ///< of the table
  uint64_t config_generation = 0;  ///< of the configuration
  std::vector<ConfigChange> diff;
  std::vector<ServiceImpact> impact;            ///< dry_run only
  std::chrono::milliseconds confirm_within{0};  ///< not 0: it waits to be confirmed for so long
  std::vector<std::string> warnings;
};

/// Why a change was refused; nothing was changed.
struct ChangeError {
  enum class Kind : uint8_t {
    invalid,
    not_found,
    conflict,
    stale,  ///< somebody else's change came first
    failed
  };
  Kind kind = Kind::failed;
  std::string message;  ///< "WHAT: WHY"
  std::string hint;
  Diagnostics diagnostics;
};
using ChangeResult = tl::expected<ChangeReport, ChangeError>;

}  // namespace xebec
