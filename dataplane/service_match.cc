// SPDX-License-Identifier: BSD-2-Clause
// Which packets are a service's.
#include "dataplane/service_match.h"

#include "dataplane/wire.h"

namespace xebec {

ServiceMatch::Pass ServiceMatch::pass() const {
  return protocol == kProtoAny ? Pass::any_protocol : Pass::own_protocol;
}

std::span<const uint8_t> ServiceMatch::entries() const {
  static constexpr std::array<uint8_t, 4> kAll = {kProtoTcp, kProtoUdp, kProtoSctp, kProtoAny};
  if (protocol != kProtoAny) return {&protocol, 1};
  return std::span(kAll).first(port == 0 ? 4 : 3);
}

bool ServiceMatch::meets(const ServiceMatch& other) const {
  if (!vip.contains(other.vip) && !other.vip.contains(vip)) return false;
  if (protocol != other.protocol && protocol != kProtoAny && other.protocol != kProtoAny) return false;
  if (port == 0 || other.port == 0) return true;
  const auto last = [](const ServiceMatch& m) { return m.is_range() ? m.last_port : m.port; };
  return port <= last(other) && other.port <= last(*this);
}

std::string ServiceMatch::to_string() const {
  std::string text = vip.to_string() + " port " + std::to_string(port);
  if (is_range()) text += "-" + std::to_string(last_port);
  return text + " protocol " + (protocol == kProtoAny ? "any" : std::to_string(protocol));
}

}  // namespace xebec
