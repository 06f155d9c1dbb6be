// SPDX-License-Identifier: BSD-2-Clause
// A bare AF_XDP reflector: what copy-mode AF_XDP costs when the program does nothing but rewrite the MAC addresses.
// Rings, batches and idling as Xebec's (dataplane/limits.h, worker.cc), so that the difference is Xebec's own work.
// Says "ready" and stays until SIGTERM. Needs root.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_ether.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <xdp/xsk.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "bench/arguments.h"
#include "bench/mac.h"
#include "bench/measure.h"
#include "dataplane/limits.h"
#include "reflector.skel.h"

namespace xebec::bench {
namespace {

// Both as in dataplane/xsk_port.cc, and for its reasons.
constexpr int kXdpMaxTxSkbBudget = 9;
constexpr int kSendBufferBytes = 16 << 20;
constexpr uint32_t kSpinRounds = 50;  // as the adaptive worker

volatile sig_atomic_t ended = 0;

struct Job {
  std::string interface, own_mac, to_mac;
  uint32_t queue = 0, cpu = 0;
};

Job job_of(Arguments arguments) {
  Job job;
  job.interface = arguments.text("interface", "eth0");
  job.own_mac = arguments.text("own-mac");
  job.to_mac = arguments.text("to-mac");
  job.queue = arguments.count("queue", 0, 0, 63);
  job.cpu = arguments.count("cpu", 0, 0, CPU_SETSIZE - 1);
  arguments.end();
  return job;
}

class Reflector {
 public:
  explicit Reflector(const Job& a) {
    read_mac(a.to_mac, to_mac_);
    read_mac(a.own_mac, own_mac_);
    const std::size_t bytes = std::size_t{kFramesPerPort} * kFrameSize;
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(memory != MAP_FAILED, "no memory");
    memory_ = static_cast<uint8_t*>(memory);
    xsk_umem_config umem{};
    umem.fill_size = kRingSize;
    umem.comp_size = kRingSize;
    umem.frame_size = kFrameSize;
    require(xsk_umem__create(&umem_, memory_, bytes, &fill_, &completion_, &umem) == 0, "cannot make a UMEM");
    xsk_socket_config socket{};
    socket.rx_size = kRingSize;
    socket.tx_size = kRingSize;
    socket.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
    socket.bind_flags = XDP_USE_NEED_WAKEUP | XDP_COPY;
    require(xsk_socket__create(&socket_, a.interface.c_str(), a.queue, umem_, &rx_, &tx_, &socket) == 0,
            "cannot bind an AF_XDP socket");
    fd_ = xsk_socket__fd(socket_);
    const uint32_t budget = kRingSize;  // both improvements only
    (void)setsockopt(fd_, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBufferBytes, sizeof kSendBufferBytes);
    (void)setsockopt(fd_, SOL_XDP, kXdpMaxTxSkbBudget, &budget, sizeof budget);
    for (uint64_t frame = 0; frame < kFramesPerPort; ++frame) free_.push_back(frame * kFrameSize);
    attach(a);
  }
  ~Reflector() {
    bpf_link__destroy(link_);
    xsk_socket__delete(socket_);
    xsk_umem__delete(umem_);
    reflector_bpf__destroy(skeleton_);
  }
  Reflector(const Reflector&) = delete;
  Reflector& operator=(const Reflector&) = delete;

  void run() {
    refill();
    uint32_t empty = 0;
    while (ended == 0) {
      const uint32_t served = serve();
      reap();
      refill();
      empty = served != 0 ? 0 : empty + 1;
      if (empty < kSpinRounds) continue;
      pollfd one{fd_, POLLIN, 0};
      (void)poll(&one, 1, 100);
      empty = 0;
    }
  }

 private:
  void attach(const Job& a) {
    skeleton_ = reflector_bpf__open_and_load();
    require(skeleton_ != nullptr, "the kernel does not load the reflector's program");
    require(bpf_map__update_elem(skeleton_->maps.sockets, &a.queue, sizeof a.queue, &fd_, sizeof fd_,
                                 BPF_ANY) == 0,
            "cannot put the socket into its map");
    link_ = bpf_program__attach_xdp(skeleton_->progs.reflect,
                                    static_cast<int>(if_nametoindex(a.interface.c_str())));
    require(link_ != nullptr, "cannot attach to " + a.interface);
  }

  uint32_t serve() {
    uint32_t from = 0, to = 0;
    const uint32_t n = xsk_ring_cons__peek(&rx_, kBatchSize, &from);
    if (n == 0) return 0;
    const bool room = xsk_ring_prod__reserve(&tx_, n, &to) == n;
    for (uint32_t i = 0; i < n; ++i) {
      const xdp_desc packet = *xsk_ring_cons__rx_desc(&rx_, from + i);
      if (!room) {
        free_.push_back(packet.addr & ~uint64_t{kFrameSize - 1});
        continue;
      }
      uint8_t* frame = memory_ + packet.addr;
      std::memcpy(frame, to_mac_, ETH_ALEN);
      std::memcpy(frame + ETH_ALEN, own_mac_, ETH_ALEN);
      *xsk_ring_prod__tx_desc(&tx_, to + i) = packet;
    }
    xsk_ring_cons__release(&rx_, n);
    if (room) xsk_ring_prod__submit(&tx_, n);
    (void)sendto(fd_, nullptr, 0, MSG_DONTWAIT, nullptr, 0);
    return n;
  }

  void reap() {
    uint32_t index = 0;
    const uint32_t n = xsk_ring_cons__peek(&completion_, kRingSize, &index);
    for (uint32_t i = 0; i < n; ++i) {
      free_.push_back(*xsk_ring_cons__comp_addr(&completion_, index + i) & ~uint64_t{kFrameSize - 1});
    }
    if (n != 0) xsk_ring_cons__release(&completion_, n);
  }

  void refill() {
    const uint32_t n = std::min(xsk_prod_nb_free(&fill_, kBatchSize), static_cast<uint32_t>(free_.size()));
    uint32_t index = 0;
    if (n >= kBatchSize && xsk_ring_prod__reserve(&fill_, n, &index) == n) {
      for (uint32_t i = 0; i < n; ++i) {
        *xsk_ring_prod__fill_addr(&fill_, index + i) = free_.back();
        free_.pop_back();
      }
      xsk_ring_prod__submit(&fill_, n);
    }
    if (xsk_ring_prod__needs_wakeup(&fill_)) {
      (void)recvfrom(fd_, nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
    }
  }

  uint8_t to_mac_[ETH_ALEN], own_mac_[ETH_ALEN];
  uint8_t* memory_ = nullptr;
  std::vector<uint64_t> free_;
  xsk_umem* umem_ = nullptr;
  xsk_socket* socket_ = nullptr;
  int fd_ = -1;
  xsk_ring_prod fill_{}, tx_{};
  xsk_ring_cons rx_{}, completion_{};
  reflector_bpf* skeleton_ = nullptr;
  bpf_link* link_ = nullptr;
};

void run(const Job& a) {
  struct sigaction end {};
  end.sa_handler = [](int) { ended = 1; };
  sigaction(SIGTERM, &end, nullptr);
  sigaction(SIGINT, &end, nullptr);
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(a.cpu, &set);
  require(sched_setaffinity(0, sizeof set, &set) == 0, "cannot run on the CPU");
  Reflector reflector(a);
  std::puts("ready");
  std::fflush(stdout);
  reflector.run();
}

}  // namespace
}  // namespace xebec::bench

int main(int argc, char** argv) {
  using namespace xebec::bench;
  run(job_of(Arguments(argc, argv, 1)));
}
