// SPDX-License-Identifier: BSD-2-Clause
// What happened of late, numbered: for those who watch along (docs/api.md, /v1/events). Bounded; pure, time is passed in.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace xebec {

struct Event {
  uint64_t sequence = 0;  ///< from 1 on, without gaps
  std::chrono::system_clock::time_point time;
  std::string_view type;                                             ///< one of kEventTypes
  std::string text;                                                  ///< a line for people
  nlohmann::ordered_json fields = nlohmann::ordered_json::object();  ///< the same for programs
};

inline constexpr std::string_view kEventTypes[] = {"config", "table",     "backend", "health",
                                                   "link",   "neighbour", "problem"};

class EventLog {
 public:
  /// Enough for a bad hour: a hundred backends that flap once a minute. Some 300 bytes each.
  static constexpr std::size_t kEvents = 8192;

  void add(std::string_view type, std::string text, nlohmann::ordered_json fields,
           std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

  struct Excerpt {
    std::vector<const Event*> events;  ///< valid until the next add()
    uint64_t next = 0;                 ///< to ask for what comes behind these
    uint64_t missed = 0;               ///< that were asked for and are forgotten
  };
  /// Events behind `after`, the oldest first, `limit` at most; of these types, if any are named.
  Excerpt behind(uint64_t after, std::size_t limit, std::span<const std::string> types = {}) const;
  /// The last one before `time`; 0: there is none.
  uint64_t last_before(std::chrono::system_clock::time_point time) const;
  uint64_t last() const { return next_ - 1; }

 private:
  std::deque<Event> events_;
  uint64_t next_ = 1;
};

/// The problems that came and went between two looks, as events.
class ProblemWatch {
 public:
  void look(const std::vector<std::string>& problems, EventLog& journal,
            std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

 private:
  std::vector<std::string> seen_;  // sorted
};

}  // namespace xebec
