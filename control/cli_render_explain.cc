// SPDX-License-Identifier: BSD-2-Clause
// Explanations as people read them; docs/api.md has the fields, docs/explain.md reads one aloud.
#include <vector>

#include <fmt/format.h>

#include "control/cli_render.h"
#include "control/cli_table.h"

namespace xebec {
namespace {

/// As text; "-" for what is not there.
std::string word_at(const CliJson& object, const std::string& path) {
  const CliJson& value = value_at(object, path);
  if (value.is_null()) return "-";
  return printable(value.is_string() ? value.get<std::string>()
                                     : value.dump(-1, ' ', false, CliJson::error_handler_t::replace));
}

const CliJson& rows_at(const CliJson& object, const std::string& path) {
  static const CliJson kNone = CliJson::array();
  const CliJson& rows = value_at(object, path);
  return rows.is_array() ? rows : kNone;
}

std::string service_endpoint(const CliJson& service) {
  const std::string vip = word_at(service, "vip");
  const std::string port = value_at(service, "port") == 0 ? "any" : word_at(service, "port");
  return fmt::format("{}:{}/{}", vip.find(':') == std::string::npos ? vip : "[" + vip + "]", port,
                     word_at(service, "protocol"));
}

std::string line(std::string_view name, const std::string& text) {
  return fmt::format("{:<9}  {}\n", name, text);
}

/// What was looked for is in the title line already.
std::string render_nothing(const CliJson& answer) {
  std::string out = line("service", fmt::format("none at {}/{}: the packet is the host's own",
                                                word_at(answer, "destination"), word_at(answer, "protocol")));
  for (const CliJson& row : rows_at(answer, "nearest")) {
    std::string differs;
    for (const CliJson& what : rows_at(row, "differs"))
      differs += (differs.empty() ? "" : " and ") + (what.is_string() ? what.get<std::string>() : "?");
    out += line("nearest", fmt::format("{} at {}, another {}", word_at(row, "name"), service_endpoint(row),
                                       printable(differs)));
  }
  if (rows_at(answer, "nearest").empty()) out += line("nearest", "no service resembles it");
  return out;
}

std::string render_backend(const CliJson& answer) {
  const CliJson& backend = value_at(answer, "backend");
  if (backend.is_null()) return line("backend", "none");
  const CliJson& share = value_at(backend, "share");
  const std::string why = word_at(backend, "why");
  const std::string state = value_at(backend, "usable") == true ? "usable" : "not usable: " + why;
  return line("backend",
              fmt::format("{}, mode {}, {}, weight {}, {:.2f} % of the slots", word_at(backend, "address"),
                          word_at(backend, "mode"), state, word_at(backend, "weight"),
                          share.is_number() ? share.get<double>() * 100 : 0.0));
}

std::string render_way(const CliJson& answer) {
  const CliJson& hop = value_at(answer, "next_hop");
  std::string out;
  if (!hop.is_null()) {
    out += line("next hop",
                fmt::format("{} ({}) on {}, from {}, MTU {}", word_at(hop, "mac"), word_at(hop, "from"),
                            word_at(hop, "interface"), word_at(hop, "source_mac"), word_at(hop, "mtu")));
  }
  const CliJson& leaves = value_at(answer, "leaves");
  if (leaves.is_null()) return out;
  if (const CliJson& outer = value_at(leaves, "outer_source"); !outer.is_null()) {
    out += line("outer", fmt::format("{} -> {}, {} bytes more", word_at(leaves, "outer_source"),
                                     word_at(leaves, "outer_destination"), word_at(leaves, "overhead")));
  }
  return out +
         line("leaves", fmt::format("a frame of {} bytes as one of {}; the longest, {} bytes, as one of {}",
                                    word_at(leaves, "shortest_in"), word_at(leaves, "shortest_out"),
                                    word_at(leaves, "longest_in"), word_at(leaves, "longest_out")));
}

/// Of an algorithm whose pick no table tells.
std::string render_dependence(const CliJson& answer) {
  const std::string what = word_at(answer, "depends_on");
  if (what == "-") return {};
  const char* const reason = what == "turns"    ? "by whose turn it is"
                             : what == "chance" ? "by chance"
                                                : "by the flows that backends have";
  return line("picked",
              fmt::format("{}, {}: each worker's state decides, and the backend below is one it may be",
                          word_at(answer, "service/algorithm"), reason));
}

constexpr const char* kPacketKeys[] = {"packet", "verdict", "reason",     "service", "backend",
                                       "mode",   "flow",    "out_length", "worker"};

}  // namespace

std::string render_explain(const CliJson& answer, RenderOptions options) {
  if (options.tsv) return "field\tvalue\n" + flattened_tsv("", answer);
  std::string out = fmt::format("{} -> {}/{}: {}", word_at(answer, "source"), word_at(answer, "destination"),
                                word_at(answer, "protocol"), word_at(answer, "verdict"));
  if (!value_at(answer, "reason").is_null()) out += fmt::format(" ({})", word_at(answer, "reason"));
  out += '\n';
  const CliJson& service = value_at(answer, "service");
  if (service.is_null()) return out + render_nothing(answer);
  out += line("service", fmt::format("{} at {}, {}", word_at(service, "name"), service_endpoint(service),
                                     word_at(service, "match") == "any"     ? "any port"
                                     : word_at(service, "match") == "range" ? "a range"
                                                                            : "exactly this port"));
  if (const CliJson& hash = value_at(answer, "hash"); !hash.is_null()) {
    const bool slotted = !value_at(answer, "slot").is_null();
    out += line("hash", fmt::format("{} of the {}{}", word_at(hash, "value"), word_at(hash, "input"),
                                    slotted ? fmt::format(" -> slot {} of {}", word_at(answer, "slot/index"),
                                                          word_at(answer, "slot/of"))
                                            : ""));
  }
  out += render_dependence(answer);
  out += render_backend(answer);
  for (const CliJson& row : rows_at(answer, "not_usable"))
    out += line("not", fmt::format("{}: {}", word_at(row, "address"), word_at(row, "why")));
  out += render_way(answer);
  if (!value_at(answer, "second_chance").is_null()) {
    out += line("second",
                fmt::format("a connection from before the last change, unknown to its worker, goes to {}",
                            word_at(answer, "second_chance")));
  }
  return out;
}

std::string packet_title() {
  return fmt::format("{}\n", fmt::join(kPacketKeys, "\t"));
}

std::string render_packet(const CliJson& packet, RenderOptions options) {
  if (options.tsv) {
    std::vector<std::string> fields;
    for (const char* key : kPacketKeys) {
      const std::string text = word_at(packet, key);
      fields.push_back(text == "-" ? "" : text);
    }
    return fmt::format("{}\n", fmt::join(fields, "\t"));
  }
  std::string out = fmt::format("{:>6}  {:<8}", word_at(packet, "packet"), word_at(packet, "verdict"));
  if (!value_at(packet, "reason").is_null()) out += "  " + word_at(packet, "reason");
  if (!value_at(packet, "service").is_null()) out += "  " + word_at(packet, "service");
  if (!value_at(packet, "backend").is_null()) {
    out += fmt::format(" -> {} ({}, {})", word_at(packet, "backend"), word_at(packet, "mode"),
                       word_at(packet, "flow"));
  }
  if (!value_at(packet, "out_length").is_null())
    out += fmt::format("  {} bytes", word_at(packet, "out_length"));
  out.erase(out.find_last_not_of(' ') + 1);
  return out + "\n";
}

}  // namespace xebec
