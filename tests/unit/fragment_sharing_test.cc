// SPDX-License-Identifier: BSD-2-Clause
// Fragment tables under several readers: what is found is what was remembered, whole. Runs under TSan too.
#include "dataplane/fragment_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace xebec {
namespace {

constexpr uint64_t kNow = 1'000'000'000;

/// All words of a key follow from its id, and so does its backend.
FragmentKey key_of(uint32_t id) {
  FragmentKey key;
  for (std::size_t i = 0; i < key.source.bytes.size(); ++i) {
    key.source.bytes[i] = static_cast<uint8_t>(id >> i % 4 * 8);
    key.destination.bytes[i] = static_cast<uint8_t>(~id >> i % 4 * 8);
  }
  key.id = id;
  return key;
}
uint32_t backend_of(uint32_t id) {
  return id * 2'654'435'761u;
}

TEST(FragmentSharing, ShowsReadersWholeEntriesOnly) {
  constexpr uint32_t kWrites = 10'000;
  constexpr uint32_t kIds = 12;  // three times what a set holds: entries are overwritten all the time
  constexpr uint64_t kHash = 7;
  const auto table = std::make_shared<FragmentTable>();
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> wrong{0}, found{0}, rounds{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        for (uint32_t id = 0; id < kIds; ++id) {
          const auto there = table->find(key_of(id), kHash, kNow);
          if (!there) continue;
          ++found;
          if (there->backend_id != backend_of(id) || there->at_ns < kNow) ++wrong;
        }
        ++rounds;
      }
    });
  }
  // The writes are meant to meet the readers.
  while (rounds.load() < 10) std::this_thread::yield();
  for (uint32_t n = 0; n < kWrites; ++n) {
    table->remember(key_of(n % kIds), kHash, backend_of(n % kIds), kNow + n);
    if (n % 100 == 0) std::this_thread::yield();
  }
  const uint64_t seen = rounds.load();
  while (rounds.load() < seen + 10) std::this_thread::yield();
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_GT(found.load(), 0u);
}

// A worker that holds a fragment waits for the counter, and must then find what made it grow.
TEST(FragmentSharing, WhoSeesTheCounterGrowFindsWhatMadeItGrow) {
  constexpr uint32_t kWrites = 1'000;
  const auto table = std::make_shared<FragmentTable>();
  std::atomic<uint32_t> answered{0};
  uint64_t missed = 0;
  std::thread reader([&] {
    for (uint32_t n = 0; n < kWrites; ++n) {
      while (table->remembered() <= n) std::this_thread::yield();
      const auto there = table->find(key_of(n), n, kNow);
      if (!there || there->backend_id != backend_of(n)) ++missed;
      answered.store(n + 1, std::memory_order_release);
    }
  });
  for (uint32_t n = 0; n < kWrites; ++n) {
    table->remember(key_of(n), n, backend_of(n), kNow);
    while (answered.load(std::memory_order_acquire) <= n) std::this_thread::yield();
  }
  reader.join();
  EXPECT_EQ(missed, 0u);
}

}  // namespace
}  // namespace xebec
