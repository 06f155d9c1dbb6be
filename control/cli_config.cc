// SPDX-License-Identifier: BSD-2-Clause
// The verbs of the configuration, and what is said of a change.
#include <fmt/format.h>

#include "control/cli_arguments.h"
#include "control/cli_file.h"
#include "control/cli_render.h"
#include "control/cli_verbs.h"
#include "control/config_schema.h"

namespace xebec {

VerbResult Verbs::report_change(const Answer& answer) const {
  const RenderOptions options{options_.output == Output::tsv, colour_};
  const CliJson& impact = value_at(answer.json, "impact");
  std::string text = render_diff(value_at(answer.json, "diff"), options);
  if (impact.is_array() && !impact.empty()) text += "\n" + render_impact(impact, options);
  print(answer, text);
  if (options_.output == Output::json) return 0;  // all of it is in the answer
  const CliJson& warnings = value_at(answer.json, "warnings");
  for (const CliJson& warning : warnings.is_array() ? warnings : CliJson::array()) {
    if (warning.is_string()) narrate("xebec: warning: " + warning.get<std::string>());
  }
  const std::string generation = value_at(answer.json, "generation").dump();
  const CliJson& changed = value_at(answer.json, "changed");
  const bool dry_run = value_at(answer.json, "dry_run") == true;
  const std::size_t changes = value_at(answer.json, "diff").size();
  if (changed == false || changes == 0) {
    narrate(fmt::format("nothing to change (generation {})", generation));
  } else if (dry_run) {
    narrate(fmt::format("{} would be made; nothing was changed (generation {})", counted(changes, "change"),
                        generation));
  } else {
    narrate(fmt::format("{} made (generation {})", counted(changes, "change"), generation));
  }
  const CliJson& confirm = value_at(answer.json, "confirm_within_ms");
  if (confirm.is_number_unsigned()) {
    narrate(fmt::format("undone by itself in {:g} s, unless you say: xebec config confirm",
                        confirm.get<double>() / 1000));
  }
  return 0;
}

VerbResult Verbs::show_config() const {
  const auto answer = client_.request("GET", "/v1/config");
  if (!answer) return tl::unexpected(answer.error());
  // Nested as it is, it has no rows: the document itself, fit for `xebec config apply`, in every text form.
  print(*answer,
        value_at(answer->json, "config").dump(2, ' ', false, CliJson::error_handler_t::replace) + "\n");
  const CliJson& tag = value_at(answer->json, "tag");
  if (options_.output != Output::json && tag.is_string()) narrate("tag " + tag.get<std::string>());
  return 0;
}

VerbResult Verbs::apply_config(const std::string& file, const ApplyArguments& arguments) const {
  std::string query = arguments.dry_run ? "?dry_run=1" : "";
  if (!arguments.confirm_within.empty()) {
    const auto ms = parse_duration_ms("--confirm-within", arguments.confirm_within);
    if (!ms) return tl::unexpected(ms.error());
    query += fmt::format("{}confirm_within_ms={}", query.empty() ? "?" : "&", *ms);
  }
  const auto text = read_file(file);
  if (!text) return tl::unexpected(text.error());
  auto answer = client_.request("PUT", "/v1/config" + query, *text, arguments.match);
  if (answer) return report_change(*answer);
  // The daemon saw a text without a name.
  for (CliJson& diagnostic : answer.error().diagnostics) {
    if (diagnostic.is_object()) diagnostic["file"] = shown_name(file);
  }
  return tl::unexpected(answer.error());
}

VerbResult Verbs::confirm_config() const {
  const auto answer = client_.request("POST", "/v1/config/confirm", "");
  if (!answer) return tl::unexpected(answer.error());
  print(*answer, "");
  if (options_.output != Output::json) narrate("confirmed");
  return 0;
}

VerbResult Verbs::rollback_config(const std::string& generation, bool dry_run) const {
  // What comes back is told before it is asked for; if somebody is quicker, nothing is.
  const auto history = client_.request("GET", "/v1/config/history");
  if (!history) return tl::unexpected(history.error());
  const CliJson& tag = value_at(history->json, "tag");
  std::string query = generation.empty() ? "" : "?config_generation=" + percent_encode(generation);
  if (dry_run) query += query.empty() ? "?dry_run=1" : "&dry_run=1";
  return change("POST", "/v1/config/rollback" + query, "", tag.is_string() ? tag.get<std::string>() : "");
}

VerbResult Verbs::config_history() const {
  const auto answer = client_.request("GET", "/v1/config/history");
  if (!answer) return tl::unexpected(answer.error());
  print(*answer, render_config_history(value_at(answer->json, "history"),
                                       RenderOptions{options_.output == Output::tsv, colour_}));
  const CliJson& waiting = value_at(answer->json, "unconfirmed");
  if (options_.output == Output::json || !waiting.is_object()) return 0;
  const CliJson& left = value_at(waiting, "remaining_ms");
  narrate(fmt::format("the last change is not confirmed; it is undone in {} s",
                      left.is_number() ? left.get<int64_t>() / 1000 : 0));
  return 0;
}

VerbResult Verbs::save_config(bool force) const {
  const auto answer = client_.request("POST", force ? "/v1/config/save?force=1" : "/v1/config/save", "");
  if (!answer) return tl::unexpected(answer.error());
  print(*answer, "");
  const CliJson& file = value_at(answer->json, "file");
  if (options_.output != Output::json && file.is_string()) narrate("saved to " + file.get<std::string>());
  return 0;
}

VerbResult Verbs::show_schema() const {
  fmt::print("{}", kConfigSchema);
  return 0;
}

}  // namespace xebec
