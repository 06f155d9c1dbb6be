// SPDX-License-Identifier: BSD-2-Clause
// What the workers remember: listed and counted piece by piece, forgotten by order.
#include <chrono>
#include <map>
#include <thread>

#include <fmt/format.h>

#include "control/cli_file.h"
#include "control/cli_render.h"
#include "control/cli_table.h"
#include "control/cli_verbs.h"

namespace xebec {
namespace {

using namespace std::chrono_literals;

std::string query_of(const FlowArguments& a) {
  std::string query;
  const auto add = [&](const char* key, const std::string& value) {
    if (!value.empty())
      query += fmt::format("{}{}={}", query.empty() ? "?" : "&", key, percent_encode(value));
  };
  add("service", a.service);
  add("src", a.source);
  add("backend", a.backend);
  if (a.all) add("all", "1");
  return query;
}

std::string with(const std::string& query, const std::string& more) {
  return query + (query.empty() ? "?" : "&") + more;
}

std::string text_of(const CliJson& value) {
  if (value.is_string()) return value.get<std::string>();
  return value.is_null() ? "" : value.dump();
}

std::string table_of_flows(const CliJson& rows, RenderOptions options) {
  constexpr const char* kColumns[] = {"source",  "destination", "protocol",          "state", "idle_seconds",
                                      "service", "backend",     "translated_source", "worker"};
  std::vector<Column> columns;
  for (const char* name : kColumns) columns.push_back({name, name == std::string_view("idle_seconds")});
  TextTable table(std::move(columns));
  for (const CliJson& row : rows) {
    std::vector<Cell> cells;
    for (const char* name : kColumns) {
      const std::string text = text_of(value_at(row, name));
      cells.push_back({text.empty() ? "-" : text, text});
    }
    table.add(std::move(cells));
  }
  return options.tsv ? table.tsv() : table.aligned(options.colour);
}

}  // namespace

VerbResult Verbs::list_flows(const FlowArguments& a) const {
  const std::string query = query_of(a);
  CliJson rows = CliJson::array();
  for (std::string cursor = "0-0"; !cursor.empty() && rows.size() < a.limit;) {
    const std::size_t left = std::min<std::size_t>(a.limit - rows.size(), 10'000);
    const auto answer =
        client_.request("GET", "/v1/flows" + with(query, fmt::format("limit={}&cursor={}", left, cursor)));
    if (!answer) return tl::unexpected(answer.error());
    const CliJson& some = value_at(answer->json, "flows");
    for (const CliJson& row : some.is_array() ? some : CliJson::array()) {
      if (rows.size() < a.limit) rows.push_back(row);
    }
    cursor = text_of(value_at(answer->json, "next"));
  }
  const Answer all{{}, {{"schema", "xebec.flow-list/1"}, {"flows", rows}}};
  print({all.json.dump(-1, ' ', false, CliJson::error_handler_t::replace), all.json},
        table_of_flows(rows, RenderOptions{options_.output == Output::tsv, colour_}));
  if (rows.size() == a.limit && options_.output != Output::json)
    narrate(fmt::format("the first {}; --limit N shows more", counted(rows.size(), "flow")));
  return 0;
}

VerbResult Verbs::count_flows(const FlowArguments& a) const {
  const std::string query = query_of(a);
  uint64_t flows = 0;
  std::map<std::string, uint64_t> states;
  for (std::string cursor = "0-0"; !cursor.empty();) {
    const auto answer = client_.request("GET", "/v1/flows/count" + with(query, "cursor=" + cursor));
    if (!answer) return tl::unexpected(answer.error());
    const CliJson& some = value_at(answer->json, "flows");
    if (some.is_number_unsigned()) flows += some.get<uint64_t>();
    const CliJson& by_state = value_at(answer->json, "states");
    if (by_state.is_object()) {
      for (const auto& [state, count] : by_state.items())
        states[state] += count.is_number_unsigned() ? count.get<uint64_t>() : 0;
    }
    cursor = text_of(value_at(answer->json, "next"));
  }
  const CliJson sum{{"schema", "xebec.flow-count/1"}, {"flows", flows}, {"states", states}};
  std::string text = options_.output == Output::tsv ? flattened_tsv("", sum) : fmt::format("{}\n", flows);
  print({sum.dump(), sum}, text);
  return 0;
}

VerbResult Verbs::flush_flows(const FlowArguments& a) const {
  auto answer = client_.request("POST", "/v1/flows/flush" + query_of(a), "");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(options_.timeout_s);
  while (answer && value_at(answer->json, "done") != true) {
    if (std::chrono::steady_clock::now() > deadline) {
      return tl::unexpected(CliError{"timeout", "flush: is not done yet", "--timeout SECONDS waits longer"});
    }
    std::this_thread::sleep_for(20ms);  // a worker that sleeps hears of it within 200 ms
    answer = client_.request("GET", "/v1/flows/flush");
  }
  if (!answer) return tl::unexpected(answer.error());
  print(*answer, "");
  if (options_.output != Output::json) {
    narrate(fmt::format("{} flows and {} translations forgotten", text_of(value_at(answer->json, "flows")),
                        text_of(value_at(answer->json, "translations"))));
  }
  return 0;
}

}  // namespace xebec
