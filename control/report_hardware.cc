// SPDX-License-Identifier: BSD-2-Clause
// An interface's hardware as a JSON object.
#include "control/report_hardware.h"

namespace xebec {
namespace {

using Json = nlohmann::ordered_json;

// Of features, those that change what XDP sees, or what may be sent.
constexpr const char* kTold[] = {"rx-vlan-hw-parse", "rx-lro", "rx-gro-hw", "rx-checksum",
                                 "tx-checksum-ip-generic"};

Json hashing_of(const Hardware& hardware) {
  if (!hardware.receive_hashing) return nullptr;
  const ReceiveHashing& hashing = *hardware.receive_hashing;
  return {{"toeplitz", (hashing.functions & 1) != 0},
          {"key_bytes", hashing.key.size()},
          {"indirection_entries", hashing.indirection.size()},
          {"shares", queue_shares(hashing)}};
}

}  // namespace

Json report_hardware(const Hardware& hardware) {
  Json channels = nullptr;
  if (const auto& c = hardware.channels) {
    channels = {{"rx", c->rx},         {"tx", c->tx},         {"combined", c->combined},
                {"max_rx", c->max_rx}, {"max_tx", c->max_tx}, {"max_combined", c->max_combined}};
  }
  Json rings = nullptr;
  if (const auto& r = hardware.rings)
    rings = {{"rx", r->rx}, {"tx", r->tx}, {"max_rx", r->max_rx}, {"max_tx", r->max_tx}};
  Json features = nullptr;
  if (hardware.features) {
    features = Json::array();
    for (const char* name : kTold) {
      if (hardware.has(name)) features.push_back(name);
    }
  }
  Json node = nullptr;
  if (hardware.numa_node) node = *hardware.numa_node;
  return {{"driver_version", hardware.driver.version},
          {"firmware", hardware.driver.firmware},
          {"bus", hardware.driver.bus},
          {"numa_node", node},
          {"receive_queues", hardware.receive_queues},
          {"channels", channels},
          {"rings", rings},
          {"receive_hashing", hashing_of(hardware)},
          {"features", features}};
}

}  // namespace xebec
