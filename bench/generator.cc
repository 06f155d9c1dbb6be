// SPDX-License-Identifier: BSD-2-Clause
// The load generator: live XDP frames (BPF_PROG_RUN) of many flows into an interface, and a count of what comes back
// there. Needs root; run it in the client's network namespace. Prints one line of JSON.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "bench/arguments.h"
#include "bench/cpu_time.h"
#include "bench/generator.h"
#include "bench/mac.h"
#include "bench/measure.h"
#include "generator.skel.h"

// Newer than libbpf's and Debian 12's headers need to be; from include/uapi/linux/bpf.h of Linux 5.18.
#ifndef BPF_F_TEST_XDP_LIVE_FRAMES
#define BPF_F_TEST_XDP_LIVE_FRAMES (1U << 1)
#endif

namespace xebec::bench {
namespace {

// Frames the kernel makes at a time inside a call. Above 64 each call's page pool costs more than it saves:
// 88 ns a packet at 32..64, 145 at 256.
constexpr uint32_t kKernelBatch = 64;
// Frames of one call at full speed: 4 ms of 14 Mpps, so that the call's own 6 us do not show and the clock is
// looked at often enough.
constexpr uint32_t kFramesPerCall = 65536;
// Of one call at a fixed rate: a quarter of veth's ring of 256, so that the burst alone loses nothing.
constexpr uint32_t kBurst = 64;
constexpr uint64_t kSecond = 1'000'000'000;
// After the last packet: so long without another one coming back, and nothing is on its way any more.
constexpr uint64_t kSettledNs = 50'000'000;
constexpr uint64_t kSettleLimitNs = 2 * kSecond;

struct Job {
  std::string interface, vip, source, protocol, own_mac, to_mac, back_mac;
  uint32_t back_count = 1, port = 0, bytes = 0, flows = 1, first = 0, cpu = 0;
  double rate = 0, warm_s = 0, seconds = 0;
};

Job job_of(Arguments arguments) {
  Job job;
  job.interface = arguments.text("interface", "eth0");
  job.vip = arguments.text("vip", "203.0.113.10");
  job.source = arguments.text("source", "10.128.0.0");  // of the first flow
  job.protocol = arguments.text("protocol", "tcp");
  require(job.protocol == "tcp" || job.protocol == "udp", "--protocol is tcp or udp");
  job.own_mac = arguments.text("own-mac");
  job.to_mac = arguments.text("to-mac");  // the balancer's
  job.back_mac =
      arguments.text("back-mac");  // destination of what comes back: this and, counting up the last
  job.back_count = arguments.count("back-count", 1, 1, 200);  // byte, as many as this says
  job.port = arguments.count("port", 7000, 1, 65535);
  job.bytes = arguments.count("bytes", 64, 64, 1514);  // of a frame, without FCS
  job.flows = arguments.count("flows", 1, 1, 1 << 24);
  job.first = arguments.count("first", 0, 0, UINT32_MAX);  // packet; flows follow from packets' numbers
  job.cpu = arguments.count("cpu", 0, 0, CPU_SETSIZE - 1);
  job.rate = arguments.number("rate", 0, 0, 1e9);  // packets a second; 0: as fast as it goes
  job.warm_s = arguments.number("warm", 0.5, 0, 3600);
  job.seconds = arguments.number("seconds", 1, 0.001, 3600);
  arguments.end();
  return job;
}

uint64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * kSecond + static_cast<uint64_t>(t.tv_nsec);
}

uint32_t sum_of(const void* data, std::size_t bytes) {
  const auto* p = static_cast<const uint8_t*>(data);
  uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < bytes; i += 2) {
    uint16_t word;
    std::memcpy(&word, p + i, sizeof word);
    sum += word;
  }
  return bytes % 2 == 1 ? sum + p[bytes - 1]
                        : sum;  // the odd byte is the first of a word, low on little endian
}
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "sum_of's last byte");

/// The frame without what tells flows apart, and the sums that complete its checksums.
std::vector<uint8_t> make_frame(const Job& a, generator_settings& s) {
  std::vector<uint8_t> frame(a.bytes);
  const auto ip_bytes = static_cast<uint16_t>(a.bytes - sizeof(ethhdr));
  auto* eth = reinterpret_cast<ethhdr*>(frame.data());
  auto* ip = reinterpret_cast<iphdr*>(eth + 1);
  uint8_t* l4 = reinterpret_cast<uint8_t*>(ip + 1);
  const std::size_t l4_bytes = ip_bytes - sizeof *ip;
  eth->h_proto = htons(ETH_P_IP);
  ip->version = 4;
  ip->ihl = 5;
  ip->tot_len = htons(ip_bytes);
  ip->id = s.run;
  ip->ttl = 64;
  ip->protocol = s.protocol;
  ip->daddr = s.vip;
  if (s.protocol == IPPROTO_TCP) {
    auto* tcp = reinterpret_cast<tcphdr*>(l4);
    tcp->dest = s.port;
    tcp->doff = 5;
    tcp->ack = 1;
    tcp->window = 0xffff;
  } else {
    auto* udp = reinterpret_cast<udphdr*>(l4);
    udp->dest = s.port;
    udp->len = htons(static_cast<uint16_t>(l4_bytes));
  }
  for (std::size_t i = 40; i < l4_bytes; ++i) l4[i] = static_cast<uint8_t>(i);
  s.ip_sum = sum_of(ip, sizeof *ip);
  s.l4_sum = sum_of(l4, l4_bytes) + sum_of(&ip->daddr, sizeof ip->daddr) + htons(s.protocol) +
             htons(static_cast<uint16_t>(l4_bytes));
  return frame;
}

generator_settings settings_of(const Job& a) {
  generator_settings s{};
  s.ifindex = if_nametoindex(a.interface.c_str());
  require(s.ifindex != 0, "no interface " + a.interface);
  s.flows = a.flows;
  in_addr address{};
  require(inet_pton(AF_INET, a.source.c_str(), &address) == 1, "no IPv4 address: " + a.source);
  s.first_source = ntohl(address.s_addr);
  require(inet_pton(AF_INET, a.vip.c_str(), &address) == 1, "no IPv4 address: " + a.vip);
  s.vip = address.s_addr;
  s.port = htons(static_cast<uint16_t>(a.port));
  s.protocol = a.protocol == "tcp" ? IPPROTO_TCP : IPPROTO_UDP;
  s.frame_bytes = a.bytes;
  s.run = htons(static_cast<uint16_t>(getpid()));
  read_mac(a.own_mac, s.own_mac);
  read_mac(a.to_mac, s.to_mac);
  read_mac(a.back_mac, s.back_mac);
  s.back_last = static_cast<uint8_t>(s.back_mac[5] + a.back_count - 1);
  return s;
}

/// A device that never comes up, for `generate` to be attached to. The kernel adds a program that is run with
/// repeat > 1 to its XDP dispatcher and takes it out again, patching code each time (60 ms a call), unless
/// some device has it natively already. Without this the generator makes 2.3 Mpps instead of 14.
class Placeholder {
 public:
  Placeholder() : fd_(open("/dev/net/tun", O_RDWR | O_CLOEXEC)) {
    ifreq request{};
    std::strcpy(request.ifr_name, "generator%d");
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    require(fd_ >= 0 && ioctl(fd_, TUNSETIFF, &request) == 0, "cannot make a tap device (/dev/net/tun)");
    index_ = static_cast<int>(if_nametoindex(request.ifr_name));
  }
  ~Placeholder() { close(fd_); }
  Placeholder(const Placeholder&) = delete;
  Placeholder& operator=(const Placeholder&) = delete;
  int index() const { return index_; }

 private:
  int fd_;
  int index_ = 0;
};

/// The programs, attached; sends and counts.
class Generator {
 public:
  explicit Generator(const Job& a) : settings_(settings_of(a)), frame_(make_frame(a, settings_)) {
    skeleton_ = generator_bpf__open();
    require(skeleton_ != nullptr, "cannot open the generator's programs");
    std::memcpy(const_cast<generator_settings*>(&skeleton_->rodata->settings), &settings_, sizeof settings_);
    require(generator_bpf__load(skeleton_) == 0, "the kernel does not load the generator's programs");
    skeleton_->bss->next_packet = a.first;
    placeholder_link_ = bpf_program__attach_xdp(skeleton_->progs.generate, placeholder_.index());
    require(placeholder_link_ != nullptr, "cannot attach to the placeholder");
    counter_link_ = bpf_program__attach_xdp(skeleton_->progs.returned, static_cast<int>(settings_.ifindex));
    require(counter_link_ != nullptr, "cannot attach to " + a.interface);
  }
  ~Generator() {
    bpf_link__destroy(counter_link_);
    bpf_link__destroy(placeholder_link_);
    generator_bpf__destroy(skeleton_);
  }
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;

  void send(uint32_t packets) {
    bpf_test_run_opts options{};  // not LIBBPF_OPTS: its statement expression is no ISO C++, says clang
    options.sz = sizeof options;
    options.data_in = frame_.data();
    options.data_size_in = static_cast<uint32_t>(frame_.size());
    options.repeat = static_cast<int>(packets);
    options.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    options.batch_size = kKernelBatch;
    require(bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.generate), &options) == 0,
            "BPF_PROG_RUN of the generator");
    sent_ += packets;
  }

  /// Sends for so long, as fast as it goes or `rate` packets a second.
  void send_for(uint64_t ns, double rate) {
    const uint64_t begin = now_ns();
    uint64_t sent = 0;
    for (uint64_t now = begin; now - begin < ns; now = now_ns()) {
      if (rate == 0) {
        send(kFramesPerCall);
        continue;
      }
      const auto due = static_cast<uint64_t>(static_cast<double>(now - begin) / 1e9 * rate);
      if (due < sent + kBurst) {
        const timespec nap{0, 20'000};  // not a spin: this CPU has the receivers' softirqs to run
        nanosleep(&nap, nullptr);
        continue;
      }
      // A timer that fires late is made good by several bursts, not by one that overruns the receiver's ring.
      send(kBurst);
      sent += kBurst;
    }
  }

  /// Waits until nothing comes back any more.
  void settle() const {
    const uint64_t begin = now_ns();
    uint64_t last = counters().returned, since = begin;
    for (uint64_t now = begin; now - since < kSettledNs && now - begin < kSettleLimitNs; now = now_ns()) {
      const timespec nap{0, 5'000'000};
      nanosleep(&nap, nullptr);
      const uint64_t returned = counters().returned;
      if (returned != last) since = now_ns();
      last = returned;
    }
  }

  generator_counters counters() const {
    const auto cpus = static_cast<std::size_t>(libbpf_num_possible_cpus());
    std::vector<generator_counters> of_cpu(cpus);
    const uint32_t zero = 0;
    require(bpf_map__lookup_elem(skeleton_->maps.counters, &zero, sizeof zero, of_cpu.data(),
                                 cpus * sizeof of_cpu[0], 0) == 0,
            "the generator's counters");
    generator_counters total{};
    for (const auto& c : of_cpu) {
      total.returned += c.returned;
      total.wrong += c.wrong;
    }
    return total;
  }
  uint64_t sent() const { return sent_; }

 private:
  generator_settings settings_;
  std::vector<uint8_t> frame_;
  Placeholder placeholder_;
  generator_bpf* skeleton_ = nullptr;
  bpf_link* placeholder_link_ = nullptr;
  bpf_link* counter_link_ = nullptr;
  uint64_t sent_ = 0;
};

void run(const Job& a) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(a.cpu, &set);
  require(sched_setaffinity(0, sizeof set, &set) == 0, "cannot run on the CPU");
  Generator generator(a);
  generator.send_for(static_cast<uint64_t>(a.warm_s * 1e9), a.rate);
  if (a.rate != 0) generator.settle();
  const generator_counters before = generator.counters();
  const uint64_t sent_before = generator.sent(), begin = now_ns();
  const std::vector<double> busy_before = busy_seconds();
  generator.send_for(static_cast<uint64_t>(a.seconds * 1e9), a.rate);
  // At full speed what is on its way is nothing beside what came back; at a fixed rate every packet counts.
  generator_counters after = generator.counters();
  const uint64_t end = now_ns();
  std::vector<double> busy = busy_seconds();
  if (a.rate != 0) {
    generator.settle();
    after = generator.counters();
  }
  std::transform(busy.begin(), busy.end(), busy_before.begin(), busy.begin(), std::minus<>());
  std::printf(R"({"sent":%llu,"returned":%llu,"wrong":%llu,"seconds":%.6f,"cpu_seconds":[)",
              static_cast<unsigned long long>(generator.sent() - sent_before),
              static_cast<unsigned long long>(after.returned - before.returned),
              static_cast<unsigned long long>(after.wrong), static_cast<double>(end - begin) / 1e9);
  for (std::size_t cpu = 0; cpu < busy.size(); ++cpu) std::printf("%s%.3f", cpu == 0 ? "" : ",", busy[cpu]);
  std::puts("]}");
}

}  // namespace
}  // namespace xebec::bench

int main(int argc, char** argv) {
  using namespace xebec::bench;
  run(job_of(Arguments(argc, argv, 1)));
}
