// SPDX-License-Identifier: BSD-2-Clause
// `xebec stats`: sums or rates, once or again and again.
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include <fmt/format.h>

#include "control/cli_rates.h"
#include "control/cli_renderer.h"
#include "control/cli_stop.h"
#include "control/cli_verbs.h"

namespace xebec {
namespace {

using Clock = std::chrono::steady_clock;
using Render = std::function<Rendering(const CliJson&, RenderOptions)>;

/// What is asked of the daemon, and how its answer is shown.
struct View {
  std::string path;
  std::string schema;
  Render render;
};

tl::expected<View, CliError> view_of(const StatsArguments& a) {
  if (!a.service.empty()) {
    if (a.by == "worker" || a.by == "drop-reason") {
      return tl::unexpected(
          CliError{"usage", fmt::format("--by {}: is counted for the whole daemon, not per service", a.by),
                   "leave the service out, or use --by backend"});
    }
    return View{"/v1/backends?service=" + percent_encode(a.service), "xebec.backend-list/1",
                rows_of("backends", render_stats_by_backend)};
  }
  if (a.by == "worker")
    return View{"/v1/workers", "xebec.worker-list/1", rows_of("workers", render_stats_by_worker)};
  if (a.by == "backend")
    return View{"/v1/stats", "xebec.stats/1", rows_of("backends", render_stats_by_backend)};
  if (a.by == "drop-reason") {
    return View{"/v1/stats", "xebec.stats/1", [](const CliJson& answer, RenderOptions options) -> Rendering {
                  return render_drops(value_at(answer, "packets/drops"), options);
                }};
  }
  return View{"/v1/stats", "xebec.stats/1", whole(render_stats)};
}

/// What is printed instead of the answer: with rates, and said to be.
Answer as_rates(const Answer& before, const Answer& after, double seconds) {
  CliJson json = rates_between(before.json, after.json, seconds);
  std::string schema = value_at(after.json, "schema").is_string() ? json["schema"].get<std::string>() : "";
  if (const std::size_t slash = schema.find('/'); slash != std::string::npos) schema.insert(slash, "-rates");
  json["schema"] = schema;
  json["interval_seconds"] = seconds;
  return {json.dump(-1, ' ', false, CliJson::error_handler_t::replace), json};
}

}  // namespace

VerbResult Verbs::stats(const StatsArguments& arguments) const {
  const auto view = view_of(arguments);
  if (!view) return tl::unexpected(view.error());
  const StopSignals stop;
  if (arguments.rate && options_.output == Output::table) narrate("a second:");
  const std::chrono::duration<double> every(arguments.every_s > 0 ? arguments.every_s : 1.0);
  const auto pause = std::chrono::ceil<std::chrono::milliseconds>(every);
  const bool screen = arguments.every_s > 0 && options_.output == Output::table && isatty(STDOUT_FILENO) == 1;
  tl::expected<Answer, CliError> before = tl::unexpected(CliError{});
  auto before_at = Clock::now();
  for (uint64_t shown = 0; !stop.seen();) {
    auto answer = fetch(view->path, view->schema);
    const auto now = Clock::now();
    if (!answer) return tl::unexpected(answer.error());
    if (!arguments.rate || before) {
      if (screen) fmt::print("\x1b[H\x1b[J");
      const std::chrono::duration<double> passed = now - before_at;
      const auto printed =
          print_rendered(arguments.rate ? as_rates(*before, *answer, passed.count()) : *answer, view->render);
      if (!printed) return printed;
      std::fflush(stdout);  // whoever reads along
      ++shown;
      if (arguments.every_s <= 0 || shown == arguments.count) return 0;
    }
    before = std::move(answer);
    before_at = now;
    stop.sleep(pause);
  }
  return 0;
}

}  // namespace xebec
