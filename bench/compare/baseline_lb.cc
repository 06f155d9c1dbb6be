// SPDX-License-Identifier: BSD-2-Clause
// The in-kernel baseline as a balancer: fills the maps of baseline.bpf.c, attaches it natively to an interface, says
// "ready" and stays until SIGTERM. dsr-l2, IPv4. Needs root.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <signal.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "baseline.skel.h"
#include "bench/arguments.h"
#include "bench/compare/baseline.h"
#include "bench/mac.h"
#include "bench/measure.h"
#include "dataplane/maglev.h"

// Of Linux 5.18, include/uapi/linux/bpf.h: the program takes packets in several buffers (jumbo frames).
#ifndef BPF_F_XDP_HAS_FRAGS
#define BPF_F_XDP_HAS_FRAGS (1U << 5)
#endif

namespace xebec::bench {
namespace {

struct Job {
  std::string interface, own_mac;
  std::vector<std::string> services, macs;
  uint32_t flows = 0;  // room in the connection table
  bool frags = false;  // take jumbo frames
};

Job job_of(Arguments arguments) {
  Job job;
  job.interface = arguments.text("interface", "eth0");
  job.own_mac = arguments.text("own-mac");
  job.services = arguments.all("service");  // ADDRESS:PORT:PROTOCOL
  job.macs = arguments.all("backend");
  require(!job.services.empty() && !job.macs.empty(), "--service and --backend are needed");
  job.flows = arguments.count("flows", 1 << 18, 1, 1 << 26);
  job.frags = arguments.text("frags", "no") == "yes";
  arguments.end();
  return job;
}

/// "203.0.113.10:80:tcp"
baseline_vip_key key_of(const std::string& service) {
  char address[INET_ADDRSTRLEN] = "", protocol[4] = "";
  uint32_t port = 0;
  baseline_vip_key key{};
  require(std::sscanf(service.c_str(), "%15[0-9.]:%u:%3s", address, &port, protocol) == 3 && port < 65536 &&
              inet_pton(AF_INET, address, key.address) == 1,
          "a service is ADDRESS:PORT:PROTOCOL, not " + service);
  key.port = htons(static_cast<uint16_t>(port));
  key.protocol = std::string(protocol) == "tcp" ? IPPROTO_TCP : IPPROTO_UDP;
  return key;
}

template <typename Key, typename Value>
void put(bpf_map* map, const Key& key, const Value& value) {
  require(bpf_map__update_elem(map, &key, sizeof key, &value, sizeof value, BPF_ANY) == 0,
          std::string("cannot fill map ") + bpf_map__name(map));
}

/// Every service has all backends, so all share one lookup array.
void fill(baseline_bpf& skeleton, const Job& a) {
  std::vector<MaglevBackend> list(a.macs.size());
  for (uint32_t n = 0; n < a.macs.size(); ++n) {
    baseline_backend b{};
    read_mac(a.macs[n], b.mac);
    read_mac(a.own_mac, b.own_mac);
    b.mode = BASELINE_DSR_L2;
    put(skeleton.maps.backends, n, b);
    list[n].address = *IpAddress::parse("10.0.0." + std::to_string(n + 1));  // only to tell them apart
  }
  const MaglevTable lookup = MaglevTable::build("bench", list, 1, BASELINE_LOOKUP_SIZE);
  for (uint32_t slot = 0; slot < BASELINE_LOOKUP_SIZE; ++slot) {
    put(skeleton.maps.lookup, slot, uint32_t{lookup.slots()[slot]});
  }
  for (const std::string& service : a.services) put(skeleton.maps.vips, key_of(service), uint32_t{0});
}

void serve(const Job& a) {
  // Blocked first: a signal that comes early waits for sigwait.
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  const unsigned ifindex = if_nametoindex(a.interface.c_str());
  require(ifindex != 0, "no interface " + a.interface);
  baseline_bpf* skeleton = baseline_bpf__open();
  require(skeleton != nullptr, "cannot open the in-kernel baseline");
  bpf_map__set_max_entries(skeleton->maps.flows4, a.flows);
  bpf_map__set_max_entries(skeleton->maps.flows6, 1);
  bpf_map__set_max_entries(skeleton->maps.tuples, 1);
  bpf_program__set_autoload(skeleton->progs.next_only, false);
  bpf_program__set_autoload(skeleton->progs.next_and_balance, false);
  if (a.frags) bpf_program__set_flags(skeleton->progs.balance, BPF_F_XDP_HAS_FRAGS);
  require(baseline_bpf__load(skeleton) == 0, "the kernel does not load the in-kernel baseline");
  fill(*skeleton, a);
  bpf_link* link = bpf_program__attach_xdp(skeleton->progs.balance, static_cast<int>(ifindex));
  require(link != nullptr, "cannot attach to " + a.interface);
  std::puts("ready");
  std::fflush(stdout);
  int signal = 0;
  sigwait(&ends, &signal);
  bpf_link__destroy(link);
  baseline_bpf__destroy(skeleton);
}

}  // namespace
}  // namespace xebec::bench

int main(int argc, char** argv) {
  using namespace xebec::bench;
  serve(job_of(Arguments(argc, argv, 1)));
}
