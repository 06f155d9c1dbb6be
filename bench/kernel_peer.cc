// SPDX-License-Identifier: BSD-2-Clause
// The in-kernel peer: its maps filled, its answers checked, its time taken.
#include "bench/kernel_peer.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "baseline.skel.h"
#include "bench/measure.h"
#include "dataplane/checksum.h"
#include "dataplane/maglev.h"

namespace xebec::bench {
namespace {

// One connection table over all CPUs or (BPF_F_NO_COMMON_LRU) one list a CPU: a hit costs the same in both,
// as the lists are only touched by insertions.
constexpr uint32_t kFlowMapFlags = 0;
constexpr uint32_t kCheckedPackets = 512;
constexpr uint32_t kVip = 0;

baseline_vip_key vip_key(bool v6) {
  baseline_vip_key key{};
  const IpAddress address = vip(v6);
  std::memcpy(key.address, address.bytes.data() + (v6 ? 0 : 12), v6 ? 16 : 4);
  const Be16 port = Be16::from_host(kPort);
  std::memcpy(&key.port, port.bytes, sizeof port.bytes);
  key.protocol = kProtoTcp;
  key.v6 = v6;
  return key;
}

baseline_backend backend(uint32_t n, const Scenario& scenario) {
  baseline_backend b{};
  const MacAddress to = backend_mac(n), from = own_mac();
  std::memcpy(b.mac, to.bytes, sizeof b.mac);
  std::memcpy(b.own_mac, from.bytes, sizeof b.own_mac);
  const IpAddress address = backend_address(n, scenario.v6), source = tunnel_source(scenario.v6);
  const std::size_t skip = scenario.v6 ? 0 : 12;
  std::memcpy(b.address, address.bytes.data() + skip, 16 - skip);
  std::memcpy(b.source, source.bytes.data() + skip, 16 - skip);
  b.mode = scenario.mode == Mode::ipip ? BASELINE_IPIP : BASELINE_DSR_L2;
  b.v6 = scenario.v6;
  return b;
}

template <typename Key, typename Value>
void put(bpf_map* map, const Key& key, const Value& value) {
  require(bpf_map__update_elem(map, &key, sizeof key, &value, sizeof value, BPF_ANY) == 0,
          std::string("cannot fill map ") + bpf_map__name(map));
}

}  // namespace

struct KernelPeer::Impl {
  Impl(const Scenario& of, const Traffic& with)
      : scenario(of), traffic(with), skeleton(baseline_bpf__open()) {
    require(skeleton != nullptr, "cannot open the in-kernel baseline");
  }
  ~Impl() { baseline_bpf__destroy(skeleton); }

  uint32_t overhead() const {
    if (scenario.mode != Mode::ipip) return 0;
    return scenario.v6 ? sizeof(Ipv6Header) : sizeof(Ipv4Header);
  }
  void load(uint32_t capacity);
  void fill();
  /// CPU time of `repeat` runs.
  double run(bpf_program* program, uint32_t repeat);
  void check_one(const baseline_tuple& tuple);
  baseline_counters sum() const;

  const Scenario& scenario;
  const Traffic& traffic;
  baseline_bpf* skeleton;
};

void KernelPeer::Impl::load(uint32_t capacity) {
  const auto size_flows = [&](bpf_map* map, bool used) {
    bpf_map__set_max_entries(map, used ? capacity : 1024);
    bpf_map__set_map_flags(map, kFlowMapFlags);
  };
  size_flows(skeleton->maps.flows4, !scenario.v6);
  size_flows(skeleton->maps.flows6, scenario.v6);
  skeleton->rodata->v6_frames = scenario.v6;
  skeleton->rodata->undo_bytes = overhead();
  require(baseline_bpf__load(skeleton) == 0,
          "the kernel does not load the in-kernel baseline (root is needed)");
}

void KernelPeer::Impl::fill() {
  put(skeleton->maps.vips, vip_key(scenario.v6), kVip);
  std::vector<MaglevBackend> list(kBackends);
  for (uint32_t n = 0; n < kBackends; ++n) {
    list[n].address = backend_address(n, scenario.v6);
    put(skeleton->maps.backends, n, backend(n, scenario));
  }
  const MaglevTable lookup = MaglevTable::build("bench", list, 1, BASELINE_LOOKUP_SIZE);
  for (uint32_t slot = 0; slot < BASELINE_LOOKUP_SIZE; ++slot) {
    put(skeleton->maps.lookup, slot, uint32_t{lookup.slots()[slot]});
  }
  const auto& sequence = traffic.sequence();
  require(sequence.size() <= BASELINE_MAX_TUPLES, "too many packets for the peer");
  for (uint32_t i = 0; i < sequence.size(); ++i) put(skeleton->maps.tuples, i, sequence[i]);
  skeleton->bss->next_tuple = 0;
  skeleton->data->tuple_count = static_cast<uint32_t>(sequence.size());
}

double KernelPeer::Impl::run(bpf_program* program, uint32_t repeat) {
  std::vector<uint8_t> frame = traffic.frame();
  bpf_test_run_opts options{};  // not LIBBPF_OPTS: its statement expression is no ISO C++, says clang
  options.sz = sizeof options;
  options.data_in = frame.data();
  options.data_size_in = static_cast<uint32_t>(frame.size());
  options.repeat = static_cast<int>(repeat);
  const double before = thread_cpu_ns();
  require(bpf_prog_test_run_opts(bpf_program__fd(program), &options) == 0, "BPF_PROG_RUN of the peer");
  const double spent = thread_cpu_ns() - before;
  require(options.retval == XDP_TX, "the in-kernel baseline does not forward");
  return spent;
}

baseline_counters KernelPeer::Impl::sum() const {
  const auto cpus = static_cast<std::size_t>(libbpf_num_possible_cpus());
  std::vector<baseline_counters> of_cpu(cpus);
  baseline_counters total{};
  for (uint32_t n = 0; n < kBackends; ++n) {
    require(bpf_map__lookup_elem(skeleton->maps.counters, &n, sizeof n, of_cpu.data(),
                                 cpus * sizeof of_cpu[0], 0) == 0,
            "the peer's counters");
    for (const baseline_counters& c : of_cpu) {
      total.packets += c.packets;
      total.new_flows += c.new_flows;
    }
  }
  return total;
}

// What comes out is the packet as it was behind a right header to one of the backends.
void KernelPeer::Impl::check_one(const baseline_tuple& tuple) {
  std::vector<uint8_t> in = traffic.frame();
  std::vector<uint8_t> out(256);
  traffic.write(in.data(), tuple, kTcpAck);
  bpf_test_run_opts options{};  // not LIBBPF_OPTS: its statement expression is no ISO C++, says clang
  options.sz = sizeof options;
  options.data_in = in.data();
  options.data_size_in = static_cast<uint32_t>(in.size());
  options.data_out = out.data();
  options.data_size_out = static_cast<uint32_t>(out.size());
  options.repeat = 1;
  require(bpf_prog_test_run_opts(bpf_program__fd(skeleton->progs.balance), &options) == 0,
          "BPF_PROG_RUN of the peer");
  require(options.retval == XDP_TX && options.data_size_out == in.size() + overhead(),
          "the peer's verdict or length");
  const auto* ethernet = view_as<EthernetHeader>(out.data());
  const uint32_t n =
      static_cast<uint32_t>(ethernet->destination.bytes[4] << 8 | ethernet->destination.bytes[5]);
  require(n < kBackends && ethernet->destination == backend_mac(n) && ethernet->source == own_mac(),
          "the peer's MACs");
  const uint8_t* inner = out.data() + sizeof(EthernetHeader) + overhead();
  require(std::equal(in.begin() + sizeof(EthernetHeader), in.end(), inner),
          "the packet behind the peer's headers");
  if (overhead() == 0) return;
  const IpAddress address = backend_address(n, scenario.v6);
  const uint8_t* outer = out.data() + sizeof(EthernetHeader);
  if (scenario.v6) {
    require(std::memcmp(view_as<Ipv6Header>(outer)->destination, address.bytes.data(), 16) == 0,
            "the peer's outer address");
  } else {
    const auto* ip = view_as<Ipv4Header>(outer);
    require(ip->destination == address.v4(), "the peer's outer address");
    require(ip->checksum == ipv4_header_checksum(ip, sizeof *ip), "the peer's outer checksum");
  }
}

KernelPeer::KernelPeer(const Scenario& scenario, const Traffic& traffic, uint32_t capacity)
    : impl_(std::make_unique<Impl>(scenario, traffic)) {
  impl_->load(capacity);
  impl_->fill();
}
KernelPeer::~KernelPeer() = default;

void KernelPeer::warm_and_check() {
  const auto& sequence = impl_->traffic.sequence();
  impl_->run(impl_->skeleton->progs.next_and_balance, static_cast<uint32_t>(sequence.size()));
  require(impl_->sum().new_flows >= impl_->scenario.flows, "the peer has not remembered every flow");
  const std::size_t step = std::max<std::size_t>(1, sequence.size() / kCheckedPackets);
  for (std::size_t i = 0; i < sequence.size(); i += step) impl_->check_one(sequence[i]);
}

double KernelPeer::ns_per_packet(uint32_t packets) {
  const baseline_counters before = impl_->sum();
  const double wrapper = impl_->run(impl_->skeleton->progs.next_only, packets);
  const double both = impl_->run(impl_->skeleton->progs.next_and_balance, packets);
  const baseline_counters after = impl_->sum();
  require(after.packets - before.packets == packets, "the peer has not forwarded every packet");
  require(after.new_flows - before.new_flows <= packets / 1000, "the peer has forgotten flows");
  return (both - wrapper) / packets;
}

}  // namespace xebec::bench
