// SPDX-License-Identifier: BSD-2-Clause
// Where a fragmented datagram goes: a small set-associative table, the oldest entry of a set gives way.
#include "dataplane/fragment_table.h"

#include <algorithm>
#include <cstring>

namespace xebec {
namespace {

bool same(const FragmentKey& a, const FragmentKey& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

// 0 marks an empty place, so a clock that starts at 0 counts from 1.
uint64_t stamp(uint64_t now_ns) {
  return std::max<uint64_t>(now_ns, 1);
}

}  // namespace

void FragmentTable::remember(const FragmentKey& key, uint64_t hash, uint32_t backend_id, uint64_t now_ns) {
  static_assert((kSets & (kSets - 1)) == 0, "the set is chosen by mask");
  auto& set = sets_[hash & (kSets - 1)];
  Entry* victim = &set[0];
  for (Entry& entry : set) {
    if (entry.at_ns != 0 && same(entry.key, key)) {
      victim = &entry;  // the same first fragment again, or its id in use anew
      break;
    }
    if (entry.at_ns < victim->at_ns) victim = &entry;  // an empty place is older than any other
  }
  *victim = Entry{key, backend_id, stamp(now_ns)};
}

std::optional<uint32_t> FragmentTable::find(const FragmentKey& key, uint64_t hash, uint64_t now_ns) const {
  for (const Entry& entry : sets_[hash & (kSets - 1)]) {
    if (entry.at_ns == 0 || !same(entry.key, key)) continue;
    if (stamp(now_ns) - entry.at_ns > kLifetimeNs) return std::nullopt;
    return entry.backend_id;
  }
  return std::nullopt;
}

}  // namespace xebec
