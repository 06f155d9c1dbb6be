// SPDX-License-Identifier: BSD-2-Clause
#include "control/doctor.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <random>
#include <span>
#include <tuple>

#include <fmt/format.h>

#include "control/classic_bpf.h"
#include "control/probe_frames.h"

namespace xebec {
namespace {

using namespace std::chrono_literals;

// A neighbour on the link answers within a millisecond; one that has to be woken, or an ICMP that is rate-limited, by the second try.
constexpr auto kAgain = 300ms;
constexpr auto kPatience = 1000ms;
constexpr std::size_t kReports = 8;
constexpr int kFramesPerTurn = 256;

/// Lets through what comes in and is ARP, ICMP or ICMPv6: a socket that had to look at all the host's traffic would cost too much.
constexpr std::array kFilter = {
    classic_bpf::load(BPF_ABS, BPF_B, SKF_AD_OFF + SKF_AD_PKTTYPE),
    classic_bpf::equal(PACKET_OUTGOING, 8, 0),
    classic_bpf::load(BPF_ABS, BPF_H, 12),  // EtherType
    classic_bpf::equal(ETH_P_ARP, 5, 0),
    classic_bpf::equal(ETH_P_IP, 0, 2),
    classic_bpf::load(BPF_ABS, BPF_B, 14 + 9),  // protocol
    classic_bpf::equal(kProtoIcmp, 2, 3),
    classic_bpf::load(BPF_ABS, BPF_B, 14 + 6),  // next header
    classic_bpf::equal(kProtoIcmpv6, 0, 1),
    classic_bpf::take(0xffff),
    classic_bpf::take(0),
};

/// -1 with errno.
int open_socket(int ifindex) {
  const int fd =
      socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);  // hears nothing until it is bound
  if (fd < 0) return -1;
  auto filter = kFilter;
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = ifindex;
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0 &&
      bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

}  // namespace

struct Doctor::Run {
  enum class Way : uint8_t { plain, inside, to_vip };
  struct Socket {
    int fd = -1;
    EventLoop::WatchId watch = 0;
  };
  struct Frame {
    std::size_t link;
    std::vector<uint8_t> bytes;
  };
  struct Probe {
    std::size_t patient;
    Way way;
  };

  uint64_t number = 0;
  uint64_t token = 0;
  std::vector<DoctorPatient> patients;
  std::vector<Socket> sockets;  // by link
  std::vector<Probe> probes;    // by DoctorMark::probe
  std::vector<Frame> frames;
  EventLoop::TimerId again = 0, end = 0;

  void add(std::size_t patient, Way way, std::vector<uint8_t> frame) {
    probes.push_back({patient, way});
    if (!frame.empty()) frames.push_back({patients[patient].backend.next_hop.interface, std::move(frame)});
  }
  DoctorMark next_mark() const { return {token, static_cast<uint32_t>(probes.size())}; }
  void plan(const std::set<IpAddress>& own);
};

void Doctor::Run::plan(const std::set<IpAddress>& own) {
  for (std::size_t i = 0; i < patients.size(); ++i) {
    DoctorPatient& p = patients[i];
    const Backend& b = p.backend;
    p.evidence.has_way = b.next_hop.resolved && b.next_hop.interface < sockets.size();
    p.evidence.same_family = b.address.is_v4() == p.vip.is_v4();
    if (!p.evidence.has_way) continue;
    if (const IpAddress* source = own_address(own, b.address.is_v4())) {
      add(i, Way::plain, to_next_hop(echo_frame(*source, b.address, next_mark()), b.next_hop));
      if (is_tunnel(b.mode) && p.evidence.same_family)
        add(i, Way::inside, through_data_path(echo_frame(*source, b.address, next_mark()), b));
    }
    if (is_nat(b.mode)) continue;
    if (const IpAddress* source = own_address(own, p.vip.is_v4()))
      add(i, Way::to_vip, through_data_path(echo_frame(*source, p.vip, next_mark()), b));
    if (b.mode == Mode::dsr_l2 && p.vip.is_v4())
      frames.push_back({b.next_hop.interface, arp_probe(b.next_hop.source, p.vip)});
  }
  // Several backends of a service ask the same of the link.
  std::sort(frames.begin(), frames.end(), [](const Frame& a, const Frame& b) {
    return std::tie(a.link, a.bytes) < std::tie(b.link, b.bytes);
  });
  frames.erase(
      std::unique(frames.begin(), frames.end(),
                  [](const Frame& a, const Frame& b) { return a.link == b.link && a.bytes == b.bytes; }),
      frames.end());
}

Doctor::Doctor(EventLoop& loop) : loop_(loop) {}

Doctor::~Doctor() {
  if (run_) finish();
}

tl::expected<uint64_t, std::string> Doctor::examine(std::vector<DoctorPatient> patients,
                                                    const std::vector<DoctorLink>& links,
                                                    const std::set<IpAddress>& own) {
  if (run_) return tl::unexpected(std::string("doctor: is examining already"));
  auto run = std::make_unique<Run>();
  for (const DoctorLink& link : links) {
    const int fd = open_socket(link.ifindex);
    if (fd < 0) {
      const std::string why = std::strerror(errno);
      for (const Run::Socket& s : run->sockets) close(s.fd);
      return tl::unexpected(fmt::format("doctor: no packet socket: {}", why));
    }
    run->sockets.push_back({fd, 0});
  }
  if (patients.size() > kMaxPatients) patients.resize(kMaxPatients);
  run->number = ++last_;
  std::random_device random;
  run->token = uint64_t{random()} << 32 | random();
  run->patients = std::move(patients);
  run->plan(own);
  run_ = std::move(run);
  for (Run::Socket& s : run_->sockets)
    s.watch = loop_.watch(s.fd, POLLIN, [this, fd = s.fd](short) { receive(*run_, fd); });
  reports_[run_->number] = {};
  if (reports_.size() > kReports) reports_.erase(reports_.begin());
  send(*run_);
  run_->again = loop_.after(kAgain, [this] {
    run_->again = 0;
    send(*run_);
  });
  run_->end = loop_.after(kPatience, [this] {
    run_->end = 0;
    finish();
  });
  return run_->number;
}

/// What does not go out counts as not answered; it is sent twice.
void Doctor::send(Run& run) {
  for (const Run::Frame& frame : run.frames)
    (void)::send(run.sockets[frame.link].fd, frame.bytes.data(), frame.bytes.size(), 0);
}

void Doctor::receive(Run& run, int fd) {
  std::array<uint8_t, 2048> bytes;
  for (int i = 0; i < kFramesPerTurn; ++i) {
    const ssize_t n = recv(fd, bytes.data(), bytes.size(), 0);
    if (n < 0) return;  // none left; a link that went down tells so once
    if (const auto answer = read_answer(std::span(bytes.data(), static_cast<std::size_t>(n))))
      take(run, *answer);
  }
}

void Doctor::take(Run& run, const DoctorAnswer& answer) {
  if (answer.kind == DoctorAnswer::Kind::echo) {
    if (answer.mark.run != run.token || answer.mark.probe >= run.probes.size()) return;
    const Run::Probe& probe = run.probes[answer.mark.probe];
    BackendEvidence& e = run.patients[probe.patient].evidence;
    (probe.way == Run::Way::plain ? e.plain : probe.way == Run::Way::inside ? e.inside : e.to_vip) = true;
    return;
  }
  for (DoctorPatient& p : run.patients) {
    if (answer.kind == DoctorAnswer::Kind::arp) {
      if (answer.address == p.vip && answer.mac == p.backend.next_hop.destination)
        p.evidence.answers_arp = true;
    } else if (is_tunnel(p.backend.mode) && answer.address == p.backend.address) {
      p.evidence.refused = answer.port ? "port unreachable" : "protocol unreachable";
    }
  }
}

void Doctor::finish() {
  Run& run = *run_;
  for (const Run::Socket& s : run.sockets) {
    loop_.unwatch(s.watch);
    close(s.fd);
  }
  if (run.again != 0) loop_.cancel(run.again);
  if (run.end != 0) loop_.cancel(run.end);
  if (const auto it = reports_.find(run.number); it != reports_.end()) {
    it->second.done = true;
    for (const DoctorPatient& p : run.patients) {
      for (Finding& f : findings_of(p.evidence)) it->second.findings.push_back(std::move(f));
    }
  }
  run_.reset();
}

const Doctor::Report* Doctor::find(uint64_t number) const {
  const auto it = reports_.find(number);
  return it == reports_.end() ? nullptr : &it->second;
}

}  // namespace xebec
