// SPDX-License-Identifier: BSD-2-Clause
// Where a fragmented datagram goes: a small set-associative table, the oldest entry of a set gives way.
//
// The entries are sequence locks made of atomic words, so that readers that meet the writer are no data race. Release
// stores of the words keep them behind the odd sequence, acquire loads keep the second look at the sequence behind them;
// a fence would say the same, but ThreadSanitizer does not know fences.
#include "dataplane/fragment_table.h"

#include <algorithm>
#include <bit>

namespace xebec {
namespace {

// Writing is eight stores. Who meets it so often in a row looks again with the next fragment.
constexpr int kReadTries = 4;

// 0 marks an empty place, so a clock that starts at 0 counts from 1.
uint64_t stamp(uint64_t now_ns) {
  return std::max<uint64_t>(now_ns, 1);
}

}  // namespace

void FragmentTable::write(Entry& entry, const KeyWords& key, const Decision& decision) {
  const uint64_t sequence = entry.sequence.load(std::memory_order_relaxed);
  entry.sequence.store(sequence + 1, std::memory_order_relaxed);
  for (std::size_t i = 0; i < kKeyWords; ++i) entry.key[i].store(key[i], std::memory_order_release);
  entry.backend_id.store(decision.backend_id, std::memory_order_release);
  entry.at_ns.store(decision.at_ns, std::memory_order_release);
  entry.sequence.store(sequence + 2, std::memory_order_release);
}

std::optional<FragmentTable::Snapshot> FragmentTable::read(const Entry& entry) {
  for (int i = 0; i < kReadTries; ++i) {
    const uint64_t before = entry.sequence.load(std::memory_order_acquire);
    Snapshot snapshot;
    for (std::size_t k = 0; k < kKeyWords; ++k)
      snapshot.key[k] = entry.key[k].load(std::memory_order_acquire);
    snapshot.decision.backend_id = static_cast<uint32_t>(entry.backend_id.load(std::memory_order_acquire));
    snapshot.decision.at_ns = entry.at_ns.load(std::memory_order_acquire);
    if (before % 2 == 0 && entry.sequence.load(std::memory_order_relaxed) == before) return snapshot;
  }
  return std::nullopt;
}

void FragmentTable::remember(const FragmentKey& key, uint64_t hash, uint32_t backend_id, uint64_t now_ns) {
  static_assert((kSets & (kSets - 1)) == 0, "the set is chosen by mask");
  const auto words = std::bit_cast<KeyWords>(key);
  auto& set = sets_[hash & (kSets - 1)];
  Entry* victim = &set[0];
  uint64_t oldest = UINT64_MAX;
  for (Entry& entry : set) {
    const std::optional<Snapshot> there = read(entry);  // its only writer is here: there is something
    if (there->decision.at_ns != 0 && there->key == words) {
      victim = &entry;  // the same first fragment again, or its id in use anew
      break;
    }
    if (there->decision.at_ns >= oldest) continue;  // an empty place is older than any other
    victim = &entry;
    oldest = there->decision.at_ns;
  }
  write(*victim, words, {backend_id, stamp(now_ns)});
  remembered_.store(remembered_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

std::optional<FragmentTable::Decision> FragmentTable::find(const FragmentKey& key, uint64_t hash,
                                                           uint64_t now_ns) const {
  const auto words = std::bit_cast<KeyWords>(key);
  for (const Entry& entry : sets_[hash & (kSets - 1)]) {
    const std::optional<Snapshot> there = read(entry);
    if (!there || there->decision.at_ns == 0 || there->key != words) continue;
    // Another worker's clock may have been read a moment later than ours.
    const uint64_t now = std::max(stamp(now_ns), there->decision.at_ns);
    if (now - there->decision.at_ns > kLifetimeNs) return std::nullopt;
    return there->decision;
  }
  return std::nullopt;
}

std::optional<uint32_t> find_newest(const FragmentTable& own, std::span<const SharedFragmentTable> others,
                                    const FragmentKey& key, uint64_t hash, uint64_t now_ns) {
  auto newest = own.find(key, hash, now_ns);
  for (const SharedFragmentTable& table : others) {
    const auto there = table->find(key, hash, now_ns);
    if (there && (!newest || there->at_ns > newest->at_ns)) newest = there;
  }
  if (!newest) return std::nullopt;
  return newest->backend_id;
}

}  // namespace xebec
