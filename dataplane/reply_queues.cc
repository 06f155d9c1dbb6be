// SPDX-License-Identifier: BSD-2-Clause
// On which queue of an interface the replies of mode nat will arrive.
#include "dataplane/reply_queues.h"

#include "dataplane/rss.h"
#include "dataplane/wire.h"

namespace xebec {
namespace {

// What the hash is over: two addresses and two ports; and it looks four bytes of the key further (dataplane/rss.cc).
constexpr std::size_t kIpv4Input = 4 + 4 + 2 + 2;
constexpr std::size_t kIpv6Input = 16 + 16 + 2 + 2;
constexpr std::size_t kWindowBytes = 4;

constexpr uint8_t kIpv4Classes = bit_of(HashClass::tcp4) | bit_of(HashClass::udp4);
constexpr uint8_t kIpv6Classes = bit_of(HashClass::tcp6) | bit_of(HashClass::udp6);

// The hash of an input in which nothing is set but one bit of its last two bytes.
template <std::size_t kInput, typename PortBits>
void fill(std::span<const uint8_t> key, PortBits& adds) {
  for (unsigned bit = 0; bit < adds.size(); ++bit) {
    std::array<uint8_t, kInput> input{};
    input[kInput - 1 - bit / 8] = static_cast<uint8_t>(1u << bit % 8);
    adds[bit] = toeplitz(key, input);
  }
}

}  // namespace

std::optional<HashClass> hash_class_of(const FlowKey& packet) {
  const bool v4 = packet.source.is_v4();
  if (packet.protocol == kProtoTcp) return v4 ? HashClass::tcp4 : HashClass::tcp6;
  if (packet.protocol == kProtoUdp) return v4 ? HashClass::udp4 : HashClass::udp6;
  return std::nullopt;
}

ReplyQueues::ReplyQueues(std::span<const uint8_t> key, std::span<const uint32_t> indirection, uint8_t classes)
    : key_(key.begin(), key.end()),
      indirection_(indirection.begin(), indirection.end()),
      classes_(indirection.empty() ? uint8_t{0} : classes) {
  if (key.size() < kIpv4Input + kWindowBytes) classes_ &= static_cast<uint8_t>(~kIpv4Classes);
  if (key.size() < kIpv6Input + kWindowBytes) classes_ &= static_cast<uint8_t>(~kIpv6Classes);
  if ((classes_ & kIpv4Classes) != 0) fill<kIpv4Input>(key, ipv4_);
  if ((classes_ & kIpv6Classes) != 0) fill<kIpv6Input>(key, ipv6_);
}

std::optional<ReplyQueues::Search> ReplyQueues::search(const FlowKey& reply) const {
  const auto hash_class = hash_class_of(reply);
  if (!hash_class || (classes_ & bit_of(*hash_class)) == 0) return std::nullopt;
  const uint32_t rest = rss_hash(key_, {reply.source, reply.destination, reply.source_port.host(), 0});
  return Search(rest, reply.source.is_v4() ? &ipv4_ : &ipv6_, indirection_, *hash_class);
}

}  // namespace xebec
