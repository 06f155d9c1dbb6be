// SPDX-License-Identifier: BSD-2-Clause
// A configuration and the table that `xebec explain --config` makes of it, for tests.
#pragma once

#include <memory>
#include <string>

#include "control/config_reader.h"
#include "control/explain.h"
#include "control/explain_capture.h"
#include "control/offline_network.h"

namespace xebec::test {

inline constexpr uint64_t kStartNs = 1'000'000'000;

/// Throws (std::bad_optional_access and the like) where the text is no configuration.
struct OfflineWorld {
  explicit OfflineWorld(const std::string& text, uint32_t mtu = kOfflineMtu)
      : config(read_config(text, "test").value()),
        network(config, mtu),
        builder(config.hash_seed.value_or(std::array<uint8_t, 16>{})),
        table(builder.build(config, network.view(), kStartNs).value()) {}

  nlohmann::ordered_json explain(const std::string& source, const std::string& destination) const {
    const ExplainWorld world{config,    *table,
                             builder,   [this](uint16_t index) { return network.interface_name(index); },
                             "made-up", kStartNs};
    return explain_tuple(world, parse_tuple(source, destination).value());
  }
  std::unique_ptr<CaptureExplainer> explainer() const {
    return std::make_unique<CaptureExplainer>(
        *table, config.flows, config.nat.table,
        ShimView(*table, network.local_macs(), reply_rules_of(*table, config.nat.table, {})), kStartNs);
  }

  Config config;
  OfflineNetwork network;
  TableBuilder builder;
  std::unique_ptr<const Table> table;
};

}  // namespace xebec::test
