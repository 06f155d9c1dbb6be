// SPDX-License-Identifier: BSD-2-Clause
// The reading, writing and checking of "health" objects.
#include "control/config_health.h"

#include <algorithm>

#include <fmt/format.h>

#include "control/config_dns.h"
#include "control/config_document.h"
#include "control/config_keys.h"
#include "control/config_reader.h"

namespace xebec {
namespace {

using Kind = JsonNode::Kind;
using Json = nlohmann::ordered_json;

/// In one datagram that no path on Ethernet fragments (1500 less IPv6 and UDP headers).
constexpr std::size_t kMaxDatagram = 1452;
constexpr std::size_t kMaxHttpText = 1024;
constexpr Range kStatusRange{100, 599};  // RFC 9110 section 15

template <typename T>
void number(ObjectReader& fields, std::string_view key, std::optional<T>& target) {
  T value{};
  fields.number(key, value);
  if (fields.find(key) != nullptr && fields.clean(key)) target = value;
}
template <typename T>
void word(ObjectReader& fields, std::string_view key, std::optional<T>& target) {
  T value{};
  fields.word(key, value);
  if (fields.find(key) != nullptr && fields.clean(key)) target = value;
}
void text(ObjectReader& fields, std::string_view key, std::optional<std::string>& target) {
  std::string value;
  fields.text(key, value);
  if (fields.find(key) != nullptr && fields.clean(key)) target = std::move(value);
}

/// 200 or "200-299".
std::optional<StatusRange> status_range(const JsonNode& node) {
  std::optional<uint64_t> low, high;
  if (node.kind == Kind::number) {
    low = high = node.whole;
  } else if (node.kind == Kind::string) {
    const std::size_t dash = node.text.find('-');
    low = decimal(std::string_view(node.text).substr(0, dash));
    high = dash == std::string::npos ? low : decimal(std::string_view(node.text).substr(dash + 1));
  }
  if (!low || !high || *low > *high || *low < kStatusRange.low || *high > kStatusRange.high)
    return std::nullopt;
  return StatusRange{static_cast<uint16_t>(*low), static_cast<uint16_t>(*high)};
}

void read_status(ObjectReader& fields, std::optional<std::vector<StatusRange>>& target) {
  const JsonNode* node = fields.expect("expect_status", Kind::array);
  if (node == nullptr) return;
  std::vector<StatusRange> ranges;
  for (const JsonNode& element : node->children) {
    const auto range = status_range(element);
    if (!range) {
      return fields.report("expect_status",
                           "its elements must be status codes such as 200, or ranges such as "
                           "\"200-299\", in 100..599");
    }
    ranges.push_back(*range);
  }
  if (ranges.empty()) return fields.report("expect_status", "an empty list: no answer would be good");
  target = std::move(ranges);
}

/// Bytes as text under `key`, or as hex digits under `key`_hex.
void read_bytes(ObjectReader& fields, const std::string& key, std::optional<std::string>& target) {
  text(fields, key, target);
  const std::string hex_key = key + "_hex";
  const JsonNode* node = fields.expect(hex_key, Kind::string);
  if (node == nullptr) return;
  if (fields.find(key) != nullptr) return fields.report(hex_key, fmt::format("\"{}\" is given as well", key));
  const std::string digits = lower(node->text);
  if (digits.size() % 2 != 0 || digits.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return fields.report(hex_key, fmt::format("{} is not an even number of hex digits", quote(node->text)));
  }
  const auto value = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string bytes;
  for (std::size_t i = 0; i < digits.size(); i += 2)
    bytes += static_cast<char>(value(digits[i]) * 16 + value(digits[i + 1]));
  target = std::move(bytes);
}

void write_bytes(const std::string& key, const std::optional<std::string>& bytes, Json& out) {
  if (!bytes) return;
  const bool plain = std::all_of(bytes->begin(), bytes->end(), [](char c) { return c >= ' ' && c <= '~'; });
  if (plain) {
    out[key] = *bytes;
    return;
  }
  std::string digits;
  for (const char c : *bytes) digits += fmt::format("{:02x}", static_cast<uint8_t>(c));
  out[key + "_hex"] = digits;
}

/// An object, or false for nothing.
void read_passive(ObjectReader& parent, Findings& findings, std::optional<PassiveHealth>& target) {
  constexpr uint32_t kFall = 5;
  const JsonNode* node = parent.find("passive");
  if (node == nullptr) return;
  if (node->kind == Kind::boolean && !node->boolean) {
    target = PassiveHealth{};
    return;
  }
  if (node->kind != Kind::object) return parent.report("passive", "must be an object, or false for nothing");
  PassiveHealth passive{.fall = kFall};
  ObjectReader fields(*node, parent.pointer("passive"), kPassiveRule, findings);
  fields.number("fall", passive.fall);
  fields.number("retry_after_ms", passive.retry_after_ms);
  target = passive;
}

void write_passive(const std::optional<PassiveHealth>& passive, Json& out) {
  if (!passive) return;
  out["passive"] = passive->fall == 0
                       ? Json(false)
                       : Json{{"fall", passive->fall}, {"retry_after_ms", passive->retry_after_ms}};
}

/// Keys that mean something to only some types.
struct OwnKey {
  const char* key;
  std::vector<HealthType> types;
  bool written;
};

std::vector<OwnKey> own_keys(const HealthConfig& h) {
  const std::vector<HealthType> http{HealthType::http, HealthType::https};
  return {{"path", http, h.path.has_value()},
          {"host", http, h.host.has_value()},
          {"method", http, h.method.has_value()},
          {"expect_status", http, h.expect_status.has_value()},
          {"expect_body", http, h.expect_body.has_value()},
          {"tls_verify", {HealthType::https}, h.tls_verify.has_value()},
          {"payload", {HealthType::udp}, h.payload.has_value()},
          {"expect", {HealthType::udp}, h.expect.has_value()},
          {"dns_name", {HealthType::dns}, h.dns_name.has_value()},
          {"dns_type", {HealthType::dns}, h.dns_type.has_value()}};
}

/// Empty if the text fits into a line of an HTTP request.
std::string http_text_fault(const std::string& text) {
  if (text.size() > kMaxHttpText) return fmt::format("is longer than {} bytes", kMaxHttpText);
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
  return plain ? "" : fmt::format("{} has a blank or a character that is not ASCII", quote(text));
}

/// A name or an address, and perhaps ":PORT": it goes into a URL.
std::string host_fault(const std::string& host) {
  const bool plain = std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view(".-_:[]").find(c) != std::string_view::npos;
  });
  if (!host.empty() && host.size() <= 253 && plain) return {};
  return fmt::format("{} is not a host name, with or without a port", quote(host));
}

/// What a value says alone.
void check_values(const HealthConfig& h, const std::string& at, const ValidationSink& sink) {
  if (h.path) {
    sink.report_at(at + "/path", h.path->starts_with('/')
                                     ? http_text_fault(*h.path)
                                     : fmt::format("{} does not begin with \"/\"", quote(*h.path)));
  }
  if (h.host) sink.report_at(at + "/host", host_fault(*h.host));
  if (h.expect_body && (h.expect_body->empty() || h.expect_body->size() > kMaxHttpText)) {
    sink.report_at(at + "/expect_body", fmt::format("must have 1 to {} bytes", kMaxHttpText));
  }
  if (h.payload && h.payload->size() > kMaxDatagram)
    sink.report_at(at + "/payload", fmt::format("is longer than {} bytes", kMaxDatagram));
  if (h.expect && h.expect->size() > kMaxDatagram)
    sink.report_at(at + "/expect", fmt::format("is longer than {} bytes", kMaxDatagram));
  if (h.dns_name) sink.report_at(at + "/dns_name", dns_name_fault(*h.dns_name));
}

std::string names_of(const std::vector<HealthType>& types) {
  std::string out;
  for (const HealthType type : types) out += fmt::format("{}{}", out.empty() ? "" : " and ", to_string(type));
  return out;
}

}  // namespace

HealthConfig read_health(ObjectReader& parent, Findings& findings) {
  HealthConfig h;
  const JsonNode* node = parent.find("health");
  if (node == nullptr) return h;
  if (node->kind == Kind::boolean && !node->boolean) {
    h.type = HealthType::none;
    h.passive = PassiveHealth{};
    return h;
  }
  if (node->kind != Kind::object) {
    parent.report("health", "must be an object, or false for no check");
    return h;
  }
  ObjectReader fields(*node, parent.pointer("health"), kHealthRule, findings);
  word(fields, "type", h.type);
  number(fields, "interval_ms", h.interval_ms);
  number(fields, "timeout_ms", h.timeout_ms);
  number(fields, "rise", h.rise);
  number(fields, "fall", h.fall);
  number(fields, "jitter_percent", h.jitter_percent);
  word(fields, "initial", h.initial);
  word(fields, "to", h.to);
  number(fields, "port", h.port);
  text(fields, "path", h.path);
  text(fields, "host", h.host);
  word(fields, "method", h.method);
  read_status(fields, h.expect_status);
  text(fields, "expect_body", h.expect_body);
  bool verify = false;
  fields.flag("tls_verify", verify);
  if (fields.find("tls_verify") != nullptr) h.tls_verify = verify;
  read_bytes(fields, "payload", h.payload);
  read_bytes(fields, "expect", h.expect);
  text(fields, "dns_name", h.dns_name);
  word(fields, "dns_type", h.dns_type);
  read_passive(fields, findings, h.passive);
  return h;
}

void write_health(const HealthConfig& h, Json& parent) {
  HealthConfig no_check;
  no_check.type = HealthType::none;
  no_check.passive = PassiveHealth{};
  if (h == no_check) {
    parent["health"] = false;
    return;
  }
  Json out = Json::object();
  if (h.type) out["type"] = to_string(*h.type);
  if (h.interval_ms) out["interval_ms"] = *h.interval_ms;
  if (h.timeout_ms) out["timeout_ms"] = *h.timeout_ms;
  if (h.rise) out["rise"] = *h.rise;
  if (h.fall) out["fall"] = *h.fall;
  if (h.jitter_percent) out["jitter_percent"] = *h.jitter_percent;
  if (h.initial) out["initial"] = to_string(*h.initial);
  if (h.to) out["to"] = to_string(*h.to);
  if (h.port) out["port"] = *h.port;
  if (h.path) out["path"] = *h.path;
  if (h.host) out["host"] = *h.host;
  if (h.method) out["method"] = to_string(*h.method);
  if (h.expect_status) {
    out["expect_status"] = Json::array();
    for (const StatusRange& r : *h.expect_status)
      out["expect_status"].push_back(r.low == r.high ? Json(r.low)
                                                     : Json(fmt::format("{}-{}", r.low, r.high)));
  }
  if (h.expect_body) out["expect_body"] = *h.expect_body;
  if (h.tls_verify) out["tls_verify"] = *h.tls_verify;
  write_bytes("payload", h.payload, out);
  write_bytes("expect", h.expect, out);
  if (h.dns_name) out["dns_name"] = *h.dns_name;
  for (const Word& type : kDnsTypeWordList) {
    if (h.dns_type && type.value == *h.dns_type) out["dns_type"] = type.text;
  }
  write_passive(h.passive, out);
  if (!out.empty()) parent["health"] = std::move(out);
}

namespace {

constexpr const char* kSilentToVip =
    "a backend without the VIP is silent, too: a check of type udp to vip needs \"expect\" (\"\": any "
    "answer)";

}  // namespace

void check_health_defaults(const HealthConfig& h, const ValidationSink& sink) {
  check_values(h, "/defaults/health", sink);
  // Services that write nothing of their own are not looked at one by one.
  if (h.type == HealthType::udp && h.to == HealthTo::vip && !h.expect)
    sink.report_at("/defaults/health/to", kSilentToVip);
}

void check_health(const HealthConfig& written, const HealthConfig& in_force, bool port_known,
                  const std::string& parent, const ValidationSink& sink) {
  const std::string at = parent + "/health";
  if (written == HealthConfig{} || !sink.usable(at)) return;
  check_values(written, at, sink);
  if (!sink.usable(at + "/type")) return;
  if (!in_force.type && !in_force.passive) {
    return sink.report_at(at + "/type", "missing, here and in what it inherits from: tcp, http, ... or none");
  }
  const HealthSettings all = settle(in_force);
  if (all.type == HealthType::none) {
    if (written.to == HealthTo::vip) sink.report_at(at + "/to", "means nothing where nothing is asked");
    return;
  }
  for (const OwnKey& own : own_keys(written)) {
    if (!own.written || std::find(own.types.begin(), own.types.end(), all.type) != own.types.end()) continue;
    sink.report_at(at + "/" + own.key, fmt::format("means nothing to a check of type {}, only to {}",
                                                   to_string(all.type), names_of(own.types)));
  }
  if (written.to == HealthTo::vip && !can_ask_vip(all.type)) {
    sink.report_at(
        at + "/to",
        fmt::format("vip is asked by single packets, which is not enough for {}: take type tcp, udp, icmp "
                    "or dns, or ask the backend",
                    to_string(all.type)));
  }
  if (all.to == HealthTo::vip && all.type == HealthType::udp && !all.expect)
    sink.report_at(at + "/to", kSilentToVip);
  if (all.timeout_ms > all.interval_ms) {
    sink.report_at(at + (written.timeout_ms ? "/timeout_ms" : "/interval_ms"),
                   fmt::format("a timeout of {} ms is longer than the interval, {} ms: checks would overlap",
                               all.timeout_ms, all.interval_ms));
  }
  if (all.type == HealthType::dns && all.dns_name.empty())
    sink.report_at(at + "/dns_name", "missing; a check of type dns asks for a name");
  if (all.method == HttpMethod::head && !all.expect_body.empty())
    sink.report_at(at + "/method", "HEAD is answered without a body, and \"expect_body\" wants one");
  if (!port_known && all.port == 0 && all.type != HealthType::icmp)
    sink.report_at(at + "/port", "missing: the service takes any port, so the check has to say which");
}

void check_to(const HealthConfig& written, bool translates, const std::string& parent,
              const ValidationSink& sink) {
  if (written.to != HealthTo::vip || !translates) return;
  sink.report_at(
      parent + "/health/to",
      "modes dnat and nat send to the backend's own address, as its checks do: there is no VIP to ask");
}

void check_passive(const HealthConfig& written, bool translates, const std::string& parent,
                   const ValidationSink& sink) {
  if (!written.passive || written.passive->fall == 0 || translates) return;
  sink.report_at(
      parent + "/health/passive",
      "watches TCP connections in modes dnat and nat: of others the replies do not come through here");
}

}  // namespace xebec
