// SPDX-License-Identifier: BSD-2-Clause
#include "control/api_events.h"

#include <algorithm>
#include <charconv>
#include <ctime>

#include <fmt/format.h>

#include "control/api_answer.h"
#include "control/config_document.h"
#include "control/config_fields.h"

namespace xebec {
namespace {

// Of one answer: 300 kB.
constexpr std::size_t kMostEvents = 1000;

std::string rfc3339(std::chrono::system_clock::time_point time) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  const std::time_t seconds = ms / 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  (void)std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  return fmt::format("{}.{:03}Z", text, ms % 1000);
}

std::optional<uint64_t> number_in(const HttpRequest& request, const char* key, uint64_t otherwise) {
  const auto found = request.query.find(key);
  if (found == request.query.end()) return otherwise;
  uint64_t value = 0;
  const std::string& text = found->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// What stands between commas; an error is one that is no type.
tl::expected<std::vector<std::string>, std::string> types_in(const HttpRequest& request) {
  std::vector<std::string> types;
  const auto found = request.query.find("type");
  if (found == request.query.end()) return types;
  std::string_view rest = found->second;
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

}  // namespace

HttpResponse report_events(const EventLog& event_log, const std::string& epoch, const HttpRequest& request) {
  const auto after = number_in(request, "after", 0);
  const auto last_s = number_in(request, "last_seconds", 0);
  if (!after || !last_s) return failure(400, "usage", "events: after and last_seconds are numbers");
  const auto types = types_in(request);
  if (!types) {
    const std::string_view guess = nearest(types.error(), {std::begin(kEventTypes), std::end(kEventTypes)});
    return failure(400, "usage", fmt::format("events: {} is no type of events", quote(types.error())),
                   guess.empty() ? fmt::format("types: {}", fmt::join(kEventTypes, ", "))
                                 : fmt::format("did you mean {}?", guess));
  }
  uint64_t behind = *after;
  const auto query = request.query.find("epoch");
  if (query != request.query.end() && query->second != epoch) behind = 0;
  if (*last_s != 0) {
    constexpr uint64_t kYear = 366 * 86400;
    behind = event_log.last_before(std::chrono::system_clock::now() -
                                   std::chrono::seconds(std::min(*last_s, kYear)));
  }
  if (request.query.contains("now")) behind = event_log.last();
  const EventLog::Excerpt excerpt = event_log.behind(behind, kMostEvents, *types);
  Json rows = Json::array();
  for (const Event* event : excerpt.events) {
    Json row = {{"sequence", event->sequence},
                {"time", rfc3339(event->time)},
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

}  // namespace xebec
