// SPDX-License-Identifier: BSD-2-Clause
// Which fields of an answer become which columns.
#include "control/cli_render.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "control/cli_table.h"
#include "dataplane/drop_reason.h"

namespace xebec {
namespace {

/// A value as text: strings bare, null as "-", lists with commas.
std::string plain(const CliJson& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return value.get<std::string>().empty() ? "-" : value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_array()) {
    std::string out;
    for (const CliJson& item : value) out += (out.empty() ? "" : ",") + plain(item);
    return out.empty() ? "-" : out;
  }
  return value.dump(-1, ' ', false, CliJson::error_handler_t::replace);
}

/// Programs read an empty field more easily than a "-".
std::string exact(const CliJson& value) {
  const std::string text = plain(value);
  return text == "-" ? "" : text;
}

using Format = Cell (*)(const CliJson& value);

Cell as_text(const CliJson& value) {
  return {plain(value), exact(value)};
}
Cell as_count(const CliJson& value) {
  return {value.is_number_unsigned() ? human_count(value.get<uint64_t>()) : plain(value), exact(value)};
}
Cell as_bytes(const CliJson& value) {
  return {value.is_number_unsigned() ? human_bytes(value.get<uint64_t>()) : plain(value), exact(value)};
}
Cell as_share(const CliJson& value) {
  return {value.is_number() ? fmt::format("{:.2f} %", value.get<double>() * 100) : plain(value),
          exact(value)};
}
Cell as_port(const CliJson& value) {
  const bool any = value.is_number_unsigned() && value.get<uint64_t>() == 0;
  return any ? Cell{"any", "any"} : as_text(value);
}
/// yes is good.
Cell as_good(const CliJson& value) {
  Cell cell = as_text(value);
  if (value.is_boolean()) cell.style = value.get<bool>() ? Style::good : Style::bad;
  return cell;
}
/// Anything but 0 wants attention.
Cell as_fault(const CliJson& value) {
  Cell cell = as_count(value);
  if (value.is_number() && value != 0) cell.style = Style::bad;
  return cell;
}

Cell as_health(const CliJson& value) {
  Cell cell = as_text(value);
  if (value == "up" || value == "good") cell.style = Style::good;
  if (value == "down" || value == "bad" || value == "not_run") cell.style = Style::bad;
  return cell;
}

/// A column and where its cells come from: a path into the row, or a function of the row.
struct Field {
  Column column;
  std::string path;
  Format format = as_text;
  std::function<Cell(const CliJson& row)> make{};
};

Field text(std::string title, std::string path) {
  return {{std::move(title)}, std::move(path)};
}
Field number(std::string title, std::string path, Format format = as_text) {
  return {{std::move(title), true}, std::move(path), format};
}
Field styled(std::string title, std::string path, Format format) {
  return {{std::move(title)}, std::move(path), format};
}
Field only_tsv(std::string title, std::string path, Format format = as_text) {
  return {{std::move(title), false, Column::Where::tsv}, std::move(path), format};
}
Field only_table(std::string title, bool right, std::function<Cell(const CliJson&)> make) {
  return {{std::move(title), right, Column::Where::table}, "", as_text, std::move(make)};
}

std::string table_of(const std::vector<Field>& fields, const CliJson& rows, RenderOptions options) {
  std::vector<Column> columns;
  for (const Field& field : fields) columns.push_back(field.column);
  TextTable table(std::move(columns));
  if (rows.is_array()) {
    for (const CliJson& row : rows) {
      std::vector<Cell> cells;
      for (const Field& field : fields) {
        cells.push_back(field.make ? field.make(row) : field.format(value_at(row, field.path)));
      }
      table.add(std::move(cells));
    }
  }
  if (options.tsv) return table.tsv();
  return options.statistics ? table.aligned_exact(options.colour) : table.aligned(options.colour);
}

std::string endpoint_of(const CliJson& service) {
  const std::string vip = plain(value_at(service, "vip"));
  const bool six = vip.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}/{}", six ? "[" : "", vip, six ? "]" : "",
                     as_port(value_at(service, "port")).shown, plain(value_at(service, "protocol")));
}

/// "2/3", bad where some are missing.
Cell usable_of_total(const CliJson& row, const std::string& part, const std::string& whole) {
  const CliJson& some = value_at(row, part);
  const CliJson& all = value_at(row, whole);
  return {plain(some) + "/" + plain(all), "", some == all ? Style::plain : Style::bad};
}

Cell next_hop_of(const CliJson& backend) {
  const std::string state = plain(value_at(backend, "next_hop/state"));
  const std::string mac = plain(value_at(backend, "next_hop/mac"));
  const std::string interface = plain(value_at(backend, "next_hop/interface"));
  if (mac == "-") return {state, "", Style::bad};
  return {interface == "-" ? mac : fmt::format("{} {}", interface, mac), ""};
}

std::vector<Field> service_fields() {
  return {text("name", "name"),
          only_table("address", false,
                     [](const CliJson& row) {
                       return Cell{endpoint_of(row), ""};
                     }),
          only_tsv("vip", "vip"),
          only_tsv("port", "port", as_port),
          only_tsv("protocol", "protocol"),
          text("mode", "mode"),
          only_tsv("algorithm", "algorithm"),
          only_tsv("table_size", "table_size"),
          only_tsv("stateless", "stateless"),
          only_table(
              "backends", true,
              [](const CliJson& row) { return usable_of_total(row, "backends/usable", "backends/total"); }),
          only_tsv("backends_usable", "backends/usable"),
          only_tsv("backends_total", "backends/total"),
          number("packets", "packets", as_count),
          number("bytes", "bytes", as_bytes),
          number("new_flows", "new_flows", as_count),
          number("flows", "flows", as_count),
          only_tsv("open_flows", "open_flows"),
          text("digest", "digest")};
}

/// "ready", "drain: 12 left, 34 s", "removed: 12 left, 34 s"
Cell admin_of(const CliJson& row) {
  const bool removed = value_at(row, "removed") == true;
  std::string out = removed ? "removed" : plain(value_at(row, "admin"));
  const CliJson& drain = value_at(row, "drain");
  if (!drain.is_object()) return {out, ""};
  if (value_at(drain, "phase") == "drained") return {"drained", ""};
  out += fmt::format(": {} left", as_count(value_at(drain, "flows")).shown);
  const CliJson& left = value_at(drain, "remaining_ms");
  if (left.is_number()) out += fmt::format(", {} s", (left.get<int64_t>() + 999) / 1000);
  return {out, ""};
}

/// "100", "37.5/100" while it starts slowly, or for it answers slowly
Cell weight_of(const CliJson& row) {
  const CliJson& weight = value_at(row, "weight");
  const CliJson& now = value_at(row, "effective_weight");
  const bool starting = now.is_number() && weight.is_number() && now > 0 && now < weight;
  return {starting ? plain(now) + "/" + plain(weight) : plain(weight), ""};
}

std::vector<Field> backend_fields(bool with_service) {
  std::vector<Field> fields;
  if (with_service) fields.push_back(text("service", "service"));
  const std::vector<Field> rest{text("address", "address"),
                                only_table("weight", true, weight_of),
                                only_tsv("weight", "weight"),
                                only_tsv("effective_weight", "effective_weight"),
                                only_table("admin", false, admin_of),
                                only_tsv("admin", "admin"),
                                only_tsv("removed", "removed"),
                                styled("health", "health/state", as_health),
                                text("mode", "mode"),
                                styled("usable", "usable", as_good),
                                number("share", "share", as_share),
                                only_tsv("response_ms", "response_ms"),
                                only_table("next_hop", false, next_hop_of),
                                only_tsv("next_hop_state", "next_hop/state"),
                                only_tsv("next_hop_mac", "next_hop/mac"),
                                only_tsv("next_hop_interface", "next_hop/interface"),
                                only_tsv("next_hop_gateway", "next_hop/gateway"),
                                number("packets", "packets", as_count),
                                number("bytes", "bytes", as_bytes),
                                number("new_flows", "new_flows", as_count),
                                number("flows", "flows", as_count),
                                only_tsv("open_flows", "open_flows"),
                                only_tsv("health_reason", "health/reason"),
                                only_tsv("drain_phase", "drain/phase"),
                                only_tsv("drain_flows", "drain/flows"),
                                only_tsv("drain_remaining_ms", "drain/remaining_ms"),
                                text("why", "why")};
  fields.insert(fields.end(), rest.begin(), rest.end());
  return fields;
}

/// Lines of a name and a value, the values aligned.
class Properties {
 public:
  void add(std::string name, std::string value) { lines_.emplace_back(std::move(name), printable(value)); }
  std::string text(std::string_view indent) const {
    std::size_t width = 0;
    for (const auto& [name, value] : lines_) width = std::max(width, name.size());
    std::string out;
    for (const auto& [name, value] : lines_) out += fmt::format("{}{:<{}}  {}\n", indent, name, width, value);
    return out;
  }

 private:
  std::vector<std::pair<std::string, std::string>> lines_;
};

std::string shown_at(const CliJson& answer, const std::string& path, Format format) {
  return format(value_at(answer, path)).shown;
}

const CliJson& meaning_of(const std::string& reason) {
  static const CliJson meanings = [] {
    CliJson object = CliJson::object();
    for (const DropReasonText& entry : kDropReasons)
      object[std::string(entry.name)] = std::string(entry.text);
    return object;
  }();
  return value_at(meanings, reason);
}

/// {"name": count} as rows, the largest first.
CliJson drop_rows(const CliJson& drops) {
  std::vector<CliJson> rows;
  if (drops.is_object()) {
    for (const auto& item : drops.items()) {
      rows.push_back(
          {{"reason", item.key()}, {"packets", item.value()}, {"meaning", meaning_of(item.key())}});
    }
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const CliJson& a, const CliJson& b) { return a["packets"] > b["packets"]; });
  return rows;
}

}  // namespace

std::string flattened_tsv(const std::string& prefix, const CliJson& value) {
  if (!value.is_object()) return fmt::format("{}\t{}\n", printable(prefix), printable(exact(value)));
  std::string out;
  for (const auto& item : value.items()) {
    out += flattened_tsv(prefix.empty() ? item.key() : prefix + "." + item.key(), item.value());
  }
  return out;
}

std::string render_status(const CliJson& answer, RenderOptions options) {
  if (options.tsv) return "field\tvalue\n" + flattened_tsv("", answer);
  const CliJson& healthy = value_at(answer, "healthy");
  const bool good = healthy.is_boolean() && healthy.get<bool>();
  const CliJson& uptime = value_at(answer, "uptime_seconds");
  const std::string up = uptime.is_number() ? human_seconds(uptime.get<uint64_t>()) : "-";
  const char* colour = good ? "\x1b[32m" : "\x1b[31m";
  std::string out = fmt::format("{}{}{}  {}: xebecd {}, pid {}, up {}\n", options.colour ? colour : "",
                                good ? "healthy" : "DEGRADED", options.colour ? "\x1b[0m" : "",
                                printable(plain(value_at(answer, "instance"))),
                                plain(value_at(answer, "version")), plain(value_at(answer, "pid")), up);
  if (const CliJson& problems = value_at(answer, "problems"); problems.is_array()) {
    for (const CliJson& problem : problems) out += "  - " + printable(plain(problem)) + "\n";
  }
  if (const CliJson& warnings = value_at(answer, "warnings"); warnings.is_array()) {
    for (const CliJson& warning : warnings) out += "  warning: " + printable(plain(warning)) + "\n";
  }
  const CliJson& workers = value_at(answer, "workers");
  const std::string loop = plain(value_at(answer, "loop"));
  Properties properties;
  properties.add("interfaces", plain(value_at(answer, "interfaces")));
  properties.add("workers", workers.is_array() ? std::to_string(workers.size()) : plain(workers));
  properties.add("services", fmt::format("{}, {} degraded", plain(value_at(answer, "services/total")),
                                         plain(value_at(answer, "services/degraded"))));
  properties.add("backends", fmt::format("{}, {} usable", plain(value_at(answer, "backends/total")),
                                         plain(value_at(answer, "backends/usable"))));
  properties.add("generation", plain(value_at(answer, "generation")));
  properties.add("event loop", loop);
  properties.add("packets", fmt::format("{} received ({}), {} forwarded, {} passed, {} replied, {} dropped",
                                        shown_at(answer, "packets/received", as_count),
                                        shown_at(answer, "packets/received_bytes", as_bytes),
                                        shown_at(answer, "packets/forwarded", as_count),
                                        shown_at(answer, "packets/passed", as_count),
                                        shown_at(answer, "packets/replied", as_count),
                                        shown_at(answer, "packets/dropped", as_count)));
  return out + properties.text("");
}

std::string render_services(const CliJson& rows, RenderOptions options) {
  return table_of(service_fields(), rows, options);
}

std::string render_service(const CliJson& answer, RenderOptions options) {
  const CliJson& service = value_at(answer, "service");
  if (options.tsv) return render_services(CliJson::array({service}), options);
  Properties properties;
  properties.add("mode", plain(value_at(service, "mode")));
  properties.add("algorithm", plain(value_at(service, "algorithm")));
  properties.add("lookup array", fmt::format("{} slots, digest {}", plain(value_at(service, "table_size")),
                                             plain(value_at(service, "digest"))));
  properties.add("stateless", plain(value_at(service, "stateless")));
  properties.add("backends", fmt::format("{}, {} usable", plain(value_at(service, "backends/total")),
                                         plain(value_at(service, "backends/usable"))));
  properties.add("traffic",
                 fmt::format("{} packets, {}, {} new flows", shown_at(service, "packets", as_count),
                             shown_at(service, "bytes", as_bytes), shown_at(service, "new_flows", as_count)));
  return fmt::format("{}  {}\n{}\n{}", printable(plain(value_at(service, "name"))),
                     printable(endpoint_of(service)), properties.text("  "),
                     table_of(backend_fields(false), value_at(answer, "backend_list"), options));
}

std::string render_backends(const CliJson& rows, RenderOptions options) {
  return table_of(backend_fields(true), rows, options);
}

std::string render_interfaces(const CliJson& rows, RenderOptions options) {
  CliJson queues = CliJson::array();
  for (const CliJson& interface : rows.is_array() ? rows : CliJson::array()) {
    const CliJson& list = value_at(interface, "queues");
    for (const CliJson& queue : list.is_array() ? list : CliJson::array()) {
      queues.push_back({{"interface", interface}, {"queue", queue}});
    }
  }
  std::vector<Field> of_queue{text("interface", "interface/name"),
                              number("queue", "queue/queue"),
                              number("worker", "queue/worker"),
                              text("bind", "queue/bind"),
                              text("transmit", "queue/transmit"),
                              text("poll", "queue/poll"),
                              number("napi_id", "queue/napi_id"),
                              number("rx_dropped", "queue/rx_dropped", as_fault),
                              number("rx_ring_full", "queue/rx_ring_full", as_fault),
                              number("fill_ring_empty", "queue/fill_ring_empty", as_fault),
                              number("tx_invalid", "queue/tx_invalid", as_fault),
                              text("self_test", "queue/self_test"),
                              number("transmit_stalls", "queue/transmit_stalls", as_fault),
                              text("poll_because", "queue/poll_why"),
                              only_tsv("ifindex", "interface/ifindex"),
                              only_tsv("driver", "interface/driver"),
                              only_tsv("mac", "interface/mac"),
                              only_tsv("mtu", "interface/mtu"),
                              only_tsv("up", "interface/up"),
                              only_tsv("carrier", "interface/carrier"),
                              only_tsv("xdp", "interface/xdp"),
                              only_tsv("attached_again", "interface/attached_again"),
                              only_tsv("transmit_why", "interface/transmit_why"),
                              only_tsv("nat_ports", "interface/nat_ports/summary"),
                              only_tsv("transmitted", "queue/transmitted"),
                              only_tsv("injected", "queue/injected"),
                              only_tsv("transmit_calls", "queue/transmit_calls")};
  if (options.tsv) return table_of(of_queue, queues, options);
  std::string out = table_of(
      {text("name", "name"), text("driver", "driver"), text("mac", "mac"), number("mtu", "mtu"),
       styled("up", "up", as_good), styled("carrier", "carrier", as_good), text("xdp", "xdp"),
       number("steered", "shim/steered", as_count), number("no_socket", "shim/no_socket", as_fault),
       number("stale", "shim/stale", as_fault), number("denied", "shim/denied", as_count),
       number("passed", "shim/passed", as_count), number("attached_again", "attached_again", as_count),
       text("not_native_because", "native_refusal"), text("transmit_because", "transmit_why"),
       text("nat_ports", "nat_ports/summary")},
      rows, options);
  return out + "\n" + table_of(of_queue, queues, options);
}

std::string render_workers(const CliJson& rows, RenderOptions options) {
  return table_of(
      {number("worker", "worker"), number("cpu", "cpu"), text("ports", "ports"), text("asleep", "asleep"),
       number("received", "packets/received", as_count), number("forwarded", "packets/forwarded", as_count),
       number("dropped", "packets/dropped", as_count),
       only_table("flows", true,
                  [](const CliJson& row) {
                    return Cell{shown_at(row, "flows/used", as_count) + "/" +
                                    shown_at(row, "flows/capacity", as_count),
                                ""};
                  }),
       only_tsv("flows_used", "flows/used"), only_tsv("flows_capacity", "flows/capacity"),
       number("flows_refused", "flows/refused", as_fault), number("frames_free", "frames/free"),
       number("frames_total", "frames/total"), number("frames_lost", "frames/lost", as_fault),
       number("generation", "generation")},
      rows, options);
}

std::string render_checks(const CliJson& rows, RenderOptions options) {
  return table_of(
      {text("service", "service"), text("address", "address"), styled("state", "state", as_health),
       text("type", "type"), text("target", "target"), styled("last", "last", as_health),
       number("duration_ms", "duration_ms"), number("good_in_a_row", "good_in_a_row"), number("rise", "rise"),
       number("bad_in_a_row", "bad_in_a_row"), number("fall", "fall"), number("checks", "checks", as_count),
       number("failures", "failures", as_count), only_tsv("not_run", "not_run"),
       only_tsv("interval_ms", "interval_ms"), only_tsv("timeout_ms", "timeout_ms"),
       only_tsv("since_seconds", "since_seconds"), text("reason", "reason")},
      rows, options);
}

std::string render_transitions(const CliJson& rows, RenderOptions options) {
  return table_of({text("time", "time"), text("service", "service"), text("address", "address"),
                   styled("from", "from", as_health), styled("to", "to", as_health),
                   number("duration_ms", "duration_ms"), text("reason", "reason")},
                  rows, options);
}

std::string render_check(const CliJson& answer, RenderOptions options) {
  return table_of(
      {text("service", "service"), text("address", "address"), text("type", "type"), text("target", "target"),
       styled("result", "result", as_health), number("duration_ms", "duration_ms"), text("reason", "reason")},
      CliJson::array({answer}), options);
}

std::string render_which(const CliJson& answer, RenderOptions options) {
  if (options.tsv) {
    return table_of({text("service", "service"), text("source", "source"), text("destination", "destination"),
                     text("hash", "hash"), text("slot", "slot"), text("backend", "backend")},
                    CliJson::array({answer}), options);
  }
  const CliJson& backend = value_at(answer, "backend");
  const CliJson& dependence = value_at(answer, "depends_on");
  const std::string none =
      dependence.is_null() ? "no backend" : fmt::format("depends on {}", plain(dependence));
  return printable(fmt::format("{} -> {} -> {}  ({}, slot {}, hash {})", plain(value_at(answer, "source")),
                               plain(value_at(answer, "destination")),
                               backend.is_null() ? none : plain(backend), plain(value_at(answer, "service")),
                               plain(value_at(answer, "slot")), plain(value_at(answer, "hash")))) +
         "\n";
}

std::string render_stats(const CliJson& answer, RenderOptions options) {
  const CliJson& packets = value_at(answer, "packets");
  if (options.tsv) return "field\tvalue\n" + flattened_tsv("", packets);
  Properties sums;
  sums.add("received", fmt::format("{} packets, {}", shown_at(packets, "received", as_count),
                                   shown_at(packets, "received_bytes", as_bytes)));
  sums.add("forwarded", shown_at(packets, "forwarded", as_count));
  sums.add("passed", shown_at(packets, "passed", as_count));
  sums.add("replied", shown_at(packets, "replied", as_count));
  sums.add("dropped", shown_at(packets, "dropped", as_count));
  sums.add("held", shown_at(packets, "held", as_count));
  sums.add("ICMP errors", fmt::format("{} too big, {} time exceeded, {} port unreachable",
                                      shown_at(packets, "icmp_errors/too_big", as_count),
                                      shown_at(packets, "icmp_errors/time_exceeded", as_count),
                                      shown_at(packets, "icmp_errors/port_unreachable", as_count)));
  sums.add("TCP resets", shown_at(packets, "resets", as_count));
  sums.add("MSS clamped", shown_at(packets, "mss_clamped", as_count));
  sums.add("checksums completed", shown_at(packets, "checksums_completed", as_count));
  sums.add("transmit errors", shown_at(packets, "transmit_errors", as_count));
  std::string out = sums.text("");
  const CliJson& drops = value_at(packets, "drops");
  if (drops.is_object() && !drops.empty()) out += "\n" + render_drops(drops, options);
  return out + "\n" + render_services(value_at(answer, "services"), options);
}

std::string render_stats_by_backend(const CliJson& rows, RenderOptions options) {
  return table_of(
      {text("service", "service"), text("address", "address"), number("packets", "packets", as_count),
       number("bytes", "bytes", as_bytes), number("new_flows", "new_flows", as_count),
       number("flows", "flows", as_count), only_tsv("open_flows", "open_flows")},
      rows, options);
}

std::string render_stats_by_worker(const CliJson& rows, RenderOptions options) {
  return table_of(
      {number("worker", "worker"), number("received", "packets/received", as_count),
       number("received_bytes", "packets/received_bytes", as_bytes),
       number("forwarded", "packets/forwarded", as_count), number("passed", "packets/passed", as_count),
       number("replied", "packets/replied", as_count), number("dropped", "packets/dropped", as_count),
       number("held", "packets/held", as_count), number("mss_clamped", "packets/mss_clamped", as_count),
       number("checksums_completed", "packets/checksums_completed", as_count),
       number("transmit_errors", "packets/transmit_errors", as_fault)},
      rows, options);
}

std::string render_drops(const CliJson& drops, RenderOptions options) {
  return table_of(
      {text("reason", "reason"), number("packets", "packets", as_count), text("meaning", "meaning")},
      drop_rows(drops), options);
}

std::string render_diff(const CliJson& diff, RenderOptions options) {
  if (options.tsv)
    return table_of({text("op", "op"), text("path", "path"), text("from", "from"), text("to", "to")}, diff,
                    options);
  std::string out;
  for (const CliJson& change : diff.is_array() ? diff : CliJson::array()) {
    const std::string op = plain(value_at(change, "op"));
    const std::string path = printable(plain(value_at(change, "path")));
    const std::string from = printable(plain(value_at(change, "from")));
    const std::string to = printable(plain(value_at(change, "to")));
    std::string line = fmt::format("~ {}: {} -> {}", path, from, to);
    if (op == "add") line = to == "-" ? fmt::format("+ {}", path) : fmt::format("+ {}: {}", path, to);
    if (op == "remove") line = fmt::format("- {}", path);
    const char* colour = op == "add" ? "\x1b[32m" : op == "remove" ? "\x1b[31m" : "\x1b[33m";
    out += options.colour ? fmt::format("{}{}\x1b[0m\n", colour, line) : line + "\n";
  }
  return out;
}

}  // namespace xebec
