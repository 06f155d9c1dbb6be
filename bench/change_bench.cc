// SPDX-License-Identifier: BSD-2-Clause
// What a change costs the control thread: lookup arrays, tables, publication. And what a pick from an array
// costs a packet.
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "bench/measure.h"
#include "control/table_builder.h"
#include "dataplane/published.h"

namespace xebec::bench {
namespace {

constexpr uint32_t kServices = 1'000;
constexpr uint32_t kBackendsEach = 100;
constexpr double kNsPerMs = 1e6;
constexpr double kBuildLimitMs = 1'000;

IpAddress address_of(uint32_t net, uint32_t n) {
  return IpAddress::from_v4(Be32::from_host(net << 24 | n));
}

double elapsed(const std::function<void()>& work) {
  const double before = thread_cpu_ns();
  work();
  return thread_cpu_ns() - before;
}

/// Of the wall's clock: several threads build a table.
double elapsed_for_all(const std::function<void()>& work) {
  const auto before = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - before).count();
}

/// One served interface, and every backend a neighbour on it.
struct MadeUpNetwork {
  MadeUpNetwork() {
    hop.state = ResolvedHop::State::reachable;
    hop.ifindex = 7;
    hop.mac = {{2, 0, 0, 0, 0, 1}};
    hop.preferred_source = address_of(10, 1);
    view.links = {{7, "eth0", {{2, 0, 0, 0, 0, 2}}, 1500}};
    view.find_hop = [this](const IpAddress&) { return &hop; };
  }
  ResolvedHop hop;
  NetworkView view;
};

Config config_of(uint32_t services, uint32_t backends) {
  Config config;
  for (uint32_t s = 0; s < services; ++s) {
    ServiceConfig service;
    service.name = "service-" + std::to_string(s);
    service.vip = address_of(192, s + 1);
    service.port = 443;
    for (uint32_t b = 0; b < backends; ++b) {
      BackendConfig backend;
      backend.address = address_of(10, 256 + s * backends + b);
      service.backends.push_back(backend);
    }
    config.services.push_back(std::move(service));
  }
  return config;
}

std::unique_ptr<const Table> built(TableBuilder& builder, const Config& config, const NetworkView& view) {
  auto table = builder.build(config, view, 0);
  require(table.has_value() && (*table)->services().size() == config.services.size(), "the table");
  return std::move(*table);
}

void measure_maglev(const Options& options) {
  for (const uint32_t backends : {10u, 100u, 1000u}) {
    std::vector<MaglevBackend> list(backends);
    for (uint32_t n = 0; n < backends; ++n) list[n].address = address_of(10, n + 1);
    measure(options, "core/maglev-build-" + std::to_string(backends), "ms", std::nullopt, [&] {
      return elapsed([&] {
               require(MaglevTable::build("web", list, 1, kDefaultLookupSize).digest() != 0, "the array");
             }) /
             kNsPerMs;
    });
  }
  std::vector<MaglevBackend> list(kBackendsEach);
  for (uint32_t n = 0; n < kBackendsEach; ++n) list[n].address = address_of(10, n + 1);
  const MaglevTable lookup = MaglevTable::build("web", list, 1, kDefaultLookupSize);
  measure(options, "core/maglev-pick", "ns/pick", std::nullopt, [&] {
    constexpr uint32_t kPicks = 1u << 22;
    uint64_t hash = 1, sum = 0;
    const double spent = elapsed([&] {
      for (uint32_t i = 0; i < kPicks; ++i) sum += lookup.pick(hash += 0x9e3779b97f4a7c15u);
    });
    const double mean = static_cast<double>(sum) / kPicks;
    require(mean > 48 && mean < 51, "the picks");  // 0..99, evenly
    return spent / kPicks;
  });
}

/// The heap in use, in MiB.
double heap_mib() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd) / (1 << 20);
}

void measure_table(const Options& options) {
  const std::vector<std::string> rows = {"core/table-build-1000x100/ours-vs-1s", "core/table-memory-1000x100",
                                         "core/table-rebuild-1000x100-one-weight"};
  // A table of that size takes a second or two to build: not for rows that nobody asked for.
  if (std::none_of(rows.begin(), rows.end(), [&](const auto& row) { return options.wants(row); })) return;
  const Config config = config_of(kServices, kBackendsEach);
  const MadeUpNetwork network;
  measure(options, "core/table-build-1000x100/ours-vs-1s", "ms", kBuildLimitMs, [&] {
    TableBuilder builder({1});
    return elapsed_for_all([&] { built(builder, config, network.view); }) / kNsPerMs;
  });
  const double before = heap_mib();
  TableBuilder builder({1});
  auto table = built(builder, config, network.view);
  measure(options, "core/table-memory-1000x100", "MiB", std::nullopt, [&] { return heap_mib() - before; });

  Config changed = config;
  uint32_t weight = 100;
  measure(options, "core/table-rebuild-1000x100-one-weight", "ms", std::nullopt, [&] {
    changed.services[0].backends[0].weight = ++weight;
    return elapsed_for_all([&] { table = built(builder, changed, network.view); }) / kNsPerMs;
  });
}

// Publication alone: a worker that keeps reading, on the writer's thread so that no scheduler is in the
// figure.
void measure_publish(const Options& options) {
  const MadeUpNetwork network;
  const Config config = config_of(1, 4);
  TableBuilder builder({1});
  Published<Table> tables(built(builder, config, network.view));
  Published<Table>::Reader reader(tables);
  tables.add_reader(reader);
  reader.wake();
  constexpr uint32_t kTables = 200;
  measure(options, "core/publish-and-reclaim", "ns/table", std::nullopt, [&] {
    std::vector<std::unique_ptr<const Table>> ready;
    for (uint32_t i = 0; i < kTables; ++i) ready.push_back(built(builder, config, network.view));
    return elapsed([&] {
             for (auto& table : ready) {
               const Table* now = table.get();
               tables.publish(std::move(table));
               reader.quiescent();
               require(reader.get() == now && tables.reclaim() == 0, "publication");
             }
           }) /
           kTables;
  });
  measure(options, "core/reader-quiescent-and-get", "ns/batch", std::nullopt, [&] {
    constexpr uint32_t kRounds = 1u << 22;
    const Table* current = &tables.current();
    uint32_t same = 0;
    const double spent = elapsed([&] {
      for (uint32_t i = 0; i < kRounds; ++i) {
        reader.quiescent();
        same += reader.get() == current;
      }
    });
    require(same == kRounds, "what the reader gets");
    return spent / kRounds;
  });
}

}  // namespace
}  // namespace xebec::bench

int main(int argc, char** argv) {
  const xebec::bench::Options options = xebec::bench::options_of(argc, argv);
  xebec::bench::measure_maglev(options);
  xebec::bench::measure_table(options);
  xebec::bench::measure_publish(options);
}
