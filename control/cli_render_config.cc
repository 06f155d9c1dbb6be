// SPDX-License-Identifier: BSD-2-Clause
// The life of a configuration, as people and programs read it.
#include <fmt/format.h>

#include "control/cli_render.h"
#include "control/cli_table.h"

namespace xebec {
namespace {

Cell text_cell(const CliJson& value) {
  if (value.is_string()) return {value.get<std::string>(), value.get<std::string>()};
  return value.is_null() ? Cell{"-", ""} : Cell{value.dump(), value.dump()};
}

Cell count_cell(const CliJson& value) {
  if (!value.is_number_unsigned()) return text_cell(value);
  return {human_count(value.get<uint64_t>()), value.dump()};
}

Cell share_cell(const CliJson& value) {
  if (!value.is_number()) return text_cell(value);
  const double share = value.get<double>();
  return {fmt::format("{:.2f} %", share * 100), value.dump(), share > 0 ? Style::bad : Style::plain};
}

std::string finished(const TextTable& table, RenderOptions options) {
  return options.tsv ? table.tsv() : table.aligned(options.colour);
}

/// "services/web/backends/10.0.0.1/weight 100 -> 50", and how many more.
std::string summary_of(const CliJson& row) {
  const CliJson& diff = value_at(row, "diff");
  if (!diff.is_array() || diff.empty()) return "";
  const CliJson& first = diff.front();
  const CliJson& op = value_at(first, "op");
  std::string out = op == "add" ? "+ " : op == "remove" ? "- " : "";
  out += text_cell(value_at(first, "path")).shown;
  if (op == "change")
    out += fmt::format(" {} -> {}", text_cell(value_at(first, "from")).shown,
                       text_cell(value_at(first, "to")).shown);
  const CliJson& changes = value_at(row, "changes");
  if (changes.is_number_unsigned() && changes.get<uint64_t>() > 1)
    out += fmt::format(" (and {} more)", changes.get<uint64_t>() - 1);
  return out;
}

}  // namespace

std::string render_impact(const CliJson& rows, RenderOptions options) {
  TextTable table({{"service"},
                   {"array_moved", true},
                   {"live_flows", true},
                   {"flows_moved", true},
                   {"flows_draining", true}});
  for (const CliJson& row : rows.is_array() ? rows : CliJson::array()) {
    table.add({text_cell(value_at(row, "service")), share_cell(value_at(row, "array_moved")),
               count_cell(value_at(row, "live_flows")), count_cell(value_at(row, "flows_moved")),
               count_cell(value_at(row, "flows_draining"))});
  }
  return finished(table, options);
}

std::string render_config_history(const CliJson& rows, RenderOptions options) {
  TextTable table({{"generation", true}, {"time"}, {"by"}, {"changes", true}, {"what"}});
  for (const CliJson& row : rows.is_array() ? rows : CliJson::array()) {
    const std::string what = summary_of(row);
    table.add({count_cell(value_at(row, "config_generation")), text_cell(value_at(row, "time")),
               text_cell(value_at(row, "by")), count_cell(value_at(row, "changes")), Cell{what, what}});
  }
  return finished(table, options);
}

}  // namespace xebec
