// SPDX-License-Identifier: BSD-2-Clause
// Publication: what was published is seen, and nothing is freed that a reader may hold. The stress runs under
// TSan too.
#include "dataplane/published.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace xebec {
namespace {

/// Knows how many of its kind live, and poisons itself on destruction so that a use after it shows.
struct Value {
  static inline std::atomic<int> alive{0};
  explicit Value(uint64_t n) : a(n), b(~n) { ++alive; }
  ~Value() {
    a = b = 0;
    --alive;
  }
  bool whole() const { return a == ~b; }
  uint64_t a;
  uint64_t b;
};

TEST(Published, ShowsTheNewValueToTheNextGet) {
  Published<Value> published(std::make_unique<Value>(1));
  Published<Value>::Reader reader(published);
  published.add_reader(reader);
  reader.wake();
  reader.quiescent();
  EXPECT_EQ(reader.get()->a, 1u);
  published.publish(std::make_unique<Value>(2));
  EXPECT_EQ(reader.get()->a, 2u);
}

TEST(Published, KeepsTheOldValueUntilTheReaderWasQuiescent) {
  Published<Value> published(std::make_unique<Value>(1));
  Published<Value>::Reader reader(published);
  published.add_reader(reader);
  reader.wake();
  reader.quiescent();
  const Value* held = reader.get();
  published.publish(std::make_unique<Value>(2));
  EXPECT_EQ(published.reclaim(), 1u);
  EXPECT_TRUE(held->whole());
  reader.quiescent();
  EXPECT_EQ(published.reclaim(), 0u);
  EXPECT_EQ(Value::alive.load(), 1);
}

TEST(Published, DoesNotWaitForASleepingReader) {
  Published<Value> published(std::make_unique<Value>(1));
  Published<Value>::Reader awake(published), asleep(published);
  published.add_reader(awake);
  published.add_reader(asleep);
  awake.wake();
  asleep.wake();
  asleep.sleep();
  published.publish(std::make_unique<Value>(2));
  EXPECT_EQ(published.reclaim(), 1u) << "the awake one may hold it";
  awake.quiescent();
  EXPECT_EQ(published.reclaim(), 0u);
  asleep.wake();
  EXPECT_EQ(asleep.get()->a, 2u);
}

TEST(Published, NeverFreesWhatAReaderHoldsUnderConstantChange) {
  constexpr uint64_t kChanges = 20'000;
  Published<Value> published(std::make_unique<Value>(0));
  struct Thread {
    std::unique_ptr<Published<Value>::Reader> reader;
    std::thread thread;
  };
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> broken{0}, backwards{0}, reads{0};
  std::vector<Thread> threads(3);
  for (std::size_t i = 0; i < threads.size(); ++i) {
    threads[i].reader = std::make_unique<Published<Value>::Reader>(published);
    published.add_reader(*threads[i].reader);
  }
  for (std::size_t i = 0; i < threads.size(); ++i) {
    threads[i].thread = std::thread([&, i] {
      Published<Value>::Reader& reader = *threads[i].reader;
      reader.wake();
      uint64_t last = 0;
      uint64_t round = 0;
      while (!stop.load(std::memory_order_relaxed)) {
        reader.quiescent();
        const Value* v = reader.get();
        if (!v->whole()) ++broken;
        if (v->a < last) ++backwards;
        last = v->a;
        ++reads;
        if (++round % 16 == i) {  // some rounds asleep, so that waking meets publishing
          reader.sleep();
          reader.wake();
        }
      }
      reader.sleep();
    });
  }
  // The changes are meant to meet the readers: all of them run before the first, and some reads come after the last.
  while (reads.load() < 1000) std::this_thread::yield();
  for (uint64_t n = 1; n <= kChanges; ++n) {
    published.publish(std::make_unique<Value>(n));
    published.reclaim();
  }
  stop = true;
  for (Thread& t : threads) t.thread.join();
  EXPECT_EQ(broken.load(), 0u);
  EXPECT_EQ(backwards.load(), 0u);
  EXPECT_GT(reads.load(), 0u);
  EXPECT_EQ(published.reclaim(), 0u);
}

}  // namespace
}  // namespace xebec
