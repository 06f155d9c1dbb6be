// SPDX-License-Identifier: BSD-2-Clause
#include "control/event_log.h"

#include <algorithm>
#include <iterator>

namespace xebec {

void EventLog::add(std::string_view type, std::string text, nlohmann::ordered_json fields,
                   std::chrono::system_clock::time_point now) {
  if (events_.size() == kEvents) events_.pop_front();
  events_.push_back({next_++, now, type, std::move(text), std::move(fields)});
}

EventLog::Excerpt EventLog::behind(uint64_t after, std::size_t limit,
                                   std::span<const std::string> types) const {
  Excerpt excerpt;
  const uint64_t first = events_.empty() ? next_ : events_.front().sequence;
  // A number that was never given is another daemon's: everything is news.
  if (after >= next_) after = 0;
  if (after + 1 < first) {
    excerpt.missed = first - after - 1;
    after = first - 1;
  }
  excerpt.next = after;
  for (std::size_t i = after + 1 - first; i < events_.size() && excerpt.events.size() < limit; ++i) {
    const Event& event = events_[i];
    excerpt.next = event.sequence;
    if (types.empty() || std::find(types.begin(), types.end(), event.type) != types.end())
      excerpt.events.push_back(&event);
  }
  return excerpt;
}

uint64_t EventLog::last_before(std::chrono::system_clock::time_point time) const {
  const auto it =
      std::find_if(events_.rbegin(), events_.rend(), [&](const Event& event) { return event.time < time; });
  if (it != events_.rend()) return it->sequence;
  return events_.empty() ? next_ - 1 : events_.front().sequence - 1;
}

void ProblemWatch::look(const std::vector<std::string>& problems, EventLog& journal,
                        std::chrono::system_clock::time_point now) {
  std::vector<std::string> sorted = problems;
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  std::vector<std::string> came, went;
  std::set_difference(sorted.begin(), sorted.end(), seen_.begin(), seen_.end(), std::back_inserter(came));
  std::set_difference(seen_.begin(), seen_.end(), sorted.begin(), sorted.end(), std::back_inserter(went));
  for (std::string& problem : went)
    journal.add("problem", "over: " + problem, {{"problem", problem}, {"there", false}}, now);
  for (std::string& problem : came)
    journal.add("problem", problem, {{"problem", problem}, {"there", true}}, now);
  seen_ = std::move(sorted);
}

}  // namespace xebec
