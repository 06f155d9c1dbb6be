// SPDX-License-Identifier: BSD-2-Clause
// What the daemon saw and did, from a number or a time on.
#include "control/api_routes.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "control/config_fields.h"
#include "control/event_log.h"
#include "control/timestamp.h"

namespace xebec {
namespace {

// Of one answer: 300 kB.
constexpr std::size_t kMostEvents = 1000;

/// What stands between commas; an error is one that is no type.
tl::expected<std::vector<std::string>, std::string> types_in(const Call& call) {
  std::vector<std::string> types;
  const std::string* text = call.asked("type");
  if (text == nullptr) return types;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view type = rest.substr(0, comma);
    if (std::find(std::begin(kEventTypes), std::end(kEventTypes), type) == std::end(kEventTypes))
      return tl::unexpected(std::string(type));
    types.emplace_back(type);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return types;
}

/// Names this run of the daemon: numbers of events begin anew with each.
std::string epoch_of(const Controller& controller) {
  return fmt::format("{}-{}", getpid(), controller.started_at().time_since_epoch().count());
}

HttpResponse list_events(const Call& call) {
  const auto after = number_in_query(call, "after", 0, UINT64_MAX);
  if (!after) return after.error();
  const auto last_s = number_in_query(call, "last_seconds", 0, UINT64_MAX);
  if (!last_s) return last_s.error();
  const auto types = types_in(call);
  if (!types) {
    const std::string_view guess = nearest(types.error(), {std::begin(kEventTypes), std::end(kEventTypes)});
    return failure(400, "usage", fmt::format("events: {} is no type of events", quote(types.error())),
                   guess.empty() ? fmt::format("types: {}", fmt::join(kEventTypes, ", "))
                                 : fmt::format("did you mean {}?", guess));
  }
  const EventLog& event_log = call.controller.event_log();
  const std::string epoch = epoch_of(call.controller);
  const std::string* run = call.asked("epoch");
  uint64_t behind = run != nullptr && *run != epoch ? 0 : *after;
  if (*last_s != 0) {
    constexpr uint64_t kYear = 366 * 86400;
    behind = event_log.last_before(std::chrono::system_clock::now() -
                                   std::chrono::seconds(std::min(*last_s, kYear)));
  }
  if (call.asked("now") != nullptr) behind = event_log.last();
  const EventLog::Excerpt excerpt = event_log.behind(behind, kMostEvents, *types);
  Json rows = Json::array();
  for (const Event* event : excerpt.events) {
    Json row = {{"sequence", event->sequence},
                {"time", timestamp(event->time)},
                {"type", event->type},
                {"text", event->text}};
    row.update(event->fields);
    rows.push_back(std::move(row));
  }
  return answer(200, {{"schema", "xebec.event-list/1"},
                      {"epoch", epoch},
                      {"next", excerpt.next},
                      {"last", event_log.last()},
                      {"missed", excerpt.missed},
                      {"events", rows}});
}

}  // namespace

std::span<const Route> event_routes() {
  static constexpr Route kRoutes[] = {
      {"GET", "events", Access::read, list_events, "after last_seconds type epoch now"},
  };
  return kRoutes;
}

}  // namespace xebec
