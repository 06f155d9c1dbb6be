// SPDX-License-Identifier: BSD-2-Clause
// A comparison: turns, medians, JSON.
#include "bench/measure.h"

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace xebec::bench {

Options options_of(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--quick") {
      options.quick = true;
    } else if (argument == "--alone") {
      options.alone = true;
    } else if (argument == "--only" && i + 1 < argc) {
      options.only = argv[++i];
    } else {
      fmt::print(stderr, "usage: {} [--quick] [--alone] [--only SUBSTRING]\n", argv[0]);
      std::exit(2);
    }
  }
  return options;
}

double thread_cpu_ns() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

Summary summarize(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  const double median = n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
  return {median, (values.back() - values.front()) / median};
}

void print(const Row& row) {
  const auto number = [](std::optional<double> value) {
    return value ? fmt::format("{:.4g}", *value) : std::string("null");
  };
  std::optional<double> peer, ratio;
  double spread = row.ours.spread;
  if (row.peer) {
    peer = row.peer->median;
    ratio = row.ours.median / row.peer->median;
    spread = std::max(spread, row.peer->spread);
  }
  const char* met = !row.target ? "null" : ratio <= row.target ? "true" : "false";
  fmt::print(R"({{"bench":"{}","ours":{},"peer":{},"unit":"{}","ratio":{},"spread":{},"target":{},"met":{}}})"
             "\n",
             row.name, number(row.ours.median), number(peer), row.unit, number(ratio), number(spread),
             number(row.target), met);
  std::fflush(stdout);
}

void compare(const Options& options, const std::string& name, const std::string& unit,
             std::optional<double> target, const std::function<double()>& ours,
             const std::function<double()>& peer) {
  if (!options.wants(name)) return;
  progress(name);
  std::vector<double> of_ours, of_peer;
  for (uint32_t run = 0; run < options.runs(); ++run) {
    of_ours.push_back(ours());
    of_peer.push_back(peer());
  }
  print({name, summarize(of_ours), summarize(of_peer), unit, target});
}

void measure(const Options& options, const std::string& name, const std::string& unit,
             std::optional<double> limit, const std::function<double()>& ours) {
  if (!options.wants(name)) return;
  progress(name);
  std::vector<double> values;
  for (uint32_t run = 0; run < options.runs(); ++run) values.push_back(ours());
  Row row{name, summarize(values), std::nullopt, unit, std::nullopt};
  if (limit) {
    row.peer = Summary{*limit, 0};
    row.target = 1;
  }
  print(row);
}

void progress(const std::string& what) {
  if (isatty(STDERR_FILENO) != 0) fmt::print(stderr, "  {} ...\n", what);
}

void require(bool holds, const std::string& what) {
  if (holds) return;
  fmt::print(stderr, "error: {}: its figures do not count\n", what);
  std::exit(1);
}

}  // namespace xebec::bench
