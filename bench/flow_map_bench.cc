// SPDX-License-Identifier: BSD-2-Clause
// The flow table against general hash maps: the same keys and the same hash function, looked up in the same
// random order. Ours by batches of 64 with its two prefetches, as forward_batch does it; theirs by find(),
// and absl's also with the prefetch and the ready hash that raw_hash_set offers. Theirs does less: no age, no
// TCP state, unbounded growth.
#include <absl/container/flat_hash_map.h>
#include <tsl/robin_map.h>

#include <array>
#include <cstring>
#include <random>
#include <vector>

#include "bench/measure.h"
#include "dataplane/flow_table.h"

namespace xebec::bench {
namespace {

constexpr uint64_t kNow = 1'000'000'000'000;
constexpr uint32_t kLookups = 1u << 20;

const HashSecret& secret() {
  static const HashSecret of_all({1, 2, 3, 4});
  return of_all;
}

struct Hash {
  std::size_t operator()(const FlowKey& key) const { return flow_hash(secret(), key); }
};

FlowKey key_of(uint32_t n) {
  FlowKey key;
  key.source = IpAddress::from_v4(Be32::from_host(0x0a000000u + n));
  key.destination = IpAddress::from_v4(Be32::from_host(0xc0000201u));
  key.source_port = Be16::from_host(static_cast<uint16_t>(n));
  key.destination_port = Be16::from_host(443);
  key.protocol = kProtoTcp;
  return key;
}

/// Times `look_up(keys)`, which returns the sum of the backends found, over random ones of these flows.
class Queries {
 public:
  explicit Queries(const std::vector<uint32_t>& flows) {
    std::mt19937 random(5);
    keys_.reserve(kLookups);
    for (uint32_t i = 0; i < kLookups; ++i) {
      const uint32_t n = flows[random() % flows.size()];
      keys_.push_back(key_of(n));
      expected_ += n;
    }
  }
  template <typename LookUp>
  double ns_per_lookup(const char* whose, LookUp&& look_up) const {
    uint64_t sum = 0;
    const double before = thread_cpu_ns();
    for (std::size_t at = 0; at < keys_.size(); at += kBatchSize) sum += look_up(&keys_[at]);
    const double spent = thread_cpu_ns() - before;
    require(sum == expected_, std::string("answers of ") + whose);
    return spent / kLookups;
  }

 private:
  std::vector<FlowKey> keys_;
  uint64_t expected_ = 0;
};

uint64_t look_up_ours(FlowTable& table, const FlowKey* keys) {
  std::array<FlowProbe, kBatchSize> probes;
  uint64_t sum = 0;
  for (std::size_t i = 0; i < kBatchSize; ++i) {
    probes[i] = table.probe(flow_hash(secret(), keys[i]));
    table.prefetch(probes[i]);
  }
  for (FlowProbe& probe : probes) table.prefetch_entry(probe);
  for (std::size_t i = 0; i < kBatchSize; ++i) {
    const FlowHit hit = table.lookup(keys[i], probes[i], kTcpAck, kNow);
    sum += hit.found() ? hit.backend_id : UINT32_MAX;
  }
  return sum;
}

template <typename Map>
uint64_t look_up_plain(const Map& map, const FlowKey* keys) {
  uint64_t sum = 0;
  for (std::size_t i = 0; i < kBatchSize; ++i) {
    const auto it = map.find(keys[i]);
    sum += it != map.end() ? it->second : UINT32_MAX;
  }
  return sum;
}

template <typename Map>
uint64_t look_up_prefetched(const Map& map, const FlowKey* keys) {
  std::array<uint64_t, kBatchSize> hashes;
  uint64_t sum = 0;
  for (std::size_t i = 0; i < kBatchSize; ++i) {
    hashes[i] = map.hash_function()(keys[i]);
    map.prefetch(keys[i]);
  }
  for (std::size_t i = 0; i < kBatchSize; ++i) {
    const auto it = const_cast<Map&>(map).find(keys[i], hashes[i]);
    sum += it != const_cast<Map&>(map).end() ? it->second : UINT32_MAX;
  }
  return sum;
}

void compare_maps(const Options& options, uint32_t flows, const std::string& size) {
  const std::string name = "core/flow-lookup-" + size;
  if (!options.wants(name)) return;
  FlowTableConfig config;
  config.capacity = flows;
  config.max_inserts_per_s = UINT32_MAX;
  FlowTable ours(config);
  absl::flat_hash_map<FlowKey, uint32_t, Hash> absl_map;
  tsl::robin_map<FlowKey, uint32_t, Hash> tsl_map;
  absl_map.reserve(flows);
  tsl_map.reserve(flows);
  std::vector<uint32_t> present;
  for (uint32_t n = 0; n < flows; ++n) {
    const FlowKey key = key_of(n);
    // Twice, the second time established: a flow seen once would give way.
    const FlowProbe probe = ours.probe(flow_hash(secret(), key));
    if (!ours.insert(key, probe, n, kTcpAck, kNow)) continue;  // fewer than 1 in 10,000
    present.push_back(n);
    ours.lookup(key, probe, kTcpAck, kNow);
    absl_map.emplace(key, n);
    tsl_map.emplace(key, n);
  }
  require(present.size() >= flows - flows / 1000, "our inserts");
  const Queries queries(present);
  const auto us = [&] {
    return queries.ns_per_lookup("ours", [&](const FlowKey* keys) { return look_up_ours(ours, keys); });
  };
  const std::optional<double> target = flows == 1'000'000 ? std::optional(0.5) : std::nullopt;
  compare(options, name + "/ours-vs-absl", "ns/lookup", target, us, [&] {
    return queries.ns_per_lookup("absl", [&](const FlowKey* keys) { return look_up_plain(absl_map, keys); });
  });
  compare(options, name + "/ours-vs-absl-prefetched", "ns/lookup", std::nullopt, us, [&] {
    return queries.ns_per_lookup("absl, prefetched",
                                 [&](const FlowKey* keys) { return look_up_prefetched(absl_map, keys); });
  });
  compare(options, name + "/ours-vs-tsl-robin", "ns/lookup", std::nullopt, us, [&] {
    return queries.ns_per_lookup("tsl", [&](const FlowKey* keys) { return look_up_plain(tsl_map, keys); });
  });
  if (flows != 1'000'000) return;
  constexpr double kMiB = 1 << 20;
  constexpr double kLimitMiB = 64;
  measure(options, "core/flow-memory-1M/ours-vs-64MiB", "MiB", kLimitMiB,
          [&] { return static_cast<double>(ours.memory_bytes()) / kMiB; });
}

}  // namespace
}  // namespace xebec::bench

int main(int argc, char** argv) {
  const xebec::bench::Options options = xebec::bench::options_of(argc, argv);
  xebec::bench::compare_maps(options, 1'000, "1k");
  xebec::bench::compare_maps(options, 100'000, "100k");
  xebec::bench::compare_maps(options, 1'000'000, "1M");
}
