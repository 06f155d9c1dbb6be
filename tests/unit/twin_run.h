// SPDX-License-Identifier: BSD-2-Clause
// Two runs of the same packets side by side that differ only in what lies around the frames' bytes: what comes out must not
// differ.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/forward.h"
#include "tests/unit/forward_world.h"

namespace xebec::test {

class TwinRun {
 public:
  /// What is wrong with one packet's fate, "" if nothing.
  using Judge = std::function<std::string(const Bytes& in, const Decision&, const Packet& out, const Table&)>;

  /// headroom: bytes before each frame.
  TwinRun(std::unique_ptr<const Table> table, uint32_t headroom, Judge judge)
      : table_(std::move(table)), headroom_(headroom), judge_(std::move(judge)) {}

  void add(Bytes frame) {
    batch_.push_back(std::move(frame));
    if (batch_.size() == kBatchSize) flush();
  }

  void flush() {
    Half a(batch_, headroom_, 0xa5);
    Half b(batch_, headroom_, 0x5a);
    run(*state_a_, a);
    run(*state_b_, b);
    now_ += 1'000'000;
    for (std::size_t i = 0; i < batch_.size(); ++i) judge(i, a, b);
    ASSERT_TRUE(accounts_balance(state_a_->counters));
    sent_ += batch_.size();
    ASSERT_EQ(counters().received.read(), sent_);
    batch_.clear();
  }

  const WorkerCounters& counters() const { return state_a_->counters; }
  uint64_t drops(DropReason reason) const {
    return counters().drops[static_cast<std::size_t>(reason)].read();
  }
  int faults() const { return faults_; }

 private:
  struct Half {
    Half(const std::vector<Bytes>& batch, uint32_t headroom, uint8_t poison) : decisions(batch.size()) {
      for (const Bytes& bytes : batch) frames.emplace_back(bytes, headroom, poison);
      for (const HeapFrame& frame : frames) packets.push_back(frame.packet());
    }
    std::vector<HeapFrame> frames;
    std::vector<Packet> packets;
    std::vector<Decision> decisions;
  };

  void run(ForwardState& state, Half& half) const {
    forward_batch(*table_, state, half.packets, half.decisions, now_);
    count_sent(state.counters, half.decisions);
  }

  void judge(std::size_t i, const Half& a, const Half& b) {
    std::string wrong = judge_(batch_[i], a.decisions[i], a.packets[i], *table_);
    if (wrong.empty() && bytes_of(a.packets[i]) != bytes_of(b.packets[i]))
      wrong = "bytes of the buffer leaked";
    if (wrong.empty() || ++faults_ > 10) return;
    ADD_FAILURE() << wrong << ": " << testing::PrintToString(batch_[i]);
  }

  static std::unique_ptr<ForwardState> make_state() {
    FlowTableConfig config;
    config.capacity = 1024;
    return std::make_unique<ForwardState>(config);
  }

  std::unique_ptr<const Table> table_;
  uint32_t headroom_;
  Judge judge_;
  std::unique_ptr<ForwardState> state_a_ = make_state();
  std::unique_ptr<ForwardState> state_b_ = make_state();
  std::vector<Bytes> batch_;
  uint64_t now_ = 1'000'000'000;
  uint64_t sent_ = 0;
  int faults_ = 0;
};

}  // namespace xebec::test
