// SPDX-License-Identifier: BSD-2-Clause
#include "control/log_sinks.h"

#include <syslog.h>

#include <algorithm>
#include <array>

namespace xebec {
namespace {

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

}  // namespace

void LimitedSink::sink_it_(const spdlog::details::log_msg& message) {
  const std::string_view line(message.payload.data(), message.payload.size());
  if (!rate_.admit(line, LogRate::Clock::now())) return;
  if (std::none_of(line.begin(), line.end(), is_control)) return inner_->log(message);
  std::string clean(line);
  std::replace_if(clean.begin(), clean.end(), is_control, '?');
  spdlog::details::log_msg copy = message;
  copy.payload = clean;
  inner_->log(copy);
}

void LimitedSink::tell_suppressed(LogRate::Clock::time_point now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const std::string& line : rate_.summaries(now)) {
    inner_->log(spdlog::details::log_msg("xebecd", spdlog::level::warn, line));
    inner_->flush();
  }
}

void JournalSink::sink_it_(const spdlog::details::log_msg& message) {
  // By spdlog's level: trace, debug, info, warn, err, critical, off.
  constexpr std::array<int, 7> kPriorities = {LOG_DEBUG, LOG_DEBUG, LOG_INFO, LOG_WARNING,
                                              LOG_ERR,   LOG_CRIT,  LOG_INFO};
  const std::string line(message.payload.data(), message.payload.size());
  JournalFields fields = {{"MESSAGE", line},
                          {"PRIORITY", std::to_string(kPriorities[static_cast<std::size_t>(message.level)])},
                          {"SYSLOG_IDENTIFIER", "xebecd"},
                          {"SYSLOG_FACILITY", std::to_string(LOG_DAEMON >> 3)},
                          {"XEBEC_INSTANCE", instance_}};
  for (auto& field : fields_of_line(line)) fields.push_back(std::move(field));
  (void)journal_.send(fields);
}

}  // namespace xebec
