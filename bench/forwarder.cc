// SPDX-License-Identifier: BSD-2-Clause
// Our side: a ring of frames filled, forwarded by batches, checked.
#include "bench/forwarder.h"

#include <algorithm>
#include <cstring>

#include "bench/measure.h"
#include "dataplane/checksum.h"

namespace xebec::bench {
namespace {

// A receive ring of frames is written before the first is read, as by a sender that is ahead: what a batch
// finds has been pushed out of L1 by the frames behind it.
constexpr uint32_t kFrames = kRingSize;
static_assert(kFrames % kBatchSize == 0);

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
      state_(std::make_unique<ForwardState>(flow_config(capacity))),
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

void Forwarder::forward(uint32_t first) {
  now_ns_ += 1000;
  forward_batch(*table_, *state_, std::span(packets_).subspan(first, kBatchSize),
                std::span(decisions_).subspan(first, kBatchSize), now_ns_);
}

// What comes out is the packet as it was behind a right header to the backend that was decided.
void Forwarder::check(uint32_t frame) const {
  const Decision& decision = decisions_[frame];
  const Packet& packet = packets_[frame];
  require(decision.verdict == Verdict::forward && decision.backend < kBackends, "our verdict");
  std::vector<uint8_t> in = traffic_.frame();
  traffic_.write(in.data(), traffic_.sequence()[flows_in_frames_[frame]], kTcpAck);
  const auto* ethernet = view_as<EthernetHeader>(packet.data);
  require(ethernet->destination == backend_mac(decision.backend) && ethernet->source == own_mac(),
          "our MACs");
  const std::size_t outer_length = scenario_.mode != Mode::ipip ? 0
                                   : scenario_.v6               ? sizeof(Ipv6Header)
                                                                : sizeof(Ipv4Header);
  const std::size_t ip_length = (scenario_.v6 ? sizeof(Ipv6Header) : sizeof(Ipv4Header)) + kTcpLength;
  require(packet.length ==
              std::max<std::size_t>(kMinFrameLength, sizeof(EthernetHeader) + outer_length + ip_length),
          "our length");
  const uint8_t* outer = packet.data + sizeof(EthernetHeader);
  require(std::memcmp(outer + outer_length, in.data() + sizeof(EthernetHeader), ip_length) == 0,
          "the packet behind our headers");
  if (outer_length == 0) return;
  const IpAddress address = backend_address(decision.backend, scenario_.v6);
  if (scenario_.v6) {
    require(std::memcmp(view_as<Ipv6Header>(outer)->destination, address.bytes.data(), 16) == 0,
            "our outer address");
  } else {
    const auto* ip = view_as<Ipv4Header>(outer);
    require(ip->destination == address.v4(), "our outer address");
    require(ip->checksum == ipv4_header_checksum(ip, sizeof *ip), "our outer checksum");
  }
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

double Forwarder::ns_per_packet(uint32_t packets) {
  const uint64_t misses = state_->counters.flow_misses.read();
  const uint64_t hits = state_->counters.flow_hits.read();
  double spent = 0;
  uint32_t done = 0;
  for (; done < packets; done += kFrames) {
    receive(kFrames);
    const double before = thread_cpu_ns();
    for (uint32_t first = 0; first < kFrames; first += kBatchSize) forward(first);
    spent += thread_cpu_ns() - before;
  }
  require(state_->counters.flow_hits.read() - hits >= done - done / kFewOf, "we have forgotten flows");
  require(state_->counters.flow_misses.read() - misses <= done / kFewOf, "we have forgotten flows");
  return spent / done;
}

}  // namespace xebec::bench
