// SPDX-License-Identifier: BSD-2-Clause
// Which value of a health check is in force: the innermost that was written, else the default.
#include "control/health_config.h"

#include <algorithm>
#include <tuple>

namespace xebec {
namespace {

/// All fields. Structured bindings: one that is added stops the build here until it is inherited as well.
template <typename Config>
auto fields_of(Config& config) {
  auto& [type, interval, timeout, rise, fall, jitter, initial, to, port, path, host, method, status, body,
         verify, payload, expect, name, record, passive] = config;
  return std::tie(type, interval, timeout, rise, fall, jitter, initial, to, port, path, host, method, status,
                  body, verify, payload, expect, name, record, passive);
}

template <std::size_t... I>
void inherit(HealthConfig& inner, const HealthConfig& outer, std::index_sequence<I...>) {
  const auto one = [](auto& mine, const auto& theirs) {
    if (!mine) mine = theirs;
  };
  (one(std::get<I>(fields_of(inner)), std::get<I>(fields_of(outer))), ...);
}

}  // namespace

HealthConfig HealthConfig::over(const HealthConfig& outer) const {
  HealthConfig merged = *this;
  inherit(merged, outer, std::make_index_sequence<std::tuple_size_v<decltype(fields_of(merged))>>());
  return merged;
}

bool can_ask_vip(HealthType type) {
  return type == HealthType::tcp || type == HealthType::udp || type == HealthType::icmp ||
         type == HealthType::dns;
}

HealthSettings settle(const HealthConfig& config) {
  HealthSettings out;
  const auto take = [](auto& target, const auto& value) {
    if (value) target = *value;
  };
  take(out.type, config.type);
  take(out.interval_ms, config.interval_ms);
  out.timeout_ms = config.timeout_ms.value_or(std::min(out.timeout_ms, out.interval_ms));
  take(out.rise, config.rise);
  take(out.fall, config.fall);
  take(out.jitter_percent, config.jitter_percent);
  take(out.initial, config.initial);
  take(out.to, config.to);
  take(out.port, config.port);
  take(out.path, config.path);
  take(out.host, config.host);
  take(out.method, config.method);
  take(out.expect_status, config.expect_status);
  take(out.expect_body, config.expect_body);
  take(out.tls_verify, config.tls_verify);
  take(out.payload, config.payload);
  out.expect = config.expect;
  take(out.dns_name, config.dns_name);
  take(out.dns_type, config.dns_type);
  take(out.passive, config.passive);
  return out;
}

}  // namespace xebec
