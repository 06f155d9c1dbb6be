// SPDX-License-Identifier: BSD-2-Clause
// Our side: a ring of frames filled, forwarded by batches, checked.
#include "bench/forwarder.h"

#include <cstring>

#include "bench/forwarded_packet.h"
#include "bench/measure.h"
#include "dataplane/nat_table.h"

namespace xebec::bench {
namespace {

// A receive ring of frames is written before the first is read, as by a sender that is ahead: what a batch
// finds has been pushed out of L1 by the frames behind it.
constexpr uint32_t kFrames = kRingSize;
static_assert(kFrames % kBatchSize == 0);

// More than the second-level cache of any core holds, and little enough that walking it does not take all day.
constexpr std::size_t kEvicting = std::size_t{8} << 20;
constexpr std::size_t kCacheLine = 64;

std::unique_ptr<const Table> make_table(const Scenario& scenario) {
  TableParts parts;
  parts.secret = HashSecret({1, 2, 3, 4});
  std::vector<MaglevBackend> list(kBackends);
  Service service;
  for (uint32_t n = 0; n < kBackends; ++n) {
    list[n].address = backend_address(n, scenario.v6);
    Backend backend;
    backend.address = list[n].address;
    backend.tunnel_source = tunnel_source(scenario.v6);
    backend.next_hop = {backend_mac(n), own_mac(), 0, 1500, true};
    backend.mode = scenario.mode;
    backend.usable = true;
    backend.port = is_nat(scenario.mode) ? kBackendPort : uint16_t{0};
    backend.tunnel_port = kTunnelPort;
    parts.backends.push_back(backend);
    service.backend_ids.push_back(n);
  }
  service.name = "bench";
  service.vip = vip(scenario.v6);
  service.port = kPort;
  service.protocol = kProtoTcp;
  service.lookup =
      std::make_shared<const MaglevTable>(MaglevTable::build(service.name, list, 1, kDefaultLookupSize));
  parts.local_vips = {service.vip};
  parts.services.push_back(std::move(service));
  return Table::make(std::move(parts));
}

// In a table that is as full as it was made for, a flow seen once gives way to a newer one now and then and is
// picked up again: 1.6 in 1,000 packets at 100 k flows. A miss costs us more than a hit, so it is in the figure.
constexpr uint32_t kFewOf = 200;

NatTableConfig nat_config(const Scenario& scenario, uint32_t capacity) {
  NatTableConfig config;
  if (is_nat(scenario.mode)) config.capacity = capacity;
  return config;
}

FlowTableConfig flow_config(uint32_t capacity) {
  FlowTableConfig config;
  config.capacity = capacity;
  config.max_inserts_per_s = UINT32_MAX;  // the clock of a benchmark hardly moves while it warms up
  return config;
}

}  // namespace

Forwarder::Forwarder(const Scenario& scenario, const Traffic& traffic, uint32_t capacity)
    : scenario_(scenario),
      traffic_(traffic),
      table_(make_table(scenario)),
      nat_(std::make_unique<NatTables>(nat_config(scenario, capacity), 1)),
      state_(std::make_unique<ForwardState>(flow_config(capacity), nat_.get())),
      evicting_(scenario.cold ? kEvicting : 0),
      flows_in_frames_(kFrames),
      packets_(kFrames),
      decisions_(kFrames) {
  auto mapped = UmemMemory::anonymous(std::size_t{kFrames} * kFrameSize);
  require(mapped.has_value(), "no memory for frames");
  frames_ = std::move(*mapped);
  memory_ = frames_.data();
}

// Writes the next packets of the sequence into the first `count` frames, as the kernel copies them there.
void Forwarder::receive(uint32_t count) {
  const std::vector<uint8_t>& bytes = traffic_.frame();
  const auto& sequence = traffic_.sequence();
  for (uint32_t i = 0; i < count; ++i) {
    uint8_t* data = memory_ + std::size_t{i} * kFrameSize + kFrameHeadroom;
    std::memcpy(data, bytes.data(), bytes.size());
    traffic_.write(data, sequence[next_], kTcpAck);
    flows_in_frames_[i] = static_cast<uint32_t>(next_);
    packets_[i] = {data, static_cast<uint32_t>(bytes.size()), kFrameHeadroom, kMaxFrameLength};
    next_ = next_ + 1 < sequence.size() ? next_ + 1 : 0;
  }
}

Forwarder::~Forwarder() = default;

// Whatever the caches of this core hold, it is this.
void Forwarder::evict() {
  for (std::size_t at = 0; at < evicting_.size(); at += kCacheLine) evicting_[at] = evicting_[at] + 1;
}

void Forwarder::forward(uint32_t first) {
  now_ns_ += 1000;
  forward_batch(*table_, *state_, std::span(packets_).subspan(first, kBatchSize),
                std::span(decisions_).subspan(first, kBatchSize), now_ns_);
}

// What comes out has gone to the backend that was decided, and is right.
void Forwarder::check(uint32_t frame) const {
  const Decision& decision = decisions_[frame];
  require(decision.verdict == Verdict::forward && decision.backend < kBackends, "our verdict");
  std::vector<uint8_t> in = traffic_.frame();
  traffic_.write(in.data(), traffic_.sequence()[flows_in_frames_[frame]], kTcpAck);
  check_forwarded(scenario_, in, packets_[frame], table_->backends()[decision.backend], decision.backend);
}

void Forwarder::warm_and_check() {
  // Every packet twice: a flow seen once gives way to the next, one seen again is established.
  for (std::size_t done = 0; done < traffic_.sequence().size(); done += kFrames) {
    const std::size_t here = next_;
    for (int time = 0; time < 2; ++time) {
      next_ = here;
      receive(kFrames);
      for (uint32_t first = 0; first < kFrames; first += kBatchSize) forward(first);
    }
    for (uint32_t i = 0; i < kFrames; ++i) check(i);
  }
  const FlowTableStats& stats = state_->flows.stats();
  require(stats.used >= scenario_.flows - scenario_.flows / kFewOf, "we have not remembered the flows");
}

double Forwarder::forward_warm() {
  const double before = thread_cpu_ns();
  for (uint32_t first = 0; first < kFrames; first += kBatchSize) forward(first);
  return thread_cpu_ns() - before;
}

// A clock reading for each batch; what one takes is measured with each and does not count.
double Forwarder::forward_cold() {
  double spent = 0;
  for (uint32_t first = 0; first < kFrames; first += kBatchSize) {
    evict();
    (void)thread_cpu_ns();  // its own code was evicted, too
    const double reading = thread_cpu_ns();
    const double before = thread_cpu_ns();
    forward(first);
    spent += thread_cpu_ns() - before - (before - reading);
  }
  return spent;
}

double Forwarder::ns_per_packet(uint32_t packets) {
  const uint64_t misses = state_->counters.flow_misses.read();
  const uint64_t hits = state_->counters.flow_hits.read();
  double spent = 0;
  uint32_t done = 0;
  for (; done < packets; done += kFrames) {
    receive(kFrames);
    spent += scenario_.cold ? forward_cold() : forward_warm();
  }
  require(state_->counters.flow_hits.read() - hits >= done - done / kFewOf, "we have forgotten flows");
  require(state_->counters.flow_misses.read() - misses <= done / kFewOf, "we have forgotten flows");
  return spent / done;
}

}  // namespace xebec::bench
