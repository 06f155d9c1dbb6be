// SPDX-License-Identifier: BSD-2-Clause
#include "control/vip_prober.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "control/classic_bpf.h"
#include "control/dns_question.h"
#include "control/health_socket.h"
#include "control/probe_frames.h"
#include "dataplane/wire.h"

namespace xebec {
namespace {

namespace bpf = classic_bpf;
constexpr int kPacketsPerTurn = 256;

/// Of what is for this host, what may be an answer: ICMP, UDP, and of TCP what begins or resets. From the IP header on.
constexpr std::array kAnswers4 = {
    bpf::load(BPF_ABS, BPF_B, SKF_AD_OFF + SKF_AD_PKTTYPE),
    bpf::equal(PACKET_HOST, 0, 8),
    bpf::load(BPF_ABS, BPF_B, 9),  // protocol
    bpf::equal(kProtoIcmp, 5, 0),
    bpf::equal(kProtoUdp, 4, 0),
    bpf::equal(kProtoTcp, 0, 4),
    bpf::load_ip_length(0),
    bpf::load(BPF_IND, BPF_B, offsetof(TcpHeader, flags)),
    bpf::has_any(kTcpSyn | kTcpRst, 0, 1),
    bpf::take(0xffff),
    bpf::take(0),
};
constexpr std::array kAnswers6 = {
    bpf::load(BPF_ABS, BPF_B, SKF_AD_OFF + SKF_AD_PKTTYPE),
    bpf::equal(PACKET_HOST, 0, 7),
    bpf::load(BPF_ABS, BPF_B, 6),  // next header
    bpf::equal(kProtoIcmpv6, 4, 0),
    bpf::equal(kProtoUdp, 3, 0),
    bpf::equal(kProtoTcp, 0, 3),
    bpf::load(BPF_ABS, BPF_B, sizeof(Ipv6Header) + offsetof(TcpHeader, flags)),
    bpf::has_any(kTcpSyn | kTcpRst, 0, 1),
    bpf::take(0xffff),
    bpf::take(0),
};

/// Hears what comes in of one EtherType, on every interface: who answers has his own ways to us. -1 with errno.
int open_ear(uint16_t ether_type, std::span<const sock_filter> filter) {
  const int fd =
      socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);  // hears nothing until it is bound
  if (fd < 0) return -1;
  std::vector<sock_filter> own(filter.begin(), filter.end());
  const sock_fprog program{static_cast<unsigned short>(own.size()), own.data()};
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ether_type);
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0 &&
      bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

/// A port of ours that nobody else has as long as the descriptor is open. -1 with errno.
int reserve_port(const IpAddress& source, int type, uint16_t& port) {
  const bool v4 = source.is_v4();
  const int fd = socket(v4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  sockaddr_in in4{};
  in4.sin_family = AF_INET;
  const Be32 raw = v4 ? source.v4() : Be32{};
  std::memcpy(&in4.sin_addr, &raw, sizeof raw);
  sockaddr_in6 in6{};
  in6.sin6_family = AF_INET6;
  std::memcpy(&in6.sin6_addr, source.bytes.data(), source.bytes.size());
  auto* const address = v4 ? reinterpret_cast<sockaddr*>(&in4) : reinterpret_cast<sockaddr*>(&in6);
  socklen_t size = v4 ? sizeof in4 : sizeof in6;
  if (bind(fd, address, size) == 0 && getsockname(fd, address, &size) == 0) {
    port = ntohs(v4 ? in4.sin_port : in6.sin6_port);
    return fd;
  }
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

uint32_t random_mark() {
  uint32_t mark = 0;
  if (getrandom(&mark, sizeof mark, 0) != sizeof mark) mark = 1;
  return mark;
}

}  // namespace

class VipProber::Question final : public Probe {
 public:
  Question(VipProber& prober, const VipWay& way, ProbeDone done)
      : prober_(prober), way_(way), done_(std::move(done)) {}
  Question(const Question&) = delete;
  Question& operator=(const Question&) = delete;
  ~Question() override {
    forget();
    if (reserved_ >= 0) close(reserved_);
  }

  /// 0 or an errno.
  int ask(const HealthCheck& check) {
    asked_.source = way_.source;
    asked_.vip = *check.vip;
    asked_.port = check.port;
    asked_.protocol = check.settings.type == HealthType::tcp    ? kProtoTcp
                      : check.settings.type == HealthType::icmp ? kProtoIcmp
                                                                : kProtoUdp;
    asked_.payload = check.settings.payload;
    if (check.settings.type == HealthType::dns) {
      dns_ = make_dns_question(check.settings.dns_name, check.settings.dns_type);
      if (!dns_) return EINVAL;
      asked_.payload = dns_->bytes;
    }
    expect_ = check.settings.expect.value_or("");
    if (asked_.protocol != kProtoIcmp) {
      reserved_ = reserve_port(asked_.source, asked_.protocol == kProtoTcp ? SOCK_STREAM : SOCK_DGRAM,
                               asked_.source_port);
      if (reserved_ < 0) return errno;
    }
    asked_.mark = random_mark();
    while (prober_.by_mark_.contains(asked_.mark)) ++asked_.mark;
    if (asked_.protocol == kProtoUdp) {
      prober_.by_port_[{asked_.source, asked_.source_port}] = this;
    } else {
      prober_.by_mark_[asked_.mark] = this;
    }
    listed_ = true;
    return prober_.send(frame_of(asked_), way_);
  }

  ProbeResult overdue() const override { return {ProbeResult::Kind::bad, "no answer from the VIP"}; }

  /// The ICMP error is about its packet, as the tunnel carried it.
  bool was_carried_by(const VipAnswer& error) const {
    const Backend& b = way_.backend;
    if (!is_tunnel(b.mode) || b.address != error.quoted) return false;
    switch (b.mode) {
      case Mode::gue:
      case Mode::vxlan:
        return error.quoted_protocol == kProtoUdp && error.quoted_port == b.tunnel_port;
      case Mode::gre:
        return error.quoted_protocol == kProtoGre;
      default:
        return error.quoted_protocol == (asked_.vip.is_v4() ? kProtoIpip : kProtoIpv6);
    }
  }
  /// It is what `answer`, which has the right mark or port, is about.
  bool fits(const VipAnswer& answer) const {
    const bool error = answer.kind == VipAnswer::Kind::port_unreachable ||
                       answer.kind == VipAnswer::Kind::protocol_unreachable ||
                       answer.kind == VipAnswer::Kind::passed_on;
    return answer.protocol == asked_.protocol && answer.to == asked_.source &&
           (error ? answer.quoted : answer.from) == asked_.vip;
  }

  void take(const VipAnswer& answer) {
    switch (answer.kind) {
      case VipAnswer::Kind::accepted:
        // Nobody waits for the connection; what does not get there, the backend's own timer does.
        (void)prober_.send(reset_of(asked_), way_);
        return tell({ProbeResult::Kind::good, "accepted at the VIP"});
      case VipAnswer::Kind::reset:
        return tell({ProbeResult::Kind::bad, "connection refused at the VIP"});
      case VipAnswer::Kind::echo:
        return tell({ProbeResult::Kind::good, "answered at the VIP"});
      case VipAnswer::Kind::datagram:
        return take_datagram(answer.payload);
      case VipAnswer::Kind::port_unreachable:
        return tell({ProbeResult::Kind::bad, "port unreachable at the VIP"});
      case VipAnswer::Kind::protocol_unreachable:
        return tell({ProbeResult::Kind::bad, "protocol unreachable at the VIP"});
      case VipAnswer::Kind::passed_on:
        return tell(
            {ProbeResult::Kind::bad, "it passes packets for the VIP on: it does not have that address"});
    }
  }
  void take_refused_tunnel(VipAnswer::Kind kind) {
    tell({ProbeResult::Kind::bad, kind == VipAnswer::Kind::port_unreachable
                                      ? "it takes nothing out of the tunnel: port unreachable"
                                      : "it takes nothing out of the tunnel: protocol unreachable"});
  }

 private:
  void take_datagram(std::string_view payload) {
    if (dns_) {
      if (const auto result = judge_dns_answer(*dns_, payload)) tell(*result);
      return;
    }
    const bool good = payload.find(expect_) != std::string_view::npos;
    tell(good ? ProbeResult{ProbeResult::Kind::good, "answered at the VIP"}
              : ProbeResult{ProbeResult::Kind::bad, "the answer is not the expected one"});
  }
  /// No answer is for it any more.
  void forget() {
    if (!listed_) return;
    listed_ = false;
    if (asked_.protocol == kProtoUdp) {
      prober_.by_port_.erase({asked_.source, asked_.source_port});
    } else {
      prober_.by_mark_.erase(asked_.mark);
    }
  }
  void tell(ProbeResult result) {
    forget();
    const ProbeDone last = std::move(done_);
    last(std::move(result));  // this is no more
  }

  VipProber& prober_;
  VipWay way_;
  ProbeDone done_;
  VipQuestion asked_;
  std::string expect_;
  std::optional<DnsQuestion> dns_;
  int reserved_ = -1;
  bool listed_ = false;
};

VipProber::VipProber(EventLoop& loop, FindWay find_way) : loop_(loop), find_way_(std::move(find_way)) {}

VipProber::~VipProber() {
  rest();
}

int VipProber::open() {
  if (out_ >= 0) return 0;
  const int out =
      socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);  // of no protocol: it hears nothing
  const int four = out < 0 ? -1 : open_ear(ETH_P_IP, kAnswers4);
  const int six = four < 0 ? -1 : open_ear(ETH_P_IPV6, kAnswers6);
  if (six < 0) {
    const int error = errno;
    if (four >= 0) close(four);
    if (out >= 0) close(out);
    return error;
  }
  out_ = out;
  for (const int i : {0, 1}) {
    ears_[i].fd = i == 0 ? four : six;
    ears_[i].watch = loop_.watch(ears_[i].fd, POLLIN, [this, fd = ears_[i].fd](short) { receive(fd); });
  }
  return 0;
}

void VipProber::rest() {
  if (out_ < 0) return;
  for (Ear& ear : ears_) {
    loop_.unwatch(ear.watch);
    close(ear.fd);
  }
  close(out_);
  out_ = -1;
}

int VipProber::send(const std::vector<uint8_t>& frame, const VipWay& way) {
  const std::vector<uint8_t> sent = through_data_path(frame, way.backend);
  if (sent.empty()) return EMSGSIZE;
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = way.ifindex;
  to.sll_halen = ETH_ALEN;
  std::memcpy(to.sll_addr, sent.data(), ETH_ALEN);
  const ssize_t n =
      sendto(out_, sent.data(), sent.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
  return n < 0 ? errno : 0;
}

std::unique_ptr<Probe> VipProber::start(const HealthCheck& check, ProbeDone done) {
  const auto not_run = [&](const std::string& why) {
    return tell_later(loop_, {ProbeResult::Kind::not_run, "the check could not be made: " + why}, done);
  };
  const auto way = find_way_(check);
  if (!way) return not_run(way.error());
  if (const int error = open(); error != 0) return not_run("no packet socket: " + errno_text(error));
  auto question = std::make_unique<Question>(*this, *way, done);
  if (const int error = question->ask(check); error != 0) return not_run(errno_text(error));
  return question;
}

void VipProber::receive(int fd) {
  std::array<uint8_t, 2048> bytes;
  for (int i = 0; i < kPacketsPerTurn; ++i) {
    const ssize_t n = recv(fd, bytes.data(), bytes.size(), 0);
    if (n < 0) return;
    if (const auto answer = read_vip_answer(std::span(bytes.data(), static_cast<std::size_t>(n))))
      take(*answer);
    if (out_ < 0) return;  // whoever was told has put us to rest
  }
}

VipProber::Question* VipProber::find(const VipAnswer& answer) const {
  Question* found = nullptr;
  if (answer.protocol == kProtoUdp) {
    if (const auto it = by_port_.find({answer.to, answer.source_port}); it != by_port_.end())
      found = it->second;
  } else if (const auto it = by_mark_.find(answer.mark); it != by_mark_.end()) {
    found = it->second;
  }
  return found != nullptr && found->fits(answer) ? found : nullptr;
}

void VipProber::take(const VipAnswer& answer) {
  if (Question* question = find(answer)) return question->take(answer);
  if (answer.kind != VipAnswer::Kind::port_unreachable &&
      answer.kind != VipAnswer::Kind::protocol_unreachable)
    return;
  // Of a tunnel's packet no more comes back than to whom it went, so it is about all that are on their way there. Noted before
  // any is told: who is told may end others, and start some that nobody has answered.
  const auto tell_all = [&](auto& questions) {
    std::vector<typename std::remove_reference_t<decltype(questions)>::key_type> keys;
    for (const auto& [key, question] : questions) {
      if (question->was_carried_by(answer)) keys.push_back(key);
    }
    for (const auto& key : keys) {
      if (const auto it = questions.find(key); it != questions.end())
        it->second->take_refused_tunnel(answer.kind);
    }
  };
  tell_all(by_mark_);
  tell_all(by_port_);
}

}  // namespace xebec
