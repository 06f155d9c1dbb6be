// SPDX-License-Identifier: BSD-2-Clause
// A network to build a table in where there is no kernel to ask: from the configuration, and made up where that is
// silent.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/config.h"
#include "control/next_hops.h"
#include "control/table_builder.h"

namespace xebec {

/// An address of TEST-NET-1 (RFC 5737) and one of the documentation prefix (RFC 3849): outer sources where the
/// configuration has none.
inline constexpr std::string_view kPlaceholderSource4 = "192.0.2.1";
inline constexpr std::string_view kPlaceholderSource6 = "2001:db8::1";

/// Ethernet's own (RFC 894), where no kernel tells.
inline constexpr uint32_t kOfflineMtu = 1500;

/// The locally administered unicast address that stands for a backend's next hop: 02:00 and the IPv4 address, or 06
/// and 40 bits of the IPv6 address's hash.
MacAddress made_up_mac(const IpAddress& address);
/// ... and for an interface: 0a and 40 bits of its name's hash.
MacAddress made_up_mac(const std::string& interface);

/// Every backend is reached over the first interface, by its static "mac" or a made-up one. Everything made up is in
/// notes().
class OfflineNetwork {
 public:
  explicit OfflineNetwork(const Config& config, uint32_t mtu = kOfflineMtu);

  /// Valid as long as this is.
  NetworkView view() const;
  /// Sentences for the operator, for a table built from view().
  std::vector<std::string> notes(const Table& table) const;
  /// Of the interfaces; empty where one has none configured: a frame to any address will do.
  const std::vector<MacAddress>& local_macs() const { return local_macs_; }
  std::string interface_name(uint16_t index) const;

 private:
  void add_hop(const BackendConfig& backend);

  std::vector<ServedLink> links_;
  std::vector<MacAddress> local_macs_;
  std::map<IpAddress, ResolvedHop> hops_;
  std::vector<std::string> made_up_;  ///< "10.0.1.11 is 02:00:0a:00:01:0b"
  std::vector<std::string> notes_;
  bool tunnel_sources_[2] = {};  ///< configured: of IPv4, of IPv6
};

}  // namespace xebec
