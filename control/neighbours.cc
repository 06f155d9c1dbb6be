// SPDX-License-Identifier: BSD-2-Clause
// Neighbours: reading the kernel's states, and asking without stepping on anybody.
#include "control/neighbours.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cerrno>

namespace xebec {
namespace {

using namespace std::chrono_literals;
using State = ResolvedHop::State;

constexpr std::size_t kAsksPerCall = 512;  // some milliseconds of kernel time
// A neighbour that does not answer. The kernel itself needs three seconds of three probes to give up.
constexpr std::chrono::seconds kRetry = 1s;
// One that answers, on a kernel that does not manage entries: often enough that a dead one is noticed as by
// the kernel's own management (every 5 s).
constexpr std::chrono::seconds kRefresh = 3s;
// When the entry came or went between the look and the order.
constexpr std::chrono::milliseconds kLookAgain = 50ms;

constexpr uint16_t kUsable = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;

bool is_managed(const NeighbourEntry& entry) {
  return (entry.extended_flags & NTF_EXT_MANAGED) != 0;
}

/// An order would take away what somebody else configured.
bool is_foreign(const NeighbourEntry& entry) {
  return (entry.state & (NUD_PERMANENT | NUD_NOARP)) != 0 || (entry.flags & NTF_EXT_LEARNED) != 0 ||
         (is_managed(entry) && entry.protocol != kNeighbourProtocol);
}

bool is_ours(const NeighbourEntry& entry) {
  return is_managed(entry) && entry.protocol == kNeighbourProtocol && !is_foreign(entry);
}

Neighbours::View view_of(const NeighbourEntry& entry, const Neighbours::View& before) {
  if ((entry.state & kUsable) != 0) {
    if (entry.mac) return {State::reachable, *entry.mac};
    return {State::failed, {}};  // a tunnel's, say: no Ethernet frame can be sent there
  }
  // One that failed and is being asked again has still failed, else every retry would be news.
  const bool failed = (entry.state & NUD_FAILED) != 0 || before.state == State::failed;
  return {failed ? State::failed : State::resolving, {}};
}

}  // namespace

void Neighbours::schedule(Map::value_type& neighbour, std::optional<Time> when) {
  auto& [key, tracked] = neighbour;
  if (tracked.due) agenda_.erase({*tracked.due, key});
  tracked.due = when;
  if (when) agenda_.insert({*when, key});
}

void Neighbours::schedule_by_state(Map::value_type& neighbour, Time now) {
  const Tracked& tracked = neighbour.second;
  if (tracked.foreign) return schedule(neighbour, std::nullopt);
  if (tracked.view.state != State::reachable)
    return schedule(neighbour, std::max(now, tracked.asked + kRetry));
  if (!tracked.managed) return schedule(neighbour, std::max(now, tracked.asked + kRefresh));
  schedule(neighbour, std::nullopt);  // the kernel keeps it; notifications tell the rest
}

void Neighbours::want(const NeighbourKey& key, Time now) {
  const auto [at, added] = neighbours_.try_emplace(key);
  if (added) schedule(*at, now);
}

Neighbours::View Neighbours::view(const NeighbourKey& key) const {
  const auto found = neighbours_.find(key);
  return found == neighbours_.end() ? View{} : found->second.view;
}

std::optional<Neighbours::Time> Neighbours::next() const {
  if (agenda_.empty()) return std::nullopt;
  return agenda_.begin()->first;
}

bool Neighbours::update(const NeighbourEntry& entry, Time now) {
  const auto found = neighbours_.find(entry.key);
  if (found == neighbours_.end()) return false;
  Tracked& tracked = found->second;
  const View before = tracked.view;
  tracked.view = view_of(entry, before);
  tracked.present = true;
  tracked.foreign = is_foreign(entry);
  tracked.managed = is_managed(entry);
  schedule_by_state(*found, now);
  return tracked.view != before;
}

bool Neighbours::removed(const NeighbourKey& key, Time now) {
  const auto found = neighbours_.find(key);
  if (found == neighbours_.end()) return false;
  Tracked& tracked = found->second;
  const View before = tracked.view;
  tracked.view = {before.state == State::failed ? State::failed : State::resolving, {}};
  tracked.present = tracked.foreign = tracked.managed = false;
  schedule_by_state(*found, now);
  return tracked.view != before;
}

void Neighbours::look_again(Time now) {
  for (auto& neighbour : neighbours_) schedule(neighbour, now);
}

void Neighbours::ask(Time now, std::vector<NeighbourKey>& changed) {
  const std::vector<Map::value_type*> due = take_due(now);
  if (due.empty()) return;
  std::vector<View> before;
  before.reserve(due.size());
  for (const auto* neighbour : due) before.push_back(neighbour->second.view);
  std::vector<Map::value_type*> askable;
  look(due, now, askable);
  order(askable, now);
  for (std::size_t i = 0; i < due.size(); ++i) {
    if (due[i]->second.view != before[i]) changed.push_back(due[i]->first);
  }
}

std::vector<Neighbours::Map::value_type*> Neighbours::take_due(Time now) {
  std::vector<Map::value_type*> due;
  while (due.size() < kAsksPerCall && !agenda_.empty() && agenda_.begin()->first <= now) {
    auto& neighbour = *neighbours_.find(agenda_.begin()->second);
    schedule(neighbour, std::nullopt);
    due.push_back(&neighbour);
  }
  return due;
}

/// Right before an order we look, though notifications told us: the last one may still be unread, and an
/// order for an entry that has just been made permanent would undo that.
void Neighbours::look(const std::vector<Map::value_type*>& neighbours, Time now,
                      std::vector<Map::value_type*>& askable) {
  requests_.exchange(
      neighbours.size(),
      [&](std::size_t i, nlmsghdr* request) { ask_neighbour(request, neighbours[i]->first); },
      [&](std::size_t i, int error, const nlmsghdr* message) {
        auto& [key, tracked] = *neighbours[i];
        const auto entry = message != nullptr ? read_neighbour(message) : std::nullopt;
        if (entry && entry->key == key) {
          update(*entry, now);
        } else if (error == ENOENT) {
          removed(key, now);
        } else {
          // The interface has gone, or no answer: what is not known is not touched.
          tracked.asked = now;
          schedule_by_state(*neighbours[i], now);
          return;
        }
        const bool settled = tracked.view.state == State::reachable && tracked.managed;
        if (!tracked.foreign && !settled) askable.push_back(neighbours[i]);
      });
}

void Neighbours::order(const std::vector<Map::value_type*>& neighbours, Time now) {
  const bool managed = managed_supported_;
  requests_.exchange(
      neighbours.size(),
      [&](std::size_t i, nlmsghdr* request) {
        const auto& [key, tracked] = *neighbours[i];
        order_neighbour(request, key, {!tracked.present, managed, kNeighbourProtocol});
      },
      [&](std::size_t i, int error, const nlmsghdr*) {
        Tracked& tracked = neighbours[i]->second;
        tracked.asked = now;
        schedule_by_state(*neighbours[i], now);
        if (error == 0) return;
        if (managed && (error == EINVAL || error == EOPNOTSUPP)) {
          managed_supported_ = false;
          schedule(*neighbours[i], now);
        } else if (error == EEXIST || error == ENOENT) {
          schedule(*neighbours[i], now + kLookAgain);
        } else if (tracked.view.state == State::resolving) {
          tracked.view.state = State::failed;  // ENOBUFS: the kernel's neighbour table is full (gc_thresh3)
        }
      });
}

void Neighbours::release(const std::vector<NeighbourKey>& keys) {
  std::vector<NeighbourKey> ours;
  for (const NeighbourKey& key : keys) {
    const auto found = neighbours_.find(key);
    if (found == neighbours_.end()) continue;
    schedule(*found, std::nullopt);
    // All that the kernel may be managing for us: the notification that says so may not have been read yet.
    if (!found->second.foreign) ours.push_back(key);
    neighbours_.erase(found);
  }
  std::vector<NeighbourKey> managed;
  requests_.exchange(
      ours.size(), [&](std::size_t i, nlmsghdr* request) { ask_neighbour(request, ours[i]); },
      [&](std::size_t i, int, const nlmsghdr* message) {
        const auto entry = message != nullptr ? read_neighbour(message) : std::nullopt;
        if (entry && entry->key == ours[i] && is_ours(*entry)) managed.push_back(ours[i]);
      });
  requests_.exchange(
      managed.size(),
      [&](std::size_t i, nlmsghdr* request) {
        order_neighbour(request, managed[i], {false, false, RTPROT_KERNEL});
      },
      [](std::size_t, int, const nlmsghdr*) {});
}

}  // namespace xebec
