// SPDX-License-Identifier: BSD-2-Clause
// The configuration as a whole: read, replaced, checked, confirmed, taken back, saved.
#include "control/api_routes.h"

#include <chrono>

#include <fmt/format.h>

#include "control/timestamp.h"

namespace xebec {
namespace {

HttpResponse tagged(const Call& call, HttpResponse response) {
  response.etag = '"' + call.controller.config_tag() + '"';
  return response;
}

Json unconfirmed_of(const Controller& controller) {
  const auto& waiting = controller.unconfirmed();
  if (!waiting) return nullptr;
  const auto left = waiting->until - std::chrono::steady_clock::now();
  return {{"by", waiting->by},
          {"back_to", waiting->back_to},
          {"remaining_ms", std::chrono::duration_cast<std::chrono::milliseconds>(left).count()}};
}

HttpResponse show_config(const Call& call) {
  const Controller& c = call.controller;
  return tagged(call, answer(200, {{"schema", "xebec.config/1"},
                                   {"config", write_config(c.config(), false)},
                                   {"generation", c.engine().table().generation()},
                                   {"config_generation", c.history().generation()},
                                   {"tag", c.config_tag()},
                                   {"unconfirmed", unconfirmed_of(c)}}));
}

HttpResponse show_history(const Call& call) {
  Json rows = Json::array();
  for (const ConfigHistory::Entry& entry : call.controller.history().entries()) {
    rows.push_back({{"config_generation", entry.generation},
                    {"time", timestamp(entry.time)},
                    {"by", entry.by},
                    {"changes", entry.changes},
                    {"diff", rows_of(entry.diff)},
                    {"kept", entry.config != nullptr}});
  }
  return tagged(call, answer(200, {{"schema", "xebec.config-history/1"},
                                   {"history", rows},
                                   {"tag", call.controller.config_tag()},
                                   {"unconfirmed", unconfirmed_of(call.controller)}}));
}

HttpResponse put_config(const Call& call) {
  if (auto missing = missing_body(call.request.body)) return std::move(*missing);
  const auto config = read_config(call.request.body, "(request)", HiddenKeys::allowed);
  if (!config) return failure(422, "invalid_config", "configuration rejected", {}, config.error());
  const auto confirm_ms = number_in_query(call, "confirm_within_ms", 0, kLongestTermMs);
  if (!confirm_ms) return confirm_ms.error();
  ChangeTerms terms = call.terms();
  terms.whole = true;
  terms.dry_run = call.flag("dry_run");
  terms.confirm_within = std::chrono::milliseconds(*confirm_ms);
  return answer(call.controller.apply(*config, terms), 200);
}

HttpResponse check_config_text(const Call& call) {
  if (auto missing = missing_body(call.request.body)) return std::move(*missing);
  const auto config = read_config(call.request.body, "(request)", HiddenKeys::allowed);
  if (!config) return failure(422, "invalid_config", "configuration rejected", {}, config.error());
  return answer(200, {{"schema", "xebec.check/1"}, {"ok", true}});
}

HttpResponse confirm_config(const Call& call) {
  return answer(call.controller.confirm(call.terms()), 200);
}

HttpResponse roll_back(const Call& call) {
  const auto generation = number_in_query(call, "config_generation", 0, UINT32_MAX);
  if (!generation) return generation.error();
  if (*generation == 0 && call.asked("config_generation") != nullptr)
    return failure(400, "usage", "rollback: configurations are counted from 1", "xebec config history");
  ChangeTerms terms = call.terms();
  terms.dry_run = call.flag("dry_run");
  return answer(call.controller.rollback(*generation, terms), 200);
}

HttpResponse save_config(const Call& call) {
  const auto path = call.controller.save_config(call.flag("force"), call.terms().by);
  if (!path) return failure(path.error());
  return answer(200, {{"schema", "xebec.save/1"},
                      {"file", *path},
                      {"config_generation", call.controller.history().generation()}});
}

}  // namespace

std::span<const Route> config_routes() {
  static constexpr Route kRoutes[] = {
      {"GET", "config", Access::read, show_config},
      {"GET", "config/history", Access::read, show_history},
      {"PUT", "config", Access::change, put_config, "dry_run confirm_within_ms"},
      {"POST", "config/check", Access::look, check_config_text},
      {"POST", "config/confirm", Access::change, confirm_config},
      {"POST", "config/rollback", Access::change, roll_back, "config_generation dry_run"},
      {"POST", "config/save", Access::change, save_config, "force"},
  };
  return kRoutes;
}

}  // namespace xebec
