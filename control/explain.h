// SPDX-License-Identifier: BSD-2-Clause
// What becomes of a flow, and why: a table asked about one tuple, by packets that the core itself judges.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>
#include <tl/expected.hpp>

#include "control/config.h"
#include "control/table_builder.h"

namespace xebec {

/// A flow as its first packet has it: from the client to the service.
struct Tuple {
  IpAddress source;
  IpAddress destination;
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint8_t protocol = 0;
  bool operator==(const Tuple&) const = default;
};

/// "10.0.0.1:5555" and "203.0.113.10:443/tcp". The error is "WHAT: WHY".
tl::expected<Tuple, std::string> parse_tuple(const std::string& source, const std::string& destination);

/// Where the question is asked: in a daemon or offline.
struct ExplainWorld {
  const Config& config;
  const Table& table;  ///< built from `config` by `builder`
  const TableBuilder& builder;
  std::function<std::string(uint16_t)> interface_name;
  std::string_view
      neighbours;       ///< where link-layer addresses come from that are not configured: "kernel", "made-up"
  uint64_t now_ns = 0;  ///< of the clock the table was built by
};

/// The object xebec.explain/1 of docs/api.md. "service" is null if none matches.
nlohmann::ordered_json explain_tuple(const ExplainWorld& world, const Tuple& tuple);

}  // namespace xebec
