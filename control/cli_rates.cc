// SPDX-License-Identifier: BSD-2-Clause
#include "control/cli_rates.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

namespace xebec {
namespace {

// Numbers of the answers that stand for a state or a setting and do not only grow.
constexpr std::array<std::string_view, 45> kNoCounters = {
    "address",       "admin",          "asleep",    "capacity", "cpu",         "frames",        "free",
    "generation",    "held",           "ifindex",   "in_hand",  "lost",        "mtu",           "napi_id",
    "pid",           "port",           "queue",     "queues",   "receive",     "share",         "table_size",
    "total",         "transmit",       "usable",    "used",     "weight",      "worker",        "degraded",
    "down",          "uptime_seconds", "rise",      "fall",     "interval_ms", "timeout_ms",    "duration_ms",
    "good_in_a_row", "bad_in_a_row",   "running",   "waiting",  "vni",         "since_seconds", "hardware",
    "active",        "connections",    "open_flows"};

bool is_counter(std::string_view key) {
  return std::find(kNoCounters.begin(), kNoCounters.end(), key) == kNoCounters.end();
}

bool same_row(const CliJson& a, const CliJson& b) {
  if (!a.is_object() || !b.is_object()) return false;
  bool named = false;
  for (const char* key : {"service", "name", "address", "worker", "queue"}) {
    const auto in_a = a.find(key), in_b = b.find(key);
    if ((in_a == a.end()) != (in_b == b.end())) return false;
    if (in_a == a.end()) continue;
    if (*in_a != *in_b) return false;
    named = true;
  }
  return named;
}

const CliJson& row_like(const CliJson& rows, const CliJson& row, std::size_t expected) {
  static const CliJson nothing;
  if (!rows.is_array()) return nothing;
  if (expected < rows.size() && same_row(rows[expected], row)) return rows[expected];  // nearly always
  const auto found =
      std::find_if(rows.begin(), rows.end(), [&](const CliJson& r) { return same_row(r, row); });
  return found == rows.end() ? nothing : *found;
}

}  // namespace

CliJson rates_between(const CliJson& before, const CliJson& after, double seconds) {
  static const CliJson nothing;
  if (after.is_number_unsigned()) {
    const auto now = after.get<uint64_t>();
    const uint64_t then = before.is_number_unsigned() ? before.get<uint64_t>() : 0;
    const uint64_t grown = now >= then ? now - then : now;
    return static_cast<uint64_t>(std::llround(static_cast<double>(grown) / seconds));
  }
  CliJson out = after;
  if (after.is_object()) {
    for (const auto& item : after.items()) {
      const bool state = item.key() == "flows" && item.value().is_number();  // a backend's: remembered now
      if (state || !is_counter(item.key())) continue;
      const bool there = before.is_object() && before.contains(item.key());
      out[item.key()] = rates_between(there ? before.at(item.key()) : nothing, item.value(), seconds);
    }
  } else if (after.is_array()) {
    for (std::size_t i = 0; i < after.size(); ++i) {
      if (after[i].is_object()) out[i] = rates_between(row_like(before, after[i], i), after[i], seconds);
    }
  }
  return out;
}

}  // namespace xebec
