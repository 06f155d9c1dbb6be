// SPDX-License-Identifier: BSD-2-Clause
// Which packets are replies of translating services.
#include "control/reply_rules.h"

#include "bpf/abi.h"

namespace xebec {

ReplyRules reply_rules_of(const Table& table, const NatTableConfig& ports, const std::set<IpAddress>& own) {
  ReplyRules rules;
  if (!table.translates()) return rules;
  rules.first_port = ports.first_port;
  rules.last_port = ports.last_port;
  rules.own = own;
  for (const Backend& backend : table.backends()) {
    // Also of a backend that takes no packets at present: what it has answered is on its way. Ids without a backend have none.
    if (!is_nat(backend.mode) || backend.address == IpAddress{}) continue;
    const Service& service = table.services()[backend.service];
    const bool one_port = backend.port != 0 || service.last_port == 0;
    const uint16_t port = backend.port != 0 ? backend.port : one_port ? service.port : uint16_t{0};
    const uint32_t how = backend.mode == Mode::nat ? XEBEC_NAT : XEBEC_DNAT;
    rules.backends[{backend.address, port, service.protocol}] |= how;
    rules.backends[{backend.address, 0, service.protocol, true}] |= how;
    if (backend.mode != Mode::nat) continue;
    const auto listed = table.nat_sources(backend.address.is_v4());
    rules.sources.insert(listed.begin(), listed.end());
    if (listed.empty() && backend.tunnel_source != IpAddress{}) rules.sources.insert(backend.tunnel_source);
  }
  return rules;
}

ReplyRules either(const ReplyRules& a, const ReplyRules& b) {
  ReplyRules both = b;
  for (const auto& [endpoint, how] : a.backends) both.backends[endpoint] |= how;
  both.sources.insert(a.sources.begin(), a.sources.end());
  return both;
}

}  // namespace xebec
