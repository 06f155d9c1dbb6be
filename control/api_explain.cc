// SPDX-License-Identifier: BSD-2-Clause
// What becomes of a flow: by a service's table alone (which), or by the whole core (explain).
#include "control/api_routes.h"

#include <string>

#include <fmt/format.h>

#include "control/endpoint.h"
#include "control/explain.h"
#include "dataplane/clock.h"

namespace xebec {
namespace {

/// A part of the question that the service leaves open must be in the query, and one that it does not must fit.
tl::expected<void, std::string> read_which_flow(const Call& call, const Service& service, FlowKey& key) {
  const ServiceMatch match = service.match();
  uint16_t port = match.port;
  if (const std::string* dport = call.asked("dport")) {
    const auto parsed = parse_port(*dport);
    if (!parsed) return tl::unexpected(fmt::format("which: dport: {} is not a port", *dport));
    const uint16_t last = match.is_range() ? match.last_port : match.port;
    if (match.port != 0 && (*parsed < match.port || *parsed > last))
      return tl::unexpected(
          fmt::format("which: the service is on port {}, not {}", port_text(match), *parsed));
    port = *parsed;
  } else if (match.port == 0 || match.is_range()) {
    return tl::unexpected(fmt::format("which: the service takes {}: say which with dport=PORT",
                                      match.port == 0 ? "any port" : "ports " + port_text(match)));
  }
  key.destination = match.vip.network;
  if (const std::string* dst = call.asked("dst")) {
    const auto parsed = IpAddress::parse(*dst);
    if (!parsed || !match.vip.contains(*parsed))
      return tl::unexpected(
          fmt::format("which: dst: {} is not an address in {}", *dst, match.vip.to_string()));
    key.destination = *parsed;
  } else if (!match.vip.is_single()) {
    return tl::unexpected(fmt::format("which: the service is all of {}: say which address with dst=ADDR",
                                      match.vip.to_string()));
  }
  key.protocol = match.protocol;
  const std::string* protocol = call.asked("protocol");
  if (match.protocol != kProtoAny) {
    if (protocol != nullptr && *protocol != protocol_name(match.protocol))
      return tl::unexpected(
          fmt::format("which: the service takes {}, not {}", protocol_name(match.protocol), *protocol));
  } else {
    if (protocol == nullptr || (*protocol != "tcp" && *protocol != "udp" && *protocol != "sctp"))
      return tl::unexpected(
          std::string("which: the service takes any protocol: say protocol=tcp, udp or sctp"));
    key.protocol = *protocol == "tcp" ? kProtoTcp : *protocol == "udp" ? kProtoUdp : kProtoSctp;
  }
  key.destination_port = Be16::from_host(port);
  return {};
}

HttpResponse which_backend(const Call& call) {
  const std::string* src = call.asked("src");
  if (src == nullptr) return failure(400, "usage", "which: needs src=ADDRESS:PORT");
  const auto source = parse_endpoint(*src);
  if (!source) return failure(400, "usage", fmt::format("which: src: {} is not ADDRESS:PORT", *src));
  for (const Service& s : call.controller.engine().table().services()) {
    if (s.name != call.path[1]) continue;
    FlowKey key;
    if (const auto r = read_which_flow(call, s, key); !r) return failure(400, "usage", r.error());
    if (source->address.is_v4() != s.vip.is_v4()) {
      return failure(400, "usage", "which: src and the service's address are of different families");
    }
    key.source = source->address;
    key.source_port = Be16::from_host(source->port);
    return answer(200, report_which(call.controller, s, key));
  }
  return no_service(call.path[1]);
}

HttpResponse explain_flow(const Call& call) {
  const std::string *src = call.asked("src"), *dst = call.asked("dst");
  if (src == nullptr || dst == nullptr)
    return failure(400, "usage", "explain: needs src=ADDRESS:PORT and dst=VIP:PORT/PROTO");
  const auto tuple = parse_tuple(*src, *dst);
  if (!tuple) return failure(400, "usage", "explain: " + tuple.error());
  const Controller& c = call.controller;
  const ExplainWorld world{
      c.config(),  c.engine().table(),
      c.builder(), [&c](uint16_t index) { return c.engine().interfaces().at(index).config.name; },
      "kernel",    monotonic_ns()};
  return answer(200, explain_tuple(world, *tuple));
}

}  // namespace

std::span<const Route> explain_routes() {
  static constexpr Route kRoutes[] = {
      {"GET", "services/*/which", Access::read, which_backend, "src dst dport protocol"},
      {"GET", "explain", Access::read, explain_flow, "src dst"},
  };
  return kRoutes;
}

}  // namespace xebec
