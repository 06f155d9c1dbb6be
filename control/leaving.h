// SPDX-License-Identifier: BSD-2-Clause
// Backends that the configuration does not have any more, for as long as connections of theirs may last: a configuration without a
// backend is no word against those. They are in drain; how far that has come is control/drains.h's. Pure.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "control/config.h"

namespace xebec {

class Leaving {
 public:
  using Key = std::pair<std::string, IpAddress>;  ///< service, backend

  /// Those that leave once `after` has come in `before`'s place: what `before` has and `after` has not, and what was leaving
  /// already, unless `after` has it again. Not among them is who can have no connection any more: of a service that is gone, listens elsewhere, is
  /// stateless or has `drain_ms` 0; a backend in maintenance; and all, if there were more than a table holds.
  Leaving next(const Config& before, const Config& after) const;

  /// `config`, with those that leave among its backends: what tables and health checks are made of.
  Config with(const Config& config) const;

  /// As they were when they were removed, with what they had from their service, and in drain.
  std::vector<BackendConfig> of(const std::string& service) const;
  std::vector<Key> keys() const;
  bool contains(const Key& key) const { return backends_.contains(key); }
  bool empty() const { return backends_.empty(); }
  void erase(const Key& key) { backends_.erase(key); }

 private:
  std::map<Key, BackendConfig> backends_;
};

}  // namespace xebec
