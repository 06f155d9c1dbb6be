// SPDX-License-Identifier: BSD-2-Clause
// What `xebec doctor` has to say of the machine itself: the preflight's findings and those about what runs beside. Needs no
// daemon.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/config.h"
#include "control/preflight.h"
#include "dataplane/ip_address.h"

namespace xebec {

/// What is read of the machine beside the hardware.
struct HostFacts {
  std::string port_range;      ///< net.ipv4.ip_local_port_range, "32768\t60999"
  std::string reserved_ports;  ///< net.ipv4.ip_local_reserved_ports, "8080,9000-9010"
  /// Which addresses the kernel takes for the host's own connections to backends. Absent: nobody has asked it.
  std::optional<std::set<IpAddress>> chosen = std::nullopt;
};
/// `root`: what stands before /proc.
HostFacts read_host_facts(const std::string& root = {});

/// Ports of mode nat that the host may give to its own connections, on an address that it takes for them. A warning or failure of
/// this kind is the doctor's, the start's and the status's.
std::vector<Finding> examine_ports(const Config& config, const HostFacts& facts);

/// The XDP program on an interface, if it is not the daemon's own.
std::vector<Finding> examine_xdp(const std::string& interface);

/// All of it, in the order to read it.
std::vector<Finding> examine_host(const Config& config);

}  // namespace xebec
