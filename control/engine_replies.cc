// SPDX-License-Identifier: BSD-2-Clause
// The engine's part in choosing ports of mode nat by what RSS foretells: it tells the workers what the drivers tell, and looks
// whether it is so.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "control/engine.h"

namespace xebec {
namespace {

// The kernel tells of changes (ethtool -X) from 6.16 on only, and not for every driver. Until it is noticed, replies arrive at
// another worker, which is no harm.
constexpr uint64_t kReadHashingMs = 10'000;

}  // namespace

ReplyHoming::Counts Engine::reply_arrivals(std::size_t interface) const {
  ReplyHoming::Counts counts;
  for (std::size_t c = 0; c < kHashClasses; ++c)
    counts[c] = nat_->arrivals(interface, static_cast<HashClass>(c));
  return counts;
}

void Engine::look_after_replies(uint64_t now_ms) {
  if (!tables_->current().translates()) return;
  homing_.resize(interfaces_.size());
  const bool read = now_ms >= read_hashing_ms_ && workers_.size() > 1;
  if (read) read_hashing_ms_ = now_ms + kReadHashingMs;
  for (std::size_t i = 0; i < interfaces_.size(); ++i) {
    ServedInterface& served = interfaces_[i];
    ReplyHoming& homing = homing_[i];
    const std::shared_ptr<const ReplyQueues> before = homing.queues();
    const ReplyHoming::Counts now = reply_arrivals(i);
    if (read) {
      served.hardware.receive_hashing = Ethtool().receive_hashing(served.name);
      homing.set(served.hardware.receive_hashing, served.queues, now);
    }
    for (const HashClass c : homing.observe(now)) {
      spdlog::warn(
          "interface {}: replies of mode nat ({}) do not come to the queues that RSS foretells; ports are "
          "chosen without it",
          served.config.name, kHashClassNames[static_cast<std::size_t>(c)]);
    }
    if (homing.queues() == before) continue;
    nat_->set_reply_queues(i, homing.queues().get());
    if (before != nullptr) tables_->retire(before);
  }
  (void)tables_->reclaim();
}

const ReplyHoming& Engine::reply_homing(std::size_t interface) const {
  static const ReplyHoming kNone;
  return interface < homing_.size() ? homing_[interface] : kNone;
}

}  // namespace xebec
