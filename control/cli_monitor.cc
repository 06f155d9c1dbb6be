// SPDX-License-Identifier: BSD-2-Clause
#include "control/cli_monitor.h"

#include <chrono>
#include <cstdio>
#include <utility>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "control/cli_arguments.h"
#include "control/cli_client.h"
#include "control/cli_render.h"
#include "control/cli_stop.h"
#include "control/cli_table.h"

namespace xebec {
namespace {

// As soon as an eye would notice.
constexpr std::chrono::milliseconds kPause{200};
constexpr std::chrono::milliseconds kRetry{1000};  // while there is no daemon

std::string text_at(const CliJson& object, const char* key) {
  const CliJson& value = value_at(object, key);
  return value.is_string() ? value.get<std::string>() : value.dump();
}

class Monitor {
 public:
  Monitor(const CliOptions& options, const MonitorArguments& arguments)
      : options_(options), arguments_(arguments), client_(options.socket, options.timeout_s) {
    if (!arguments.types.empty())
      filter_ = "&type=" + percent_encode(fmt::format("{}", fmt::join(arguments.types, ",")));
  }

  VerbResult run() {
    std::string query = arguments_.since.empty() && !arguments_.once ? "now=1" : "after=0";
    if (!arguments_.since.empty() && arguments_.since != "all") {
      const auto ms = parse_duration_ms("monitor: --since", arguments_.since);
      if (!ms) return tl::unexpected(ms.error());
      query = fmt::format("last_seconds={}", (*ms + 999) / 1000);
    }
    const StopSignals stop;
    bool gone = false;
    for (bool first = true; !stop.seen();) {
      const auto answer = client_.request("GET", "/v1/events?" + query + filter_);
      if (!answer) {
        const bool fatal =
            first || (answer.error().code != "unreachable" && answer.error().code != "timeout");
        if (fatal) return tl::unexpected(answer.error());
        if (!std::exchange(gone, true)) say("the daemon does not answer; waiting for it");
        stop.sleep(kRetry);
        continue;
      }
      if (std::exchange(gone, false)) say("the daemon answers again");
      const bool more = show(answer->json, first);
      query = fmt::format("after={}&epoch={}", value_at(answer->json, "next").dump(), percent_encode(epoch_));
      first = false;
      if (more) continue;
      if (arguments_.once) return 0;
      stop.sleep(kPause);
    }
    return 0;
  }

 private:
  /// True: there are more already.
  bool show(const CliJson& answer, bool first) {
    const std::string epoch = text_at(answer, "epoch");
    if (!first && epoch != epoch_) say("another daemon than before");
    epoch_ = epoch;
    // At the start only what was asked for by time can be missing.
    const CliJson& missed = value_at(answer, "missed");
    if (missed != 0 && (!first || arguments_.since == "all"))
      say(fmt::format("{} events are missing: forgotten before they were read", missed.dump()));
    const CliJson& events = value_at(answer, "events");
    for (const CliJson& event : events.is_array() ? events : CliJson::array()) print(event);
    std::fflush(stdout);  // whoever reads along
    return value_at(answer, "next") != value_at(answer, "last");
  }

  void print(const CliJson& event) const {
    if (options_.output == Output::json) {
      fmt::print("{}\n", event.dump(options_.pretty ? 2 : -1, ' ', false, CliJson::error_handler_t::replace));
    } else if (options_.output == Output::tsv) {
      fmt::print("{}\t{}\t{}\t{}\n", text_at(event, "sequence"), text_at(event, "time"),
                 text_at(event, "type"), printable(text_at(event, "text")));
    } else {
      fmt::print("{}  {:<9}  {}\n", text_at(event, "time"), text_at(event, "type"),
                 printable(text_at(event, "text")));
    }
  }

  /// Of the stream itself. As JSON it is a line of the stream, else narration.
  void say(const std::string& what) const {
    if (options_.output != Output::json) return narrate("xebec: " + what);
    const CliJson line = {{"type", "monitor"}, {"text", what}};
    fmt::print("{}\n", line.dump());
    std::fflush(stdout);
  }

  const CliOptions& options_;
  const MonitorArguments& arguments_;
  Client client_;
  std::string filter_, epoch_;
};

}  // namespace

CLI::App* add_monitor_verb(CLI::App& app, MonitorArguments& a) {
  CLI::App* verb = app.add_subcommand("monitor", "What happens, a line each, until Ctrl-C");
  verb->add_option("--since", a.since, "also what happened of late: 10m, 90s, 2h, 1d, all");
  verb->add_option("--type", a.types, "only config, table, backend, health, link, neighbour, problem")
      ->delimiter(',');
  verb->add_flag("--once", a.once, "what there is, without waiting for more");
  return verb;
}

VerbResult monitor(const CliOptions& options, const MonitorArguments& arguments) {
  return Monitor(options, arguments).run();
}

}  // namespace xebec
