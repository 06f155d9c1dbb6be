// SPDX-License-Identifier: BSD-2-Clause
#include "control/doctor_findings.h"

#include <fmt/format.h>

#include "control/config.h"

namespace xebec {
namespace {

using Level = Finding::Level;

bool is_v6(const std::string& address) {
  return address.find(':') != std::string::npos;
}

/// On the backend.
std::string hold_vip(const BackendEvidence& e) {
  return fmt::format("on {}: ip address add {}/{} dev lo", e.backend, e.vip, is_v6(e.vip) ? 128 : 32);
}

/// The device that takes the outer header off (docs/modes.md).
std::string make_tunnel(const BackendEvidence& e) {
  const bool v6 = is_v6(e.backend);
  switch (e.mode) {
    case Mode::ipip:
      return v6 ? "ip link add xebec0 type ip6tnl mode any local " + e.backend + " && ip link set xebec0 up"
                : std::string(is_v6(e.vip) ? "modprobe sit && ip link set sit0 up"
                                           : "modprobe ipip && ip link set tunl0 up");
    case Mode::gre:
      return fmt::format("ip link add xebec0 type {} local {} && ip link set xebec0 up",
                         v6 ? "ip6gre" : "gre", e.backend);
    case Mode::gue:
      return fmt::format(
          "modprobe fou{0} && ip fou add port {1} {2} && modprobe ipip && ip link set tunl0 up",
          v6 ? "6" : "", e.tunnel_port, v6 ? "gue -6" : "gue");
    case Mode::vxlan:
      return fmt::format("ip link add xebec0 type vxlan id {} dstport {} local {} && ip link set xebec0 up",
                         e.vni, e.tunnel_port, e.backend);
    default:
      return {};
  }
}

Finding silent(const BackendEvidence& e, const std::string& who) {
  return {
      Level::warn,
      fmt::format(
          "{}: answers no echo request, not even to its own address: it is down, or a firewall drops ICMP; "
          "nothing more can be told",
          who),
      fmt::format("ping {}", e.backend)};
}

Finding direct(const BackendEvidence& e, const std::string& who) {
  if (e.to_vip) return {Level::ok, fmt::format("{}: takes packets to {}", who, e.vip), {}};
  if (!e.plain) return silent(e, who);
  return {Level::fail,
          fmt::format("{}: answers at its own address, but not as {}: it does not hold the VIP", who, e.vip),
          hold_vip(e)};
}

Finding tunnelled(const BackendEvidence& e, const std::string& who) {
  const std::string mode(to_string(e.mode));
  if (e.to_vip)
    return {Level::ok, fmt::format("{}: takes packets to {} out of its {} tunnel", who, e.vip, mode), {}};
  if (!e.refused.empty())
    return {Level::fail,
            fmt::format("{}: has no tunnel device for {}: it answers with ICMP {}", who, mode, e.refused),
            fmt::format("on {}: {}", e.backend, make_tunnel(e))};
  if (e.inside)
    return {Level::fail,
            fmt::format(
                "{}: takes packets out of its {} tunnel, but does not answer as {}: it does not hold the VIP",
                who, mode, e.vip),
            hold_vip(e)};
  if (!e.plain) return silent(e, who);
  return {
      Level::fail,
      fmt::format("{}: answers at its own address, but packets in {} come to nothing there, without a word: "
                  "reverse-path filtering on the tunnel device drops them, {}or a firewall does",
                  who, mode, e.same_family ? "" : "or it does not hold the VIP, "),
      fmt::format(
          "on {}: sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0, the tunnel "
          "device's own too",
          e.backend)};
}

}  // namespace

std::vector<Finding> findings_of(const BackendEvidence& e) {
  const std::string who = fmt::format("backend {} of {}", e.backend, e.service);
  if (!e.has_way)
    return {
        {Level::fail, fmt::format("{}: no way to it: its next hop is not known", who), "xebec backend list"}};
  std::vector<Finding> findings;
  if (e.answers_arp) {
    findings.push_back(
        {Level::fail,
         fmt::format("{}: answers ARP requests for {}: who hears it first sends the service's packets past "
                     "the balancer",
                     who, e.vip),
         fmt::format("on {}: sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2",
                     e.backend)});
  }
  if (is_nat(e.mode)) {
    findings.push_back(e.plain ? Finding{Level::ok, fmt::format("{}: answers", who), {}} : silent(e, who));
  } else {
    findings.push_back(is_tunnel(e.mode) ? tunnelled(e, who) : direct(e, who));
  }
  return findings;
}

}  // namespace xebec
