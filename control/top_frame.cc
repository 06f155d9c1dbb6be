// SPDX-License-Identifier: BSD-2-Clause
#include "control/top_frame.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include <fmt/format.h>

#include "control/cli_render.h"
#include "control/cli_table.h"
#include "dataplane/drop_reason.h"

namespace xebec {
namespace {

using Look = TopLine::Look;

/// What sorts a row is Cell::exact.
struct Row {
  std::vector<Cell> cells;
  bool bad = false;
};

std::string text_of(const CliJson& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  return value.dump(-1, ' ', false, CliJson::error_handler_t::replace);
}

uint64_t number_of(const CliJson& value) {
  return value.is_number_unsigned() ? value.get<uint64_t>() : 0;
}

Cell text(const CliJson& row, const std::string& path) {
  const std::string shown = text_of(value_at(row, path));
  return {shown, shown};
}
Cell count(const CliJson& row, const std::string& path) {
  const CliJson& value = value_at(row, path);
  if (!value.is_number_unsigned()) return {"-", "0"};
  return {human_count(value.get<uint64_t>()), value.dump()};
}
Cell bits(const CliJson& row, const std::string& path) {
  const uint64_t n = number_of(value_at(row, path)) * 8;
  return {human_count(n), std::to_string(n)};
}

std::vector<Column> columns_of(TopView view) {
  const auto left = [](const char* title) { return Column{title}; };
  const auto right = [](const char* title) { return Column{title, true}; };
  switch (view) {
    case TopView::services:
      return {left("service"), left("address"), left("mode"),  right("up"),
              right("pkt/s"),  right("bit/s"),  right("new/s")};
    case TopView::backends:
      return {left("service"), left("backend"), left("admin"),  left("health"), left("usable"),
              right("share"),  right("pkt/s"),  right("bit/s"), right("new/s"), left("why")};
    case TopView::workers:
      return {right("worker"), right("cpu"),   right("recv/s"),   right("fwd/s"),
              right("drop/s"), right("flows"), right("rounds/s"), right("sleeps/s")};
    case TopView::drops:
      return {left("reason"), right("drop/s"), right("total"), left("meaning")};
    case TopView::log:
      return {left("log, the latest first")};
  }
  return {};
}

Row service_row(const CliJson& now) {
  const std::string vip = text_of(value_at(now, "vip")), port = text_of(value_at(now, "port"));
  const bool six = vip.find(':') != std::string::npos;
  const std::string address = fmt::format("{}{}{}:{}/{}", six ? "[" : "", vip, six ? "]" : "",
                                          port == "0" ? "any" : port, text_of(value_at(now, "protocol")));
  const CliJson &usable = value_at(now, "backends/usable"), &total = value_at(now, "backends/total");
  return {{text(now, "name"),
           {address, address},
           text(now, "mode"),
           {text_of(usable) + "/" + text_of(total), usable.dump()},
           count(now, "packets"),
           bits(now, "bytes"),
           count(now, "new_flows")},
          usable != total};
}

Row backend_row(const CliJson& now) {
  const CliJson& share = value_at(now, "share");
  const std::string percent = share.is_number() ? fmt::format("{:.1f}%", share.get<double>() * 100) : "-";
  return {{text(now, "service"),
           text(now, "address"),
           value_at(now, "removed") == true ? Cell{"removed", "removed"} : text(now, "admin"),
           text(now, "health/state"),
           text(now, "usable"),
           {percent, share.dump()},
           count(now, "packets"),
           bits(now, "bytes"),
           count(now, "new_flows"),
           text(now, "why")},
          value_at(now, "usable") == false && value_at(now, "admin") == "ready"};
}

Row worker_row(const CliJson& now) {
  return {{text(now, "worker"), text(now, "cpu"), count(now, "packets/received"),
           count(now, "packets/forwarded"), count(now, "packets/dropped"), count(now, "flows/used"),
           count(now, "loop/rounds"), count(now, "loop/sleeps")},
          false};
}

std::vector<Row> drop_rows(const CliJson& now, const CliJson& rates) {
  std::vector<Row> rows;
  const CliJson& totals = value_at(now, "status/packets/drops");
  if (!totals.is_object()) return rows;
  for (const auto& item : totals.items()) {
    const auto known = std::find_if(kDropReasons.begin(), kDropReasons.end(),
                                    [&](const DropReasonText& r) { return r.name == item.key(); });
    const CliJson& rate = value_at(rates, "status/packets/drops/" + item.key());
    const std::string meaning(known == kDropReasons.end() ? "" : known->text);
    rows.push_back({{{item.key(), item.key()},
                     {human_count(number_of(rate)), std::to_string(number_of(rate))},
                     {human_count(number_of(item.value())), item.value().dump()},
                     {meaning, meaning}},
                    number_of(rate) != 0});
  }
  return rows;
}

std::vector<Row> log_rows(const std::vector<std::string>& lines) {
  std::vector<Row> rows;
  for (const std::string& line : lines) {
    const bool bad = line.find("warning") != std::string::npos || line.find("error") != std::string::npos;
    rows.push_back({{{line, line}}, bad});
  }
  return rows;
}

std::vector<Row> rows_of_view(const CliJson& now, const CliJson& rates, const TopState& state) {
  const TopView view = state.view;
  if (view == TopView::drops) return drop_rows(now, rates);
  if (view == TopView::log) return log_rows(state.log.value_or(std::vector<std::string>{}));
  const char* const key = view == TopView::services   ? "services"
                          : view == TopView::backends ? "backends"
                                                      : "workers";
  Row (*const make)(const CliJson&) = view == TopView::services   ? service_row
                                      : view == TopView::backends ? backend_row
                                                                  : worker_row;
  std::vector<Row> rows;
  const CliJson& list = value_at(rates, key);
  for (const CliJson& row : list.is_array() ? list : CliJson::array()) rows.push_back(make(row));
  return rows;
}

/// Numbers by their size, everything else by its letters.
bool is_less(const std::string& a, const std::string& b) {
  double x = 0, y = 0;
  const auto number = [](const std::string& s, double& out) {
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), out);
    return error == std::errc() && end == s.data() + s.size();
  };
  if (number(a, x) && number(b, y)) return x < y;
  return a < b;
}

std::string lower(std::string s) {
  std::transform(s.begin(), s.end(), s.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return s;
}

/// Filtered and sorted as the keys say.
std::vector<Row> shown_rows(const CliJson& now, const CliJson& rates, const TopState& state) {
  std::vector<Row> rows = rows_of_view(now, rates, state);
  const std::string wanted = lower(state.filter);
  std::erase_if(rows, [&](const Row& row) {
    return std::none_of(row.cells.begin(), row.cells.end(), [&](const Cell& cell) {
      return lower(cell.shown).find(wanted) != std::string::npos;
    });
  });
  if (state.view == TopView::log) return rows;
  const auto view = static_cast<std::size_t>(state.view);
  const std::size_t column = state.sort[view];
  // What sorts by letters begins with A, what sorts by numbers with the largest.
  std::stable_sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) {
    const std::string &x = a.cells[column].exact, &y = b.cells[column].exact;
    return state.ascending[view] ? is_less(x, y) : is_less(y, x);
  });
  return rows;
}

std::vector<TopLine> head(const CliJson& now, const CliJson& rates, const TopState& state,
                          std::size_t problems) {
  std::vector<TopLine> lines;
  const CliJson& status = value_at(now, "status");
  const bool healthy = value_at(status, "healthy") == true;
  const CliJson& uptime = value_at(status, "uptime_seconds");
  lines.push_back({fmt::format("{}  {}: xebecd {}, up {}, generation {}{}", healthy ? "healthy" : "DEGRADED",
                               text_of(value_at(status, "instance")), text_of(value_at(status, "version")),
                               uptime.is_number() ? human_seconds(uptime.get<uint64_t>()) : "-",
                               text_of(value_at(status, "generation")), state.paused ? "  [paused]" : ""),
                   healthy ? Look::good : Look::bad});
  if (!state.trouble.empty()) lines.push_back({state.trouble, Look::bad});
  const CliJson& p = value_at(rates, "status/packets");
  lines.push_back(
      {fmt::format("a second: {} received ({} bit), {} forwarded, {} replied, {} dropped",
                   count(p, "received").shown, bits(p, "received_bytes").shown, count(p, "forwarded").shown,
                   count(p, "replied").shown, count(p, "dropped").shown),
       Look::plain});
  const CliJson& list = value_at(status, "problems");
  for (std::size_t i = 0; list.is_array() && i < list.size(); ++i) {
    if (i == problems && list.size() > problems) {
      lines.push_back({fmt::format("  - and {} more: xebec status", list.size() - i), Look::bad});
      break;
    }
    lines.push_back({"  - " + text_of(list[i]), Look::bad});
  }
  return lines;
}

std::vector<TopLine> help_lines() {
  std::vector<TopLine> lines;
  for (const char* line : {
           "1 2 3 4, Tab  services, backends, workers, drops",
           "< >           sort by the column to the left, to the right",
           "r             sort the other way round",
           "/             show only rows that contain what you type; Enter keeps it, Esc drops it",
           "Up Down PgUp PgDn Home End   scroll",
           "p, space      pause, go on",
           "h, ?          this page",
           "q             quit",
       })
    lines.push_back({line, Look::plain});
  return lines;
}

std::string views_line(const TopState& state) {
  constexpr const char* kNames[kTopViews] = {"services", "backends", "workers", "drops", "log"};
  std::string text;
  for (std::size_t i = 0; i < top_views(state); ++i) {
    const bool here = i == static_cast<std::size_t>(state.view);
    text += fmt::format("{}{} {}{}  ", here ? "[" : " ", i + 1, kNames[i], here ? "]" : " ");
  }
  if (state.typing || !state.filter.empty())
    text += "/" + printable(state.filter) + (state.typing ? "_" : "");
  return text;
}

/// Cut by code points: names are ASCII, sentences need not be.
void cut(std::string& text, std::size_t width) {
  std::size_t columns = 0, at = 0;
  for (; at < text.size(); ++at) {
    if ((static_cast<uint8_t>(text[at]) & 0xc0) == 0x80) continue;
    if (columns++ == width) break;
  }
  text.resize(at);
}

}  // namespace

std::size_t top_columns(TopView view) {
  return columns_of(view).size();
}

std::size_t top_views(const TopState& state) {
  return state.log ? kTopViews : kTopViews - 1;
}

std::vector<TopLine> top_frame(const CliJson& now, const CliJson& rates, TopState& state, std::size_t width,
                               std::size_t height) {
  if (height != 0 && (width < kTopMinWidth || height < kTopMinHeight)) {
    std::string text =
        fmt::format("{}x{}: too small, {}x{} at least", width, height, kTopMinWidth, kTopMinHeight);
    cut(text, width);
    return {{text, Look::bad}};
  }
  // Of a small screen most belongs to the rows.
  std::vector<TopLine> lines = head(now, rates, state, height == 0 ? 100 : height / 6);
  const std::size_t body = lines.size();
  std::vector<TopLine> rows;
  if (state.help) {
    rows = help_lines();
  } else {
    std::vector<Column> columns = columns_of(state.view);
    const auto view = static_cast<std::size_t>(state.view);
    if (state.view != TopView::log) columns[state.sort[view]].title += state.ascending[view] ? "^" : "*";
    TextTable table(columns);
    const std::vector<Row> shown = shown_rows(now, rates, state);
    for (const Row& row : shown) table.add(row.cells);
    const std::string all = table.aligned(false);
    for (std::size_t at = 0, n = 0; at < all.size(); ++n) {
      const std::size_t end = all.find('\n', at);
      const Look look = n == 0 ? Look::heading : shown[n - 1].bad ? Look::bad : Look::plain;
      rows.push_back({all.substr(at, end - at), look});
      at = end + 1;
    }
  }
  if (height != 0) {
    lines.push_back({views_line(state), Look::plain});
    const std::size_t room = height - body - 3;  // views, heading, keys
    const std::size_t count = rows.empty() ? 0 : rows.size() - 1;
    state.offset = std::min(state.offset, count > room ? count - room : 0);
    rows.erase(rows.begin() + 1, rows.begin() + 1 + static_cast<std::ptrdiff_t>(state.offset));
    if (rows.size() > room + 1) rows.resize(room + 1);
  }
  lines.insert(lines.end(), rows.begin(), rows.end());
  if (height != 0) {
    while (lines.size() + 1 < height) lines.push_back({});
    lines.push_back(
        {fmt::format("q quit  h help  1-{} view  < > r sort  / filter  p pause", top_views(state)),
         Look::heading});
  }
  for (TopLine& line : lines) {
    line.text = printable(line.text);
    cut(line.text, width);
  }
  return lines;
}

}  // namespace xebec
