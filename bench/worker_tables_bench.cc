// SPDX-License-Identifier: BSD-2-Clause
// What workers cost each other by their memory alone: flow tables of several workers in one process, looked up batch by
// batch in turns (one CPU's caches carry all of them, the worst there is), and by two threads at once (what is shared is
// the last level). The peer of each row is one table of the same number of flows, alone; ratios are the price.
#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "bench/measure.h"
#include "dataplane/affinity.h"
#include "dataplane/flow_table.h"
#include "dataplane/limits.h"

namespace xebec::bench {
namespace {

constexpr uint64_t kNow = 1'000'000'000'000;
constexpr uint32_t kLookups = 1u << 20;

/// One worker's table with its flows, and the packets that ask for them.
class World {
 public:
  World(uint32_t worker, uint32_t flows)
      : secret_({static_cast<uint8_t>(worker + 1), 2, 3, 4}), table_(config_of(flows)) {
    std::vector<uint32_t> present;
    for (uint32_t n = 0; n < flows; ++n) {
      const FlowKey key = key_of(worker, n);
      const FlowProbe probe = table_.probe(flow_hash(secret_, key));
      if (!table_.insert(key, probe, n, kTcpAck, kNow)) continue;  // fewer than 1 in 10,000
      table_.lookup(key, probe, kTcpAck, kNow);                    // established: it does not give way
      present.push_back(n);
    }
    std::mt19937 random(worker);
    for (uint32_t i = 0; i < kLookups; ++i) {
      const uint32_t n = present[random() % present.size()];
      keys_.push_back(key_of(worker, n));
      numbers_.push_back(n);
    }
  }

  /// Batch number `batch`; the time of the first is not measured by the caller.
  void look_up(uint32_t batch) {
    const std::size_t at = std::size_t{batch} * kBatchSize;
    std::array<FlowProbe, kBatchSize> probes;
    for (std::size_t i = 0; i < kBatchSize; ++i) {
      probes[i] = table_.probe(flow_hash(secret_, keys_[at + i]));
      table_.prefetch(probes[i]);
    }
    for (FlowProbe& probe : probes) table_.prefetch_entry(probe);
    for (std::size_t i = 0; i < kBatchSize; ++i) {
      const FlowHit hit = table_.lookup(keys_[at + i], probes[i], kTcpAck, kNow);
      wrong_ += hit.found() && hit.backend_id == numbers_[at + i] ? 0 : 1;
    }
  }
  uint64_t wrong() const { return wrong_; }

 private:
  static FlowTableConfig config_of(uint32_t flows) {
    FlowTableConfig config;
    config.capacity = flows;
    config.max_inserts_per_s = UINT32_MAX;
    return config;
  }
  static FlowKey key_of(uint32_t worker, uint32_t n) {
    FlowKey key;
    key.source = IpAddress::from_v4(Be32::from_host(0x0a000000u + (worker << 22) + n));
    key.destination = IpAddress::from_v4(Be32::from_host(0xc0000201u));
    key.source_port = Be16::from_host(static_cast<uint16_t>(n));
    key.destination_port = Be16::from_host(443);
    key.protocol = kProtoTcp;
    return key;
  }

  HashSecret secret_;
  FlowTable table_;
  std::vector<FlowKey> keys_;
  std::vector<uint32_t> numbers_;
  uint64_t wrong_ = 0;
};

using Worlds = std::vector<std::unique_ptr<World>>;

/// CPU time of a lookup, with `count` of the worlds in turns.
double in_turns(Worlds& worlds, std::size_t count) {
  const auto batches = static_cast<uint32_t>(kLookups / kBatchSize);
  const double before = thread_cpu_ns();
  for (uint32_t batch = 0; batch < batches; ++batch) worlds[batch % count]->look_up(batch);
  const double spent = thread_cpu_ns() - before;
  for (const auto& world : worlds) require(world->wrong() == 0, "flow lookups");
  return spent / kLookups;
}

/// The same of one world, while a second thread does the same with another until this one has finished.
double beside_another(Worlds& worlds, uint32_t cpu) {
  std::atomic<bool> running{false}, stop{false};
  std::thread other([&] {
    (void)pin_this_thread(cpu);
    for (uint32_t batch = 0; !stop.load(std::memory_order_relaxed);
         batch = (batch + 1) % (kLookups / kBatchSize)) {
      worlds[1]->look_up(batch);
      running.store(true, std::memory_order_relaxed);
    }
  });
  while (!running.load(std::memory_order_relaxed)) std::this_thread::yield();
  const double ns = in_turns(worlds, 1);
  stop.store(true, std::memory_order_relaxed);
  other.join();
  require(worlds[1]->wrong() == 0, "flow lookups of the second thread");
  return ns;
}

void run(const Options& options, const std::vector<uint32_t>& cpus, uint32_t flows, const std::string& size) {
  const std::string name = "scaling/tables-" + size;
  if (!options.wants(name)) return;
  Worlds worlds;
  for (uint32_t w = 0; w < 4; ++w) worlds.push_back(std::make_unique<World>(w, flows));
  const auto alone = [&] { return in_turns(worlds, 1); };
  for (const std::size_t count : {std::size_t{2}, std::size_t{4}}) {
    compare(
        options, name + "-x" + std::to_string(count) + "-in-turns", "ns", std::nullopt,
        [&] { return in_turns(worlds, count); }, alone);
  }
  if (cpus.size() < 2) return;
  compare(
      options, name + "-beside-another-cpu", "ns", std::nullopt,
      [&] { return beside_another(worlds, cpus.front()); }, alone);
}

}  // namespace
}  // namespace xebec::bench

int main(int argc, char** argv) {
  using namespace xebec::bench;
  const Options options = options_of(argc, argv);
  const std::vector<uint32_t> cpus = xebec::allowed_cpus();
  // The last CPU: interrupts and everybody else prefer the first.
  (void)xebec::pin_this_thread(cpus.back());
  run(options, cpus, 1'000, "1k");
  run(options, cpus, 30'000, "30k");
  run(options, cpus, 250'000, "250k");
  return 0;
}
