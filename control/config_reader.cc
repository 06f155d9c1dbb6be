// SPDX-License-Identifier: BSD-2-Clause
// The reading of a configuration: document -> Config, one function per kind of object.
#include "control/config_reader.h"
#include "control/config_quic.h"

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

#include "control/config_document.h"
#include "control/config_fields.h"
#include "control/config_health.h"
#include "control/config_keys.h"
#include "control/config_service_reader.h"
#include "control/config_validate.h"

namespace xebec {
namespace {

using Kind = JsonNode::Kind;

// ---- Interfaces ----
void add_cpu(ObjectReader& fields, uint64_t cpu, std::vector<uint32_t>& cpus) {
  const auto number = static_cast<uint32_t>(cpu);
  if (std::find(cpus.begin(), cpus.end(), number) != cpus.end()) {
    fields.report("cpus", fmt::format("CPU {} is in the list twice", cpu));
  } else {
    cpus.push_back(number);
  }
}

/// "2-5,7", the form of /sys/devices/system/cpu/online.
void read_cpu_text(ObjectReader& fields, std::string_view text, std::vector<uint32_t>& cpus) {
  if (text == "auto") return;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    const std::size_t dash = part.find('-');
    const auto first = decimal(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : decimal(part.substr(dash + 1));
    if (!first || !last || *first > *last) {
      return fields.report(
          "cpus", fmt::format("{} is not a list of CPUs such as \"2-5,7\", nor \"auto\"", quote(part)));
    }
    if (*last > kCpuRange.high) {
      return fields.report("cpus",
                           fmt::format("{} is out of range {}..{}", *last, kCpuRange.low, kCpuRange.high));
    }
    for (uint64_t cpu = *first; cpu <= *last && fields.clean("cpus"); ++cpu) add_cpu(fields, cpu, cpus);
    if (comma == std::string_view::npos) return;
    text.remove_prefix(comma + 1);
  }
}

void read_cpus(ObjectReader& fields, std::vector<uint32_t>& cpus) {
  const JsonNode* node = fields.find("cpus");
  if (node == nullptr) return;
  if (node->kind == Kind::string) return read_cpu_text(fields, node->text, cpus);
  if (node->kind != Kind::array)
    return fields.report_kind("cpus", "\"auto\", a string such as \"2-5,7\" or a list of numbers");
  for (const JsonNode& element : node->children) {
    if (element.kind != Kind::number || !element.whole || *element.whole > kCpuRange.high) {
      return fields.report(
          "cpus", fmt::format("its elements must be whole numbers in {}..{}", kCpuRange.low, kCpuRange.high));
    }
    add_cpu(fields, *element.whole, cpus);
  }
  if (node->children.empty()) fields.report("cpus", "an empty list; for every CPU write \"auto\"");
}

void read_queues(ObjectReader& fields, uint32_t& queues) {
  const JsonNode* node = fields.find("queues");
  if (node == nullptr) return;
  if (node->kind == Kind::number) return fields.number("queues", queues);
  if (node->kind != Kind::string) return fields.report_kind("queues", "a number or \"auto\"");
  if (node->text != "auto")
    fields.report("queues", fmt::format("{} is neither a number nor \"auto\"", quote(node->text)));
}

InterfaceConfig read_interface(const JsonNode& node, const std::string& pointer, Findings& findings) {
  InterfaceConfig interface;
  ObjectReader fields(node, pointer, kInterfaceRule, findings);
  fields.text("name", interface.name);
  read_queues(fields, interface.queues);
  read_cpus(fields, interface.cpus);
  fields.word("mode", interface.mode);
  fields.word("bind", interface.bind);
  fields.word("transmit", interface.transmit);
  fields.word("poll", interface.poll);
  fields.word("irq_affinity", interface.irq_affinity);
  fields.mac("local_mac", interface.local_mac);
  return interface;
}

// ---- The whole ----
void read_hash_seed(ObjectReader& fields, std::optional<std::array<uint8_t, 16>>& seed) {
  const JsonNode* node = fields.expect("hash_seed", Kind::string);
  if (node == nullptr) return;
  const std::string text = lower(node->text);
  std::array<uint8_t, 16> bytes{};
  // The message must not quote the value: it is a secret, and messages go to logs.
  if (text.size() != 2 * bytes.size() || text.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return fields.report("hash_seed", "must be 32 hex digits; `openssl rand -hex 16` prints such");
  }
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(digit(text[2 * i]) * 16 + digit(text[2 * i + 1]));
  }
  seed = bytes;
}

void read_defaults(const JsonNode& node, const std::string& pointer, Config& config, Findings& findings) {
  ObjectReader fields(node, pointer, kDefaultsRule, findings);
  fields.word("algorithm", config.defaults.algorithm);
  fields.word("mode", config.defaults.mode);
  fields.word("fail", config.defaults.fail);
  fields.word("on_down", config.defaults.on_down);
  fields.number("drain_ms", config.defaults.drain_ms);
  config.defaults.health = read_health(fields, findings);
  uint32_t table_size = config.defaults.table_size;
  fields.number("table_size", table_size);
  if (const std::string fault = prime_fault(table_size); fault.empty()) {
    config.defaults.table_size = table_size;
  } else {
    fields.report("table_size",
                  fault);  // once, here, and not again for every service that would have taken it
  }
  if (const auto timeouts = read_timeouts(fields, config.defaults.timeouts, findings))
    config.defaults.timeouts = *timeouts;
}

void read_flow_table(const JsonNode& node, const std::string& pointer, FlowTableConfig& flows,
                     Findings& findings) {
  ObjectReader fields(node, pointer, kFlowTableRule, findings);
  fields.number("capacity", flows.capacity);
  fields.number("max_inserts_per_s", flows.max_inserts_per_s);
}

/// "10000-32767"
void read_nat_ports(ObjectReader& fields, NatTableConfig& table) {
  const JsonNode* node = fields.expect("ports", Kind::string);
  if (node == nullptr) return;
  const std::string_view text = node->text;
  const std::size_t dash = text.find('-');
  const auto first = decimal(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? std::nullopt : decimal(text.substr(dash + 1));
  if (!first || !last || *first < kPortRange.low || *last > kPortRange.high || *first > *last) {
    return fields.report("ports",
                         fmt::format("{} is not a range of ports such as \"10000-32767\"", quote(text)));
  }
  table.first_port = static_cast<uint16_t>(*first);
  table.last_port = static_cast<uint16_t>(*last);
}

void read_nat_addresses(ObjectReader& fields, std::vector<IpAddress>& addresses) {
  const JsonNode* list = fields.expect("addresses", Kind::array);
  if (list == nullptr) return;
  for (const JsonNode& element : list->children) {
    const auto address = element.kind == Kind::string ? IpAddress::parse(element.text) : std::nullopt;
    if (!address) return fields.report("addresses", "its elements must be IPv4 or IPv6 addresses");
    addresses.push_back(*address);
  }
}

void read_nat(const JsonNode& node, NatConfig& nat, Findings& findings) {
  ObjectReader fields(node, "/nat", kNatRule, findings);
  read_nat_addresses(fields, nat.addresses);
  read_nat_ports(fields, nat.table);
  fields.number("capacity", nat.table.capacity);
  if (const JsonNode* timeouts = fields.expect("timeouts", Kind::object)) {
    ObjectReader times(*timeouts, "/nat/timeouts", kNatTimeoutRule, findings);
    times.number("tcp_established_s", nat.table.timeouts.tcp_established_s);
    times.number("tcp_transitory_s", nat.table.timeouts.tcp_transitory_s);
    times.number("udp_s", nat.table.timeouts.udp_s);
  }
}

void read_icmp(const JsonNode& node, const std::string& pointer, IcmpPolicy& icmp, Findings& findings) {
  ObjectReader fields(node, pointer, kIcmpRule, findings);
  fields.number("errors_per_s", icmp.errors_per_s);
  fields.number("echo_replies_per_s", icmp.echo_replies_per_s);
  fields.number("resets_per_s", icmp.resets_per_s);
}

/// Reads the whole document; what could not be read has its default, and is spoiled in `findings`.
Config read_top(const JsonNode& root, Findings& findings) {
  Config config;
  ObjectReader fields(root, "", kTopRule, findings);
  uint32_t version = 1;
  fields.number("version", version);
  fields.text("instance", config.instance);
  read_hash_seed(fields, config.hash_seed);
  fields.word("fallback_verdict", config.fallback_verdict);
  fields.word("hugepages", config.hugepages);
  if (const JsonNode* node = fields.find("defaults")) read_defaults(*node, "/defaults", config, findings);
  if (const JsonNode* node = fields.find("flow_table"))
    read_flow_table(*node, "/flow_table", config.flows, findings);
  if (const JsonNode* node = fields.find("tunnel"))
    config.tunnel = read_tunnel_node(*node, "/tunnel", findings);
  if (const JsonNode* node = fields.find("nat")) read_nat(*node, config.nat, findings);
  if (const JsonNode* node = fields.find("icmp")) read_icmp(*node, "/icmp", config.icmp, findings);
  if (const JsonNode* node = fields.find("control")) {
    ObjectReader control(*node, "/control", kControlRule, findings);
    control.text("socket", config.control.socket);
    control.text("http", config.control.http);
  }
  const auto each = [&](std::string_view key, auto&& read) {
    const JsonNode* list = fields.expect(key, Kind::array);
    for (std::size_t i = 0; list != nullptr && i < list->children.size(); ++i) {
      read(list->children[i], pointer_to(fields.pointer(key), i));
    }
  };
  each("interfaces", [&](const JsonNode& node, const std::string& at) {
    config.interfaces.push_back(read_interface(node, at, findings));
  });
  each("services", [&](const JsonNode& node, const std::string& at) {
    config.services.push_back(read_service_node(node, at, config.defaults, findings));
  });
  each("vips", [&](const JsonNode& node, const std::string& at) {
    config.services.push_back(read_vip_node(node, at, config.defaults, findings));
  });
  return config;
}

/// Where every value of a document stands.
void index_positions(const JsonNode& node, const std::string& pointer,
                     std::unordered_map<std::string, TextPosition>& positions) {
  positions.emplace(pointer, node.at);
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    const JsonNode& child = node.children[i];
    index_positions(child,
                    node.kind == Kind::object ? pointer_to(pointer, child.key) : pointer_to(pointer, i),
                    positions);
  }
}

/// The services of a Config are those of "services" and behind them those of "vips": turns a pointer into the
/// first list alone, as the checks have it, into one into the document.
class Origins {
 public:
  explicit Origins(std::size_t services) : services_(services) {}

  std::string operator()(const std::string& pointer) const {
    constexpr std::string_view kPrefix = "/services/";
    if (std::string_view(pointer).substr(0, kPrefix.size()) != kPrefix) return pointer;
    const std::size_t end = pointer.find('/', kPrefix.size());
    const auto index = decimal(std::string_view(pointer).substr(kPrefix.size(), end - kPrefix.size()));
    if (!index || *index < services_) return pointer;
    std::string rest = end == std::string::npos ? "" : pointer.substr(end);
    replace(rest, "/backends", "/reals");
    replace(rest, "/address", "/ip");
    return fmt::format("/vips/{}{}", *index - services_, rest);
  }

 private:
  static void replace(std::string& text, std::string_view from, std::string_view to) {
    if (const std::size_t at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
  }
  std::size_t services_;
};

/// Runs `check` with a sink that places what it reports in the document under `root`.
template <typename Check>
void check_document(const JsonNode& root, Findings& findings, const Origins& origins, Check&& check) {
  std::unordered_map<std::string, TextPosition> positions;
  const auto place = [&](std::string pointer) {
    if (positions.empty()) index_positions(root, "", positions);
    while (!pointer.empty() && positions.count(pointer) == 0) pointer.erase(pointer.rfind('/'));
    return positions.at(pointer);
  };
  check(ValidationSink{
      .report =
          [&](const std::string& pointer, std::string message) {
            const std::string shown = origins(pointer);
            findings.add(place(shown), shown, std::move(message));
          },
      .usable = [&](const std::string& pointer) { return findings.usable(origins(pointer)); },
      .shown = origins,
  });
}

}  // namespace

std::string Diagnostic::to_string() const {
  std::string out;
  if (!file.empty()) out += file + ":";
  if (line > 0) out += fmt::format("{}:{}:", line, column);
  if (!out.empty()) out += ' ';
  out += "error: ";
  if (!pointer.empty()) out += pointer + ": ";
  return out + message;
}

tl::expected<Config, Diagnostics> read_config(std::string_view text, const std::string& file,
                                              HiddenKeys hidden_keys) {
  const auto root = parse_document(text);
  if (!root)
    return tl::unexpected(
        Diagnostics{{file, root.error().at.line, root.error().at.column, "", root.error().message}});
  Findings findings(file);
  Config config = read_top(*root, findings);
  const auto vips = std::find_if(root->children.begin(), root->children.end(),
                                 [](const JsonNode& member) { return member.key == "vips"; });
  const bool has_vips = vips != root->children.end() && vips->kind == Kind::array;
  const std::size_t services = config.services.size() - (has_vips ? vips->children.size() : 0);
  check_document(*root, findings, Origins(services), [&](const ValidationSink& sink) {
    check_config(config, sink);
    if (hidden_keys == HiddenKeys::refused) check_hidden_keys(config, sink);
  });
  if (!findings.empty()) return tl::unexpected(findings.take());
  return config;
}

tl::expected<ServiceConfig, Diagnostics> read_service(const nlohmann::json& value, const Config& defaults) {
  const auto node = document_of(value);
  if (!node) return tl::unexpected(Diagnostics{{"", 0, 0, "", node.error()}});
  Findings findings("");
  ServiceConfig service = read_service_node(*node, "", defaults.defaults, findings);
  check_document(*node, findings, Origins(SIZE_MAX),
                 [&](const ValidationSink& sink) { check_service(service, "", sink); });
  if (!findings.empty()) return tl::unexpected(findings.take());
  return service;
}

tl::expected<BackendConfig, Diagnostics> read_backend(const nlohmann::json& value,
                                                      const ServiceConfig& service) {
  const auto node = document_of(value);
  if (!node) return tl::unexpected(Diagnostics{{"", 0, 0, "", node.error()}});
  Findings findings("");
  BackendConfig backend = read_backend_node(*node, "", service, findings);
  check_document(*node, findings, Origins(SIZE_MAX), [&](const ValidationSink& sink) {
    check_backend(backend, service, "/(service)", "", sink);
  });
  if (!findings.empty()) return tl::unexpected(findings.take());
  return backend;
}

Diagnostics validate(const Config& config) {
  Diagnostics diagnostics;
  const ValidationSink sink{
      .report =
          [&](const std::string& pointer, std::string message) {
            diagnostics.push_back({"", 0, 0, pointer, std::move(message)});
          },
      .usable = [](const std::string&) { return true; },
      .shown = [](const std::string& pointer) { return pointer; },
  };
  check_config(config, sink);
  check_hidden_keys(config, sink);
  return diagnostics;
}

}  // namespace xebec
