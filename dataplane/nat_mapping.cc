// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/nat_mapping.h"

#include "dataplane/checksum.h"

namespace xebec {

ChecksumChange checksum_change(const FlowKey& forward, const FlowKey& reply) {
  // Of an IPv4 address the last four bytes; those before are the same in all, and would only be summed.
  const std::size_t begins = forward.source.is_v4() ? 12 : 0;
  const auto words = [begins](const IpAddress& address) {
    return uint64_t{
        checksum_fold(checksum_sum(address.bytes.data() + begins, address.bytes.size() - begins))};
  };
  const auto less = [](uint64_t sum) { return uint64_t{static_cast<uint16_t>(~checksum_fold(sum))}; };
  const uint64_t addresses = words(reply.destination) + words(reply.source) + less(words(forward.source)) +
                             less(words(forward.destination));
  const uint64_t ports = uint64_t{reply.destination_port.raw()} + reply.source_port.raw() +
                         less(forward.source_port.raw()) + less(forward.destination_port.raw());
  return {checksum_fold(addresses), checksum_fold(addresses + ports)};
}

}  // namespace xebec
