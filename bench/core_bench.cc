// SPDX-License-Identifier: BSD-2-Clause
// What a packet pays in the core: finding its flow, remembering a new one, picking a backend; and what a
// change pays to rebuild a lookup array. Every benchmark checks its answers.
#include <benchmark/benchmark.h>

#include <array>
#include <random>
#include <vector>

#include "dataplane/flow_table.h"
#include "dataplane/limits.h"
#include "dataplane/maglev.h"
#include "dataplane/table.h"

namespace xebec {
namespace {

constexpr uint64_t kNow = 1'000'000'000'000;

enum class Prefetch { none, tags, tags_and_entry };

struct Packet {
  FlowKey key;
  uint64_t hash;
};

Packet packet_of(uint32_t n) {
  static const HashSecret secret;
  Packet packet;
  const Be32 source = Be32::from_host(0x0a000000u + n);
  packet.key.source = IpAddress{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};
  std::memcpy(packet.key.source.bytes.data() + 12, source.bytes, 4);
  packet.key.destination = IpAddress{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1}};
  packet.key.source_port = Be16::from_host(static_cast<uint16_t>(n));
  packet.key.destination_port = Be16::from_host(443);
  packet.key.protocol = kProtoTcp;
  packet.hash = flow_hash(secret, packet.key);
  return packet;
}

FlowTableConfig config_of(uint32_t capacity) {
  FlowTableConfig config;
  config.capacity = capacity;
  config.max_inserts_per_s = UINT32_MAX;
  return config;
}

/// Batches of random packets among `flows`, numbered from `first`. Read in turn, like receive rings: the
/// packets' own cache misses are not the table's.
std::vector<Packet> random_packets(uint32_t first, uint32_t flows) {
  std::mt19937 random(1);
  std::vector<Packet> packets(kBatchSize * 4096);
  for (Packet& packet : packets) packet = packet_of(first + static_cast<uint32_t>(random() % flows));
  return packets;
}

/// Asks for a batch of packets and returns how many were found.
std::size_t look_up_batch(FlowTable& table, const Packet* batch, Prefetch prefetch) {
  std::array<FlowProbe, kBatchSize> probes;
  for (std::size_t i = 0; i < kBatchSize; ++i) {
    probes[i] = table.probe(batch[i].hash);
    if (prefetch != Prefetch::none) table.prefetch(probes[i]);
  }
  if (prefetch == Prefetch::tags_and_entry) {
    for (FlowProbe& probe : probes) table.prefetch_entry(probe);
  }
  std::size_t found = 0;
  for (std::size_t i = 0; i < kBatchSize; ++i) {
    found += table.lookup(batch[i].key, probes[i], kTcpAck, kNow).found() ? 1 : 0;
  }
  return found;
}

template <Prefetch prefetch>
void look_up(benchmark::State& state, bool hit) {
  const auto flows = static_cast<uint32_t>(state.range(0));
  FlowTable table(config_of(flows));
  for (uint32_t n = 0; n < flows; ++n) {
    const Packet packet = packet_of(n);
    const FlowProbe probe = table.probe(packet.hash);
    table.insert(packet.key, probe, n, kTcpSyn, kNow);
    table.lookup(packet.key, probe, kTcpAck, kNow);  // established: none gives way to the next
  }
  const std::vector<Packet> packets = random_packets(hit ? 0 : flows, flows);
  std::size_t at = 0;
  std::size_t found = 0;
  for (auto _ : state) {
    found += look_up_batch(table, &packets[at], prefetch);
    at = (at + kBatchSize) % packets.size();
  }
  const double looked_up = static_cast<double>(state.iterations()) * kBatchSize;
  const double share = static_cast<double>(found) / looked_up;
  if (hit ? share < 0.999 : share > 0) state.SkipWithError("wrong answers");
  state.SetItemsProcessed(static_cast<int64_t>(looked_up));
}
void hit(benchmark::State& state) {
  look_up<Prefetch::tags_and_entry>(state, true);
}
void hit_prefetching_tags(benchmark::State& state) {
  look_up<Prefetch::tags>(state, true);
}
void hit_without_prefetch(benchmark::State& state) {
  look_up<Prefetch::none>(state, true);
}
void miss(benchmark::State& state) {
  look_up<Prefetch::tags_and_entry>(state, false);
}
BENCHMARK(hit)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);
BENCHMARK(hit_prefetching_tags)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);
BENCHMARK(hit_without_prefetch)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);
BENCHMARK(miss)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);

/// New flows as the data path makes them: a batch is looked up, missed, inserted. SYNs beyond the table's
/// size keep coming, so once it is full each insert evicts, as under a flood.
void insert(benchmark::State& state) {
  const auto capacity = static_cast<uint32_t>(state.range(0));
  FlowTable table(config_of(capacity));
  const std::vector<Packet> packets = random_packets(0, UINT32_MAX);
  std::size_t at = 0;
  uint32_t round = 0;
  for (auto _ : state) {
    std::array<FlowProbe, kBatchSize> probes;
    for (std::size_t i = 0; i < kBatchSize; ++i) {
      probes[i] = table.probe(packets[at + i].hash + (uint64_t{round} << 40));
      table.prefetch(probes[i]);
    }
    for (std::size_t i = 0; i < kBatchSize; ++i) {
      FlowKey key = packets[at + i].key;
      key.destination_port = Be16::from_raw(static_cast<uint16_t>(round));
      table.insert(key, probes[i], 1, kTcpSyn, kNow);
    }
    at += kBatchSize;
    if (at == packets.size()) {
      at = 0;
      ++round;
    }
  }
  state.counters["evicted_share"] =
      static_cast<double>(table.stats().evicted_half_open) / static_cast<double>(table.stats().inserts);
  if (table.stats().refused_full != 0) state.SkipWithError("refused");
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kBatchSize));
}
BENCHMARK(insert)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);

std::vector<MaglevBackend> backends(uint32_t count, uint32_t max_weight) {
  std::mt19937 random(2);
  std::vector<MaglevBackend> list(count);
  for (uint32_t i = 0; i < count; ++i) {
    list[i].address = packet_of(i).key.source;
    list[i].weight = static_cast<uint32_t>(random() % max_weight) + 1;
  }
  return list;
}

void maglev_build(benchmark::State& state) {
  const auto list = backends(static_cast<uint32_t>(state.range(0)), static_cast<uint32_t>(state.range(1)));
  for (auto _ : state) {
    const MaglevTable table = MaglevTable::build("web", list, 1, kDefaultLookupSize);
    if (table.slots().size() != kDefaultLookupSize) state.SkipWithError("no array");
    benchmark::DoNotOptimize(table.digest());
  }
}
BENCHMARK(maglev_build)
    ->ArgNames({"backends", "max_weight"})
    ->ArgsProduct({{10, 100, 1000, kMaxBackendsPerService}, {1, kMaxWeight}})
    ->Unit(benchmark::kMillisecond);

void maglev_pick(benchmark::State& state) {
  const MaglevTable table = MaglevTable::build("web", backends(100, 1), 1, kDefaultLookupSize);
  const std::vector<Packet> packets = random_packets(0, 1'000'000);
  std::array<uint64_t, kBatchSize> hashes{};
  for (std::size_t i = 0; i < kBatchSize; ++i) hashes[i] = packets[i].hash;
  uint64_t salt = 0;
  for (auto _ : state) {
    uint64_t sum = 0;
    for (uint64_t hash : hashes) sum += table.pick(hash ^ salt);
    salt += 0x9e3779b97f4a7c15u;
    benchmark::DoNotOptimize(sum);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kBatchSize));
}
BENCHMARK(maglev_pick);

/// Of so many services, each on an address of its own, asked in a random order: as the cache of the last answer
/// (dataplane/last_service.h) does not help.
void find_service(benchmark::State& state) {
  TableParts parts;
  const auto services = static_cast<uint32_t>(state.range(0));
  const auto lookup = std::make_shared<const MaglevTable>();
  for (uint32_t n = 0; n < services; ++n) {
    Service service;
    service.name = std::to_string(n);
    service.vip = packet_of(n).key.source;
    service.port = 443;
    service.protocol = kProtoTcp;
    service.lookup = lookup;
    parts.services.push_back(std::move(service));
  }
  const auto table = Table::make(std::move(parts));
  std::mt19937 random(3);
  std::array<uint32_t, 4096> order{};
  for (uint32_t& n : order) n = static_cast<uint32_t>(random() % services);
  std::size_t at = 0;
  uint64_t wrong = 0;
  for (auto _ : state) {
    const uint32_t n = order[at++ % order.size()];
    wrong += table->find_service(table->services()[n].vip, kProtoTcp, Be16::from_host(443)) != n ? 1 : 0;
  }
  if (wrong != 0) state.SkipWithError("wrong answers");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(find_service)->Arg(1)->Arg(100)->Arg(4096);

/// What every packet's source is asked, and almost none is one.
void is_no_vip(benchmark::State& state) {
  TableParts parts;
  for (uint32_t n = 0; n < 100; ++n) parts.local_vips.push_back(packet_of(n).key.source);
  const auto table = Table::make(std::move(parts));
  uint32_t n = 100;
  uint64_t vips = 0;
  std::vector<IpAddress> sources;
  for (uint32_t i = 0; i < 4096; ++i) sources.push_back(packet_of(1000 + i).key.source);
  for (auto _ : state) vips += table->is_vip(sources[n++ % sources.size()]) ? 1 : 0;
  if (vips != 0) state.SkipWithError("wrong answers");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(is_no_vip);

}  // namespace
}  // namespace xebec

BENCHMARK_MAIN();
