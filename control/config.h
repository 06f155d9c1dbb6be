// SPDX-License-Identifier: BSD-2-Clause
// The desired state as an operator writes it: plain values, every default filled in. docs/config.md describes
// the JSON.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/flow_table.h"
#include "dataplane/ip_address.h"
#include "dataplane/limits.h"
#include "dataplane/table.h"

namespace xebec {

enum class XdpMode : uint8_t { automatic, native, generic };
enum class BindMode : uint8_t { automatic, zerocopy, copy };
enum class TransmitMode : uint8_t { automatic, ring, inject };
enum class PollMode : uint8_t { adaptive, busy, interrupt };
/// Interrupts of the device: as they are, or on the CPU of the worker whose queue they are for.
enum class IrqMode : uint8_t { leave, set };
enum class HugepageMode : uint8_t { automatic, off };
enum class Admin : uint8_t { ready, maint };
enum class FallbackVerdict : uint8_t { drop, pass };

struct InterfaceConfig {
  std::string name;
  uint32_t queues = 0;         ///< 0 = auto: every receive queue the interface has
  std::vector<uint32_t> cpus;  ///< empty = auto: those the daemon may run on, the device's NUMA node first
  XdpMode mode = XdpMode::automatic;
  BindMode bind = BindMode::automatic;
  TransmitMode transmit = TransmitMode::automatic;
  PollMode poll = PollMode::adaptive;
  IrqMode irq_affinity = IrqMode::leave;
  bool operator==(const InterfaceConfig&) const = default;
};

struct BackendConfig {
  IpAddress address;
  uint16_t port =
      0;  ///< 0 = the service's; another one needs a mode that rewrites ports, which none does yet
  uint32_t weight = 100;
  Admin admin = Admin::ready;
  std::optional<Mode> mode;       ///< overrides the service's
  std::optional<MacAddress> mac;  ///< static next hop, instead of the kernel's neighbour
  bool operator==(const BackendConfig&) const = default;
};

struct ServiceConfig {
  std::string name;  ///< unique
  IpAddress vip;
  uint16_t port = 0;  ///< 0 = any
  uint8_t protocol = kProtoTcp;
  Mode mode = Mode::dsr_l2;
  uint32_t table_size = kDefaultLookupSize;
  bool stateless = false;
  std::vector<BackendConfig> backends;
  bool operator==(const ServiceConfig&) const = default;
};

struct TunnelConfig {
  std::optional<IpAddress> source_ipv4;  ///< outer source; absent = the address the kernel's route prefers
  std::optional<IpAddress> source_ipv6;
  bool operator==(const TunnelConfig&) const = default;
};

struct ControlConfig {
  std::string socket;  ///< empty = the command line's or /run/xebec/xebec.sock
  bool operator==(const ControlConfig&) const = default;
};

/// What a service gets for the keys it does not have, from the file and through the API alike.
struct ServiceDefaults {
  Mode mode = Mode::dsr_l2;
  uint32_t table_size = kDefaultLookupSize;
  bool operator==(const ServiceDefaults&) const = default;
};

struct Config {
  std::string instance = "xebec";
  std::optional<std::array<uint8_t, 16>> hash_seed;  ///< absent = random per installation
  FallbackVerdict fallback_verdict = FallbackVerdict::drop;
  HugepageMode hugepages = HugepageMode::automatic;  ///< reserved ones for packet memory
  std::vector<InterfaceConfig> interfaces;
  ServiceDefaults defaults;
  FlowTableConfig flows;
  TunnelConfig tunnel;
  std::vector<ServiceConfig> services;
  ControlConfig control;
};
bool operator==(const Config& a, const Config& b);

/// Names as they stand in JSON, the API and the tool.
std::string_view to_string(Mode mode);
std::string_view to_string(XdpMode mode);
std::string_view to_string(BindMode mode);
std::string_view to_string(TransmitMode mode);
std::string_view to_string(PollMode mode);
std::string_view to_string(IrqMode mode);
std::string_view to_string(HugepageMode mode);
std::string_view to_string(Admin admin);
std::string_view to_string(FallbackVerdict verdict);
std::string protocol_name(uint8_t protocol);

}  // namespace xebec
