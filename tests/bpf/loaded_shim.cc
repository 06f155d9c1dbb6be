// SPDX-License-Identifier: BSD-2-Clause
// The shim, loaded but attached to nothing.
#include "tests/bpf/loaded_shim.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "shim.skel.h"

namespace xebec::test {
namespace {

void must(int result, const char* what) {
  if (result != 0) throw std::runtime_error(std::string(what) + ": " + std::to_string(result));
}

xebec_address key_of(std::string_view vip) {
  xebec_address key{};
  const Bytes address = address_bytes(vip);
  if (address.size() == 4) key.bytes[10] = key.bytes[11] = 0xff;
  std::copy(address.begin(), address.end(), std::end(key.bytes) - address.size());
  return key;
}

}  // namespace

LoadedShim::LoadedShim(VariableReads reads) : skeleton_(shim_bpf__open()) {
  if (skeleton_ == nullptr) throw std::runtime_error("the shim's object cannot be opened");
  skeleton_->rodata->has_xdp_load_bytes = reads == VariableReads::helper ? 1 : 0;
  if (const int error = shim_bpf__load(skeleton_); error != 0) {
    shim_bpf__destroy(skeleton_);
    throw std::runtime_error("the kernel did not load the shim (" + std::to_string(error) +
                             "). These tests need root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON");
  }
  configure(XDP_DROP, 0);
}

LoadedShim::~LoadedShim() {
  shim_bpf__destroy(skeleton_);
}

void LoadedShim::add_service(std::string_view vip, uint8_t protocol, uint16_t port) {
  const xebec_service_value value{};
  xebec_service_key key{};
  key.vip = key_of(vip);
  key.protocol = protocol;
  key.port = static_cast<uint16_t>((port >> 8) | (port << 8));
  must(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.services), &key, &value, BPF_ANY), "add a service");
  must(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.vips), &key.vip, &value, BPF_ANY), "add a VIP");
}

void LoadedShim::add_nat_backend(std::string_view address, uint8_t protocol, uint16_t port, uint32_t how) {
  xebec_service_key key{};
  key.vip = key_of(address);
  key.protocol = protocol;
  key.port = static_cast<uint16_t>((port >> 8) | (port << 8));
  const int backends = bpf_map__fd(skeleton_->maps.nat_backends);
  must(bpf_map_update_elem(backends, &key, &how, BPF_ANY), "add a backend");
  key.port = 0;
  key.narrower = XEBEC_ALL_ENDPOINTS;
  uint32_t all = 0;
  (void)bpf_map_lookup_elem(backends, &key, &all);
  all |= how;
  must(bpf_map_update_elem(backends, &key, &all, BPF_ANY), "add a backend for later fragments");
  translates_ = 1;
  configure(XDP_DROP, 0);
}

void LoadedShim::add_nat_source(std::string_view address, uint16_t first_port, uint16_t last_port) {
  const xebec_address key = key_of(address);
  const xebec_port_range ports{first_port, last_port};
  must(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.nat_sources), &key, &ports, BPF_ANY), "add a source");
}

void LoadedShim::add_own_address(std::string_view address) {
  const xebec_address key = key_of(address);
  const uint32_t one = 1;
  must(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.own), &key, &one, BPF_ANY), "add an own address");
}

void LoadedShim::set_services(const std::vector<SteeredService>& services) {
  SourceLists lists;
  const ShimImage image = shim_image(services, lists);
  const std::array<const bpf_map*, kShimMaps> maps = {skeleton_->maps.sources, skeleton_->maps.services,
                                                      skeleton_->maps.ranges, skeleton_->maps.prefixes,
                                                      skeleton_->maps.vips};
  for (std::size_t i = 0; i < kShimMaps; ++i) {
    for (const auto& [key, entry] : image.maps.at(i)) {
      must(bpf_map_update_elem(bpf_map__fd(maps.at(i)), key.data(), entry.value.data(), BPF_ANY),
           entry.text.c_str());
    }
    for (const auto& [key, entry] : held_.at(i)) {
      if (!image.maps.at(i).contains(key)) bpf_map_delete_elem(bpf_map__fd(maps.at(i)), key.data());
    }
  }
  held_ = image.maps;
  features_ = image.features;
  configure(XDP_DROP, 0);
}

void LoadedShim::configure(uint32_t fallback_verdict, uint64_t stale_after_ns, const MacAddress& mac) {
  const uint32_t zero = 0;
  xebec_settings settings{};
  settings.features = features_;
  settings.fallback_verdict = fallback_verdict;
  settings.stale_after_ns = stale_after_ns;
  settings.translates = translates_;
  std::memcpy(settings.mac, mac.bytes, sizeof settings.mac);
  must(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.settings), &zero, &settings, BPF_ANY),
       "write settings");
}

void LoadedShim::set_heartbeat(uint32_t queue, uint64_t at_ns) {
  xebec_heartbeat heartbeat{};
  heartbeat.at_ns = at_ns;
  must(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.heartbeats), &queue, &heartbeat, BPF_ANY), "beat");
}

void LoadedShim::set_socket(uint32_t queue, int xsk_fd) {
  must(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.xsks), &queue, &xsk_fd, BPF_ANY), "set a socket");
}

uint32_t LoadedShim::run(const Bytes& frame) {
  Bytes out(frame.size());
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  options.data_in = frame.data();
  options.data_size_in = static_cast<uint32_t>(frame.size());
  options.data_out = out.data();
  options.data_size_out = static_cast<uint32_t>(out.size());
  options.repeat = 1;
  must(bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.xebec_shim), &options), "run the shim");
  EXPECT_EQ(out, frame) << "the shim changed the packet";
  return options.retval;
}

uint64_t LoadedShim::counter(xebec_shim_counter which) const {
  const uint32_t key = which;
  std::vector<uint64_t> per_cpu(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  must(bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.counters), &key, per_cpu.data()), "read a counter");
  uint64_t sum = 0;
  for (const uint64_t packets : per_cpu) sum += packets;
  return sum;
}

bool LoadedShim::steers(const Bytes& frame) {
  const uint64_t before = counter(XEBEC_SHIM_NO_SOCKET);
  const uint32_t verdict = run(frame);
  const uint64_t counted = counter(XEBEC_SHIM_NO_SOCKET) - before;
  if (verdict == XDP_DROP && counted == 1) return true;
  EXPECT_EQ(verdict, static_cast<uint32_t>(XDP_PASS));
  EXPECT_EQ(counted, 0u) << "the host's own packet was counted";
  return false;
}

std::unique_ptr<const Table> table_of(const std::vector<SteeredService>& services) {
  TableParts parts;
  for (const SteeredService& s : services) {
    Service service;
    service.name = std::to_string(parts.services.size());
    service.vip = s.match.vip.network;
    service.vip_length = s.match.vip.length;
    service.port = s.match.port;
    service.last_port = s.match.last_port;
    service.protocol = s.match.protocol;
    service.sources = s.sources;
    service.no_backend = s.passes ? NoBackend::pass : NoBackend::drop;
    service.lookup = std::make_shared<const MaglevTable>();
    parts.services.push_back(std::move(service));
  }
  return Table::make(std::move(parts));
}

}  // namespace xebec::test
