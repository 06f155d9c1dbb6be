// SPDX-License-Identifier: BSD-2-Clause
// The reading, writing and checking of what a configuration says of QUIC connection ids.
#include "control/config_quic.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "control/config_document.h"
#include "control/config_keys.h"

namespace xebec {
namespace {

using Kind = JsonNode::Kind;
using Json = nlohmann::ordered_json;

constexpr std::string_view kHidden = "hidden";

/// Pairs of hex digits; false if it is anything else.
bool read_hex(std::string_view text, uint8_t* bytes, std::size_t count) {
  const std::string digits = lower(text);
  if (digits.size() != 2 * count || digits.find_first_not_of("0123456789abcdef") != std::string::npos)
    return false;
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (std::size_t i = 0; i < count; ++i)
    bytes[i] = static_cast<uint8_t>(digit(digits[2 * i]) * 16 + digit(digits[2 * i + 1]));
  return true;
}

std::string hex(const uint8_t* bytes, std::size_t count) {
  return fmt::format("{:02x}", fmt::join(bytes, bytes + count, ""));
}

void read_key(ObjectReader& fields, QuicLbConfig& config) {
  const JsonNode* node = fields.expect("key", Kind::string);
  if (node == nullptr) return;
  config.key_hidden = node->text == kHidden;
  if (config.key_hidden) return;
  Aes128::Block key{};
  // The message must not quote the value: it is a secret, and messages go to logs.
  if (!read_hex(node->text, key.data(), key.size()))
    return fields.report("key",
                         "must be 32 hex digits, the AES-128 key that the servers encrypt their ids with");
  config.key = key;
}

QuicLbConfig read_lb_config(const JsonNode& node, const std::string& pointer, Findings& findings) {
  QuicLbConfig config;
  ObjectReader fields(node, pointer, kQuicLbRule, findings);
  fields.number("rotation", config.rotation);
  fields.number("server_id_length", config.server_id_length);
  fields.number("nonce_length", config.nonce_length);
  read_key(fields, config);
  return config;
}

/// Empty, and reported, if it is none.
ServerId read_server_id(ObjectReader& backend, const JsonNode& node) {
  ServerId id;
  const std::size_t length = node.text.size() / 2;
  if (node.kind == Kind::string && length >= kMinServerIdLength && length <= kMaxServerIdLength &&
      read_hex(node.text, id.bytes.data(), length)) {
    id.length = static_cast<uint8_t>(length);
    return id;
  }
  if (node.kind == Kind::string) {
    backend.report("server_id",
                   fmt::format("{} is not a server id: {} to {} bytes in hex digits, such as \"04d2\"",
                               quote(node.text), kMinServerIdLength, kMaxServerIdLength));
  } else {
    backend.report_kind("server_id", "hex digits in a string, such as \"04d2\", or a list of such");
  }
  return {};
}

std::string text_of(const ServerId& id) {
  return hex(id.bytes.data(), id.length);
}

void check_lb_configs(const QuicConfig& quic, const std::string& at, const ValidationSink& sink) {
  if (quic.configs.empty())
    return sink.report_at(at + "/configs", "missing or empty: without one no connection id can be read");
  std::map<uint8_t, std::size_t> seen;
  for (std::size_t i = 0; i < quic.configs.size(); ++i) {
    const QuicLbConfig& config = quic.configs[i];
    const std::string here = pointer_to(at + "/configs", i);
    if (!sink.usable(here)) continue;
    const auto [first, inserted] = seen.emplace(config.rotation, i);
    if (!inserted)
      sink.report_at(here + "/rotation", fmt::format("{} is that of {}, too", config.rotation,
                                                     sink.shown(pointer_to(at + "/configs", first->second))));
    const unsigned block = config.server_id_length + unsigned{config.nonce_length};
    if (sink.usable(here + "/server_id_length") && sink.usable(here + "/nonce_length") &&
        block > kMaxQuicBlock)
      sink.report_at(here + "/nonce_length",
                     fmt::format("server id and nonce are {} bytes together, and a connection id holds {}",
                                 block, kMaxQuicBlock));
  }
}

/// Empty if packets can carry it.
std::string id_fault(const QuicConfig& quic, const ServerId& id) {
  if (quic.format == QuicFormat::katran) {
    if (id.length > kKatranIdLength)
      return fmt::format("{} is longer than Katran's ids, {} bytes", quote(text_of(id)), kKatranIdLength);
    const bool none = std::all_of(id.bytes.begin(), id.bytes.end(), [](uint8_t byte) { return byte == 0; });
    return none ? "0 is no server of Katran's" : "";
  }
  std::string lengths;
  for (const QuicLbConfig& config : quic.configs) {
    if (config.server_id_length == id.length) return {};
    lengths += fmt::format("{}{}", lengths.empty() ? "" : ", ", config.server_id_length);
  }
  return fmt::format("{} has {} bytes, and \"server_id_length\" is {}", quote(text_of(id)), id.length,
                     lengths);
}

}  // namespace

QuicRoutes::Codes codes_of(const QuicConfig& quic) {
  QuicRoutes::Codes codes;
  for (const QuicLbConfig& config : quic.configs) {
    QuicLbCode& code = codes.at(config.rotation);
    code.server_id_length = config.server_id_length;
    code.nonce_length = config.nonce_length;
    if (config.key) code.cipher.emplace(*config.key);
  }
  return codes;
}

ServerId canonical(QuicFormat format, const ServerId& id) {
  if (format != QuicFormat::katran || id.length > kKatranIdLength) return id;
  ServerId number;
  number.length = kKatranIdLength;
  std::copy_n(id.bytes.begin(), id.length, number.bytes.begin() + (kKatranIdLength - id.length));
  return number;
}

std::optional<QuicConfig> read_quic(ObjectReader& service, Findings& findings) {
  const JsonNode* node = service.find("quic");
  if (node == nullptr) return std::nullopt;
  QuicConfig quic;
  const std::string at = service.pointer("quic");
  ObjectReader fields(*node, at, kQuicRule, findings);
  fields.word("format", quic.format);
  if (const JsonNode* configs = fields.expect("configs", Kind::array)) {
    for (std::size_t i = 0; i < configs->children.size(); ++i)
      quic.configs.push_back(read_lb_config(configs->children[i], pointer_to(at + "/configs", i), findings));
  }
  return quic;
}

std::vector<ServerId> read_server_ids(ObjectReader& backend) {
  const JsonNode* node = backend.find("server_id");
  std::vector<ServerId> ids;
  if (node == nullptr) return ids;
  if (node->kind != Kind::array) {
    ids.push_back(read_server_id(backend, *node));
  } else {
    for (const JsonNode& child : node->children) ids.push_back(read_server_id(backend, child));
  }
  std::erase_if(ids, [](const ServerId& id) { return id.length == 0; });  // reported
  return ids;
}

void write_quic(const std::optional<QuicConfig>& quic, bool with_secrets, Json& parent) {
  if (!quic) return;
  Json out;
  out["format"] = to_string(quic->format);
  if (quic->format == QuicFormat::quic_lb) out["configs"] = Json::array();
  for (const QuicLbConfig& config : quic->configs) {
    Json one{{"rotation", config.rotation},
             {"server_id_length", config.server_id_length},
             {"nonce_length", config.nonce_length}};
    if (config.key || config.key_hidden)
      one["key"] =
          with_secrets && config.key ? hex(config.key->data(), config.key->size()) : std::string(kHidden);
    out["configs"].push_back(std::move(one));
  }
  parent["quic"] = std::move(out);
}

void write_server_ids(const std::vector<ServerId>& ids, Json& parent) {
  if (ids.empty()) return;
  if (ids.size() == 1) {
    parent["server_id"] = text_of(ids[0]);
    return;
  }
  Json out = Json::array();
  for (const ServerId& id : ids) out.push_back(text_of(id));
  parent["server_id"] = std::move(out);
}

void check_quic(const ServiceConfig& service, const std::string& at, const ValidationSink& sink) {
  for (const char* key : {"/hash", "/quic", "/quic/format"}) {
    if (!sink.usable(at + key)) return;
  }
  const bool by_id = service.hash == HashInput::quic;
  if (by_id && !service.quic)
    sink.report_at(at + "/hash",
                   "\"quic\" needs the object \"quic\", which says how connection ids are to be read");
  if (!by_id && service.quic) sink.report_at(at + "/quic", "means nothing unless \"hash\" is \"quic\"");
  if (by_id && service.protocol != kProtoUdp && service.protocol != kProtoAny)
    sink.report_at(at + "/hash", "\"quic\" is of UDP, and the service is not");
  if (service.quic && service.quic->format == QuicFormat::quic_lb)
    check_lb_configs(*service.quic, at + "/quic", sink);
  if (service.quic && service.quic->format == QuicFormat::katran && !service.quic->configs.empty())
    sink.report_at(at + "/quic/configs", "are of format quic-lb; Katran's ids have nothing to configure");

  std::map<ServerId, std::string> seen;
  const auto check_one = [&](const BackendConfig& backend, const std::string& where) {
    const std::string here = where + "/server_id";
    if (!sink.usable(here) || backend.server_ids.empty()) return;
    if (!service.quic) return sink.report_at(here, "means nothing unless the service has \"quic\"");
    for (const ServerId& id : backend.server_ids) {
      if (std::string fault = id_fault(*service.quic, id); !fault.empty()) {
        sink.report_at(here, std::move(fault));
        continue;
      }
      const auto [first, inserted] = seen.emplace(canonical(service.quic->format, id), where);
      if (!inserted)
        sink.report_at(here,
                       fmt::format("{} is that of {}, too", quote(text_of(id)), sink.shown(first->second)));
    }
  };
  for (std::size_t i = 0; i < service.backends.size(); ++i)
    check_one(service.backends[i], pointer_to(at + "/backends", i));
  for (const BackendConfig& fallback : service.fallback) check_one(fallback, at + "/fallback");
}

void fill_hidden_keys(Config& wanted, const Config& current) {
  for (ServiceConfig& service : wanted.services) {
    if (!service.quic) continue;
    const auto same = std::find_if(current.services.begin(), current.services.end(),
                                   [&](const ServiceConfig& s) { return s.name == service.name; });
    if (same == current.services.end() || !same->quic) continue;
    for (QuicLbConfig& config : service.quic->configs) {
      if (!config.key_hidden) continue;
      for (const QuicLbConfig& known : same->quic->configs) {
        if (known.rotation != config.rotation || !known.key) continue;
        config.key = known.key;
        config.key_hidden = false;
      }
    }
  }
}

void check_hidden_keys(const Config& config, const ValidationSink& sink) {
  for (std::size_t i = 0; i < config.services.size(); ++i) {
    if (!config.services[i].quic) continue;
    const auto& configs = config.services[i].quic->configs;
    for (std::size_t k = 0; k < configs.size(); ++k) {
      if (!configs[k].key_hidden) continue;
      sink.report_at(
          pointer_to(pointer_to("/services", i) + "/quic/configs", k) + "/key",
          "\"hidden\" is how a key is shown, and here there is none that it could stand for: 32 hex digits");
    }
  }
}

}  // namespace xebec
