// SPDX-License-Identifier: BSD-2-Clause
// What `xebec doctor` has to say of the machine itself: the preflight's findings and those about what runs beside. Needs no
// daemon.
#pragma once

#include <string>
#include <vector>

#include "control/config.h"
#include "control/preflight.h"

namespace xebec {

/// What is read of the machine beside the hardware.
struct HostFacts {
  std::string port_range;      ///< net.ipv4.ip_local_port_range, "32768\t60999"
  std::string reserved_ports;  ///< net.ipv4.ip_local_reserved_ports, "8080,9000-9010"
};
/// `root`: what stands before /proc.
HostFacts read_host_facts(const std::string& root = {});

/// Ports of mode nat that the host may give to its own connections.
std::vector<Finding> examine_ports(const Config& config, const HostFacts& facts);

/// The XDP program on an interface, if it is not the daemon's own.
std::vector<Finding> examine_xdp(const std::string& interface);

/// All of it, in the order to read it.
std::vector<Finding> examine_host(const Config& config);

}  // namespace xebec
