// SPDX-License-Identifier: BSD-2-Clause
// How a backend's health is asked for: as an operator writes it (HealthConfig, every key may be missing), and with
// every default filled in (HealthSettings). docs/health.md has the idea, docs/config.md the keys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace xebec {

enum class HealthType : uint8_t { none, tcp, http, https, udp, icmp, dns };
/// What is known of a backend. unknown counts as up: nobody shall be without service because nobody has looked yet.
enum class Health : uint8_t { unknown, up, down };
/// Where a check goes.
enum class HealthTo : uint8_t {
  backend,  ///< to its own address, as any host's packets
  vip,      ///< to the VIP, the way the service's packets go (control/vip_prober.h)
};
enum class HttpMethod : uint8_t { get, head, options };

/// Inclusive.
struct StatusRange {
  uint16_t low = 0;
  uint16_t high = 0;
  bool operator==(const StatusRange&) const = default;
};

/// What clients' connections tell of a backend, where its replies come through here.
struct PassiveHealth {
  uint32_t fall = 0;                 ///< so many that failed in a row make it down; 0: nothing does
  uint32_t retry_after_ms = 10'000;  ///< then it is tried again, unless checks say when
  bool operator==(const PassiveHealth&) const = default;
};

struct HealthConfig {
  std::optional<HealthType> type;
  std::optional<uint32_t> interval_ms;
  std::optional<uint32_t> timeout_ms;
  std::optional<uint32_t> rise;
  std::optional<uint32_t> fall;
  std::optional<uint32_t> jitter_percent;
  std::optional<Health> initial;
  std::optional<HealthTo> to;
  std::optional<uint16_t> port;  ///< absent = the backend's
  // http, https
  std::optional<std::string> path;
  std::optional<std::string> host;  ///< absent = the backend's address
  std::optional<HttpMethod> method;
  std::optional<std::vector<StatusRange>> expect_status;
  std::optional<std::string> expect_body;
  std::optional<bool> tls_verify;
  // udp: bytes
  std::optional<std::string> payload;
  std::optional<std::string> expect;  ///< absent = silence is good
  // dns
  std::optional<std::string> dns_name;
  std::optional<uint16_t> dns_type;
  std::optional<PassiveHealth> passive;  ///< as a whole

  bool operator==(const HealthConfig&) const = default;
  /// These values, and those of `outer` where there is none.
  HealthConfig over(const HealthConfig& outer) const;
};

struct HealthSettings {
  HealthType type = HealthType::none;
  uint32_t interval_ms = 2000;
  uint32_t timeout_ms = 1000;
  uint32_t rise = 2;
  uint32_t fall = 3;
  uint32_t jitter_percent = 10;  ///< a check comes up to so much early, never late
  Health initial = Health::unknown;
  HealthTo to = HealthTo::backend;
  uint16_t port = 0;
  std::string path = "/";
  std::string host;
  HttpMethod method = HttpMethod::get;
  std::vector<StatusRange> expect_status{{200, 399}};
  std::string expect_body;
  bool tls_verify = false;
  std::string payload;
  std::optional<std::string> expect;
  std::string dns_name;
  uint16_t dns_type = 1;  ///< A, RFC 1035 section 3.2.2
  PassiveHealth passive;
  bool operator==(const HealthSettings&) const = default;
  /// Something tells whether the backend is up.
  bool is_watched() const { return type != HealthType::none || passive.fall != 0; }
};

/// Fills in the defaults; the timeout's is a second, or the interval where that is shorter.
HealthSettings settle(const HealthConfig& config);

/// By single packets, which is all that can be sent there.
bool can_ask_vip(HealthType type);

/// Names as they stand in JSON, the API and the tool.
std::string_view to_string(HealthType type);
std::string_view to_string(Health health);
std::string_view to_string(HealthTo to);
std::string_view to_string(HttpMethod method);

}  // namespace xebec
