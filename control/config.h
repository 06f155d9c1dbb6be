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

#include "control/dns_source.h"
#include "control/health_config.h"
#include "control/quic_config.h"
#include "dataplane/flow_table.h"
#include "dataplane/ip_address.h"
#include "dataplane/limits.h"
#include "dataplane/nat_config.h"
#include "dataplane/table.h"

namespace xebec {

enum class XdpMode : uint8_t { automatic, native, generic };
enum class BindMode : uint8_t { automatic, zerocopy, copy };
enum class TransmitMode : uint8_t { automatic, ring, inject };
enum class PollMode : uint8_t { adaptive, busy, interrupt };
/// Interrupts of the device: as they are, or on the CPU of the worker whose queue they are for.
enum class IrqMode : uint8_t { leave, set };
enum class HugepageMode : uint8_t { automatic, off };
enum class Admin : uint8_t {
  ready,
  maint,  ///< takes no packet
  drain,  ///< no new flows; those that it has stay until they end (control/drains.h)
};
/// What a service's weights are besides as configured.
enum class WeightSource : uint8_t {
  fixed,
  response_time,  ///< less for those whose health checks take longer (control/response_times.h)
};
enum class FallbackVerdict : uint8_t { drop, pass };
/// What becomes of a service's packets while none of its backends is up.
enum class FailPolicy : uint8_t {
  drop,
  open,   ///< those that only their health keeps out are used all the same
  reset,  ///< senders are told: NoBackend::refuse
  pass,   ///< the host's stack has them: NoBackend::pass
};

struct InterfaceConfig {
  std::string name;
  uint32_t queues = 0;         ///< 0 = auto: every receive queue the interface has
  std::vector<uint32_t> cpus;  ///< empty = auto: those the daemon may run on, the device's NUMA node first
  XdpMode mode = XdpMode::automatic;
  BindMode bind = BindMode::automatic;
  TransmitMode transmit = TransmitMode::automatic;
  PollMode poll = PollMode::adaptive;
  IrqMode irq_affinity = IrqMode::leave;
  std::optional<MacAddress>
      local_mac{};  ///< its address where no kernel can be asked: `xebec explain --config`
  bool operator==(const InterfaceConfig&) const = default;
};

/// Where the outer header of a tunnel comes from: one address, or a prefix that flows are spread over.
struct TunnelSource {
  IpAddress address;
  uint8_t spread_bits = 0;  ///< so many low bits are chosen per flow
  bool operator==(const TunnelSource&) const = default;
};

/// What tunnels are made of. Of the configuration, of a service, of a backend: the innermost that has a value gives it.
struct TunnelConfig {
  std::optional<TunnelSource> source_ipv4;  ///< absent = the address the kernel's route prefers
  std::optional<TunnelSource> source_ipv6;
  std::optional<uint16_t> port;         ///< gue, vxlan: UDP destination; absent = 6080, 4789
  std::optional<uint8_t> gue_variant;   ///< absent = 1
  std::optional<uint32_t> vni;          ///< vxlan: required
  std::optional<MacAddress> inner_mac;  ///< vxlan: required
  std::optional<bool> udp6_checksum;    ///< absent = true
  bool operator==(const TunnelConfig&) const = default;
  /// These values, and those of `outer` where there is none.
  TunnelConfig over(const TunnelConfig& outer) const;
};

/// As `xebec backend delete` has it.
inline constexpr uint32_t kDefaultDrainMs = 60'000;

struct BackendConfig {
  IpAddress address;
  uint16_t port = 0;  ///< 0 = the service's; another one only with a mode that rewrites ports
  uint32_t weight = 100;
  Admin admin = Admin::ready;
  std::optional<Mode> mode;         ///< overrides the service's
  std::optional<MacAddress> mac{};  ///< static next hop, instead of the kernel's neighbour
  std::optional<uint16_t> vlan{};   ///< NextHop::vlan; absent = as its route says
  TunnelConfig tunnel{};
  HealthConfig health{};
  std::vector<ServerId> server_ids{};  ///< of the service's QUIC connection ids
  bool discovered = false;             ///< by ServiceConfig::backends_from, which may take it back
  bool operator==(const BackendConfig&) const = default;
};

struct ServiceConfig {
  std::string name;  ///< unique
  IpAddress vip;
  uint16_t port = 0;             ///< 0 = any; of a range the first
  uint8_t protocol = kProtoTcp;  ///< kProtoAny: every one
  Mode mode = Mode::dsr_l2;
  uint32_t table_size = kDefaultLookupSize;
  bool stateless = false;
  std::vector<BackendConfig> backends;
  TunnelConfig tunnel{};
  uint16_t mss_clamp = kMssClampAuto;          ///< as Service::mss_clamp
  uint8_t vip_length = IpPrefix::kFullLength;  ///< less: `vip` is the network of a prefix
  uint16_t last_port = 0;                      ///< of a range; 0: `port` alone
  HashInput hash = HashInput::five_tuple;
  Algorithm algorithm = Algorithm::maglev;
  uint32_t load_factor_percent = kDefaultLoadFactorPercent;  ///< of maglev-bounded
  uint32_t slow_start_ms = 0;  ///< how long a backend that comes takes to its whole weight; 0: at once
  /// How long the connections of a backend may last that the configuration does not have any more (control/leaving.h).
  uint32_t drain_ms = kDefaultDrainMs;
  WeightSource weights = WeightSource::fixed;
  uint32_t weights_floor_percent = 25;  ///< response_time: of its weight, what a backend keeps at least
  uint32_t weights_move_percent =
      2;  ///< response_time: of the lookup array, what changes hands in a second at most
  std::vector<IpPrefix> allow{};  ///< sources; empty = all that are not denied
  std::vector<IpPrefix> deny{};
  NewFlowLimit rate_limit{};  ///< 0 a second = none
  HealthConfig health{};
  FailPolicy fail = FailPolicy::drop;
  ClientNote client_address = ClientNote::none;  ///< mode nat: how backends are told it
  std::vector<BackendConfig> fallback{};   ///< one at most; takes new flows only while no other backend does
  bool fragment = false;                   ///< IPv4 without DF that is too big: cut, not dropped
  std::optional<QuicConfig> quic{};        ///< with HashInput::quic
  std::optional<FlowTimeouts> timeouts{};  ///< absent: the defaults'
  OnDown on_down = OnDown::rehash;
  std::optional<DnsSource> backends_from{};  ///< and these, beside those that are written
  bool operator==(const ServiceConfig&) const = default;

  ServiceMatch match() const { return {{vip, vip_length}, port, last_port, protocol}; }
};

/// Modes dnat and nat.
struct NatConfig {
  std::vector<IpAddress>
      addresses;  ///< sources of mode nat; none of a family: the address the kernel's route prefers
  NatTableConfig table;
  bool operator==(const NatConfig&) const = default;
};

/// How `backend` is checked, which is one of the service's backends or its fallback.
HealthConfig health_of(const HealthConfig& defaults, const ServiceConfig& service,
                       const BackendConfig& backend);

/// The backend's replies come through here, and tell what becomes of connections.
bool is_passively_watchable(const ServiceConfig& service, const BackendConfig& backend);

struct ControlConfig {
  std::string socket;  ///< empty = the command line's or /run/xebec/xebec.sock
  std::string http{};  ///< ADDRESS:PORT of the read-only pages; empty = none
  bool operator==(const ControlConfig&) const = default;
};

/// What a service gets for the keys it does not have, from the file and through the API alike.
struct ServiceDefaults {
  Mode mode = Mode::dsr_l2;
  uint32_t table_size = kDefaultLookupSize;
  FailPolicy fail = FailPolicy::drop;
  FlowTimeouts timeouts{};
  Algorithm algorithm = Algorithm::maglev;
  HealthConfig health{};  ///< inherited when it is used, so that a change of it reaches every service
  OnDown on_down = OnDown::rehash;
  uint32_t drain_ms = kDefaultDrainMs;
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
  TunnelConfig tunnel{};
  NatConfig nat;
  std::vector<ServiceConfig> services;
  ControlConfig control;
  IcmpPolicy icmp;
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
std::string_view to_string(HashInput input);
std::string_view to_string(NewFlowLimit::Per per);
std::string_view to_string(FailPolicy policy);
std::string_view to_string(OnDown on_down);
std::string_view to_string(DnsRecords records);
std::string_view to_string(QuicFormat format);
std::string_view to_string(ClientNote note);
std::string_view to_string(Algorithm algorithm);
std::string_view to_string(WeightSource source);

/// The service of that name; null: there is none.
const ServiceConfig* find_service(const Config& config, const std::string& name);
ServiceConfig* find_service(Config& config, const std::string& name);

std::string protocol_name(uint8_t protocol);
/// "any", "443" or "8000-8099".
std::string port_text(const ServiceMatch& match);

}  // namespace xebec
