// SPDX-License-Identifier: BSD-2-Clause
#include "control/config_history.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace xebec {
namespace {

std::size_t size_of(const Config& config) {
  std::size_t size = 1;
  for (const ServiceConfig& service : config.services) size += 1 + service.backends.size();
  return size;
}

}  // namespace

ConfigHistory::ConfigHistory(const Config& first, std::string by, std::chrono::system_clock::time_point now) {
  entries_.push_back({1, now, std::move(by), 0, {}, std::make_shared<const Config>(first)});
}

void ConfigHistory::add(const Config& config, std::vector<ConfigChange> diff, std::string by,
                        std::chrono::system_clock::time_point now) {
  const std::size_t changes = diff.size();
  if (changes > kMaxDiff) diff.resize(kMaxDiff);
  const uint64_t next = generation() + 1;
  if (by.starts_with(kByDns)) {
    for (auto entry = entries_.end();
         entry != entries_.begin() && std::prev(entry)->by.starts_with(kByDns);) {
      if ((--entry)->by == by) entry = entries_.erase(entry);
    }
  }
  entries_.push_back(
      {next, now, std::move(by), changes, std::move(diff), std::make_shared<const Config>(config)});
  trim();
}

void ConfigHistory::trim() {
  if (entries_.size() > kMaxEntries) entries_.pop_front();
  std::size_t kept = 0;
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    if (entry->config == nullptr) return;
    kept += size_of(*entry->config);
    if (kept > kMaxKept && std::distance(entries_.rbegin(), entry) > 1) entry->config.reset();
  }
}

uint64_t ConfigHistory::before_last_made() const {
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    if (!entry->by.starts_with(kByDns))
      return std::next(entry) == entries_.rend() ? 0 : std::next(entry)->generation;
  }
  return 0;
}

std::shared_ptr<const Config> ConfigHistory::find(uint64_t generation) const {
  const auto entry = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& e) { return e.generation == generation; });
  return entry == entries_.end() ? nullptr : entry->config;
}

}  // namespace xebec
