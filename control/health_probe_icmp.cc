// SPDX-License-Identifier: BSD-2-Clause
// The ICMP check: an echo request, and its reply. By the kernel's ping socket where the group may have one
// (net.ipv4.ping_group_range), else by a raw socket, which CAP_NET_RAW allows.
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "control/health_socket.h"

namespace xebec {
namespace {

constexpr std::size_t kTokenSize = 16;  // random: who answers with it has seen our request
constexpr std::size_t kHeaderSize =
    8;  // RFC 792, RFC 4443 section 4.1: type, code, checksum, identifier, sequence
using Echo = std::array<unsigned char, kHeaderSize + kTokenSize>;

/// RFC 1071. A ping socket's kernel does it again, and ICMPv6's always does.
uint16_t checksum(const Echo& bytes) {
  uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2)
    sum += static_cast<uint32_t>(bytes[i] << 8 | bytes[i + 1]);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

Echo make_request(bool v4) {
  Echo echo{};
  echo[0] = v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
  if (getrandom(echo.data() + 4, 2 + 2 + kTokenSize, 0) < 0) echo[7] = 1;
  const uint16_t sum = v4 ? checksum(echo) : uint16_t{0};
  echo[2] = static_cast<unsigned char>(sum >> 8);
  echo[3] = static_cast<unsigned char>(sum & 0xff);
  return echo;
}

/// The identifier is left out: a ping socket has one of its own.
std::optional<ProbeResult> judge(bool v4, bool raw, const Echo& request, std::string_view bytes) {
  if (v4 && raw) {  // raw(7): an IPv4 header comes first
    if (bytes.empty()) return std::nullopt;
    bytes.remove_prefix(
        std::min<std::size_t>(bytes.size(), (static_cast<unsigned char>(bytes[0]) & 15u) * 4));
  }
  if (bytes.size() < request.size()) return std::nullopt;
  const auto type = static_cast<unsigned char>(bytes[0]);
  if (type != (v4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY)) return std::nullopt;
  if (std::memcmp(bytes.data() + 6, request.data() + 6, request.size() - 6) != 0) return std::nullopt;
  return ProbeResult{ProbeResult::Kind::good, "answered"};
}

}  // namespace

std::unique_ptr<Probe> start_icmp_probe(EventLoop& loop, const HealthCheck& check, ProbeDone done) {
  const bool v4 = check.backend.is_v4();
  const Echo request = make_request(v4);
  const std::string_view bytes(reinterpret_cast<const char*>(request.data()), request.size());
  const int protocol = v4 ? static_cast<int>(IPPROTO_ICMP) : static_cast<int>(IPPROTO_ICMPV6);
  int error = 0;
  for (const int type : {SOCK_DGRAM, SOCK_RAW}) {
    const bool raw = type == SOCK_RAW;
    auto probe = std::make_unique<DatagramProbe>(
        loop, done, [=](std::string_view answer) { return judge(v4, raw, request, answer); },
        ProbeResult{ProbeResult::Kind::bad, "no answer"});
    error = probe->start(type, protocol, check, bytes);
    if (error == 0) return probe;
    if (error != EACCES && error != EPERM) break;
  }
  return tell_later(loop, failed_with(error), std::move(done));
}

}  // namespace xebec
