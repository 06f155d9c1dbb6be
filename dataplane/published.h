// SPDX-License-Identifier: BSD-2-Clause
// One value, replaced by a single writer, read by many without a lock: publication with quiescent-state
// reclamation.
//
//   writer (control thread)                    reader (worker), once a round
//   -----------------------                    -----------------------------
//   publish(new): current := new               quiescent(): seen := epoch    holds nothing of earlier rounds
//                 epoch := epoch + 1           get():       value := current
//   reclaim():    frees a retired value when   sleep():     seen := asleep   holds nothing until it wakes
//                 each reader is asleep or     wake():      seen := epoch
//                 has seen a later epoch
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace xebec {

template <typename T>
class Published {
 public:
  /// One reader's place. Lives as long as the Published it was made for; used by one thread.
  class Reader {
   public:
    explicit Reader(const Published& owner) : owner_(owner) {}

    /// Nothing obtained by get() before this call is used after it.
    void quiescent() {
      // Acquire pairs with publish()'s release of epoch: who has seen the epoch finds its value or a later
      // one in current.
      seen_.store(owner_.epoch_.load(std::memory_order_acquire), std::memory_order_release);
    }
    /// The value of now; valid until the next quiescent() or sleep().
    const T* get() const { return owner_.current_.load(std::memory_order_acquire); }

    /// A sleeping reader holds nothing and is not waited for.
    void sleep() { seen_.store(kAsleep, std::memory_order_release); }
    void wake() {
      // Sequentially consistent with reclaim()'s look at seen_ and publish()'s store of current_: either the
      // writer sees this reader awake at an old epoch and waits, or this reader's next get() finds the new
      // value. Release/acquire would allow both to miss each other (store-load reordering).
      seen_.store(owner_.epoch_.load(std::memory_order_seq_cst), std::memory_order_seq_cst);
      (void)owner_.current_.load(std::memory_order_seq_cst);
    }
    bool asleep() const { return seen_.load(std::memory_order_relaxed) == kAsleep; }

   private:
    friend class Published;
    static constexpr uint64_t kAsleep = 0;
    const Published& owner_;
    alignas(64) std::atomic<uint64_t> seen_{kAsleep};  // written by the reader, read by the writer
  };

  explicit Published(std::unique_ptr<const T> initial) : current_(initial.release()) {}
  ~Published() { delete current_.load(std::memory_order_relaxed); }  // readers are gone by then
  Published(const Published&) = delete;
  Published& operator=(const Published&) = delete;

  /// Before the reader's thread starts and after it ended, on the writer's thread.
  void add_reader(const Reader& reader) { readers_.push_back(&reader); }

  /// Writer's thread. The old value is kept until reclaim() finds no reader that could hold it.
  void publish(std::unique_ptr<const T> value) {
    const T* old = current_.load(std::memory_order_relaxed);
    current_.store(value.release(), std::memory_order_seq_cst);
    const uint64_t epoch = epoch_.load(std::memory_order_relaxed) + 1;
    epoch_.store(epoch, std::memory_order_seq_cst);
    retired_.push_back({epoch, std::unique_ptr<const T>(old), nullptr});
  }

  /// Writer's thread. Keeps something that readers reach beside the value, by a pointer that they load with seq_cst after
  /// quiescent() or wake() and that no longer names it, as long as a reader may hold it.
  void retire(std::shared_ptr<const void> thing) {
    const uint64_t epoch = epoch_.load(std::memory_order_relaxed) + 1;
    epoch_.store(epoch, std::memory_order_seq_cst);
    retired_.push_back({epoch, nullptr, std::move(thing)});
  }

  /// Writer's thread. Frees what no reader can hold any more; returns how many values still wait.
  std::size_t reclaim() {
    uint64_t oldest = UINT64_MAX;
    for (const Reader* reader : readers_) {
      const uint64_t seen = reader->seen_.load(std::memory_order_seq_cst);
      if (seen != Reader::kAsleep && seen < oldest) oldest = seen;
    }
    std::erase_if(retired_, [&](const Retired& r) { return r.epoch <= oldest; });
    return retired_.size();
  }

  /// Writer's thread.
  const T& current() const { return *current_.load(std::memory_order_relaxed); }

 private:
  struct Retired {
    uint64_t epoch;  ///< a reader that has seen this epoch does not hold the value
    std::unique_ptr<const T> value;
    std::shared_ptr<const void> beside;
  };
  std::atomic<const T*> current_;
  std::atomic<uint64_t> epoch_{1};
  std::vector<const Reader*> readers_;
  std::vector<Retired> retired_;
};

}  // namespace xebec
