// SPDX-License-Identifier: BSD-2-Clause
// Whether workers choose ports of mode nat by what RSS foretells of the replies.
#include "control/reply_homing.h"

#include <string_view>

#include <fmt/format.h>

namespace xebec {
namespace {

constexpr uint32_t kToeplitzFunction = 1;  // ETH_RSS_HASH_TOP of linux/ethtool.h

}  // namespace

bool ReplyHoming::set(const std::optional<ReceiveHashing>& hashing, uint32_t queues, const Counts& now) {
  const bool useful =
      queues > 1 && hashing && (hashing->functions & kToeplitzFunction) != 0 && !hashing->indirection.empty();
  const std::optional<ReceiveHashing> told = useful ? hashing : std::nullopt;
  if (told == hashing_) return false;
  hashing_ = told;
  stopped_ = 0;
  since_ = now;
  make();
  return true;
}

std::vector<HashClass> ReplyHoming::observe(const Counts& now) {
  std::vector<HashClass> stop;
  for (std::size_t i = 0; i < kHashClasses; ++i) {
    const auto hash_class = static_cast<HashClass>(i);
    const uint64_t home = now[i].home - since_[i].home;
    const uint64_t away = now[i].away - since_[i].away;
    if (home + away < kWindow) continue;
    since_[i] = now[i];
    // Those of before it stopped go on to be answered.
    if (state(hash_class) == State::by_rss && home < 3 * away) stop.push_back(hash_class);
  }
  for (const HashClass hash_class : stop) stopped_ |= bit_of(hash_class);
  if (!stop.empty()) make();
  return stop;
}

ReplyHoming::State ReplyHoming::state(HashClass hash_class) const {
  if (!hashing_) return State::unknown;
  if ((stopped_ & bit_of(hash_class)) != 0) return State::stopped;
  return queues_ != nullptr && (queues_->classes() & bit_of(hash_class)) != 0 ? State::by_rss
                                                                              : State::unknown;
}

void ReplyHoming::make() {
  queues_ = nullptr;
  if (!hashing_) return;
  const auto wanted = static_cast<uint8_t>(kAllHashClasses & ~stopped_);
  auto queues = std::make_shared<const ReplyQueues>(hashing_->key, hashing_->indirection, wanted);
  if (queues->classes() != 0) queues_ = std::move(queues);
}

const char* name_of(ReplyHoming::State state) {
  constexpr const char* kNames[] = {"unknown", "by-rss", "stopped"};
  return kNames[static_cast<std::size_t>(state)];
}

std::string summary_of(const ReplyHoming& homing) {
  std::vector<std::string_view> by_rss, not_so;
  for (std::size_t i = 0; i < kHashClasses; ++i) {
    const bool chosen = homing.state(static_cast<HashClass>(i)) == ReplyHoming::State::by_rss;
    (chosen ? by_rss : not_so).push_back(kHashClassNames[i]);
  }
  if (by_rss.empty()) return "any";
  if (not_so.empty()) return "by RSS";
  return fmt::format("by RSS, but not {}", fmt::join(not_so, ", "));
}

std::vector<Finding> findings_of(const std::string& interface, const ReplyHoming& homing,
                                 const ReplyHoming::Counts& counts) {
  std::vector<Finding> findings;
  for (std::size_t i = 0; i < kHashClasses; ++i) {
    const ReplyHoming::State state = homing.state(static_cast<HashClass>(i));
    const uint64_t all = counts[i].home + counts[i].away;
    const std::string_view name = kHashClassNames[i];
    if (state == ReplyHoming::State::by_rss && all != 0) {
      findings.push_back(
          {Finding::Level::ok,
           fmt::format("{}: of {} first replies of mode nat ({}) {} came to the queue that RSS foretold",
                       interface, all, name, counts[i].home),
           {}});
    }
    if (state != ReplyHoming::State::stopped) continue;
    findings.push_back(
        {Finding::Level::warn,
         fmt::format("{}: replies of mode nat ({}) do not come to the queues that RSS foretells, "
                     "another worker translates them; ports are chosen without it",
                     interface, name),
         fmt::format("ethtool -N {} rx-flow-hash {} sdfn, and restart xebecd", interface, name)});
  }
  return findings;
}

}  // namespace xebec
