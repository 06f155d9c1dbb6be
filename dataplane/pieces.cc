// SPDX-License-Identifier: BSD-2-Clause
// Packets in pieces.
#include "dataplane/pieces.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "dataplane/checksum.h"
#include "dataplane/limits.h"
#include "dataplane/rewrite.h"
#include "dataplane/wire.h"

namespace xebec {
namespace {

// Offsets are in units of eight bytes.
constexpr uint32_t kUnit = 8;

// RFC 791 section 3.1: the first bit of an option's type says whether it is in every fragment.
constexpr uint8_t kCopied = 0x80;
constexpr uint8_t kEndOfOptions = 0;
constexpr uint8_t kNoOperation = 1;

// Bytes of the packet from `offset` on, from whichever frames they are in.
void copy_out(const Packet& packet, uint32_t offset, uint32_t length, uint8_t* out) {
  const auto take = [&](const uint8_t* bytes, uint32_t available) {
    if (offset >= available) {
      offset -= available;
      return;
    }
    const uint32_t taken = std::min(length, available - offset);
    std::memcpy(out, bytes + offset, taken);
    out += taken;
    length -= taken;
    offset = 0;
  };
  take(packet.data, packet.length);
  for (const std::span<const uint8_t> part : packet.rest) {
    if (length == 0) return;
    take(part.data(), static_cast<uint32_t>(part.size()));
  }
}

// Those of the first fragment only become no-operations, as in Linux (ip_options_fragment()): the header keeps its length.
void blank_options(uint8_t* header, uint32_t header_length) {
  for (uint32_t at = sizeof(Ipv4Header); at < header_length && header[at] != kEndOfOptions;) {
    const uint8_t type = header[at];
    uint32_t length = 1;
    if (type != kNoOperation) {
      length = at + 1 < header_length ? header[at + 1] : 0;
      if (length < 2 || length > header_length - at) return;  // malformed: the backend's business, as ever
    }
    if ((type & kCopied) == 0) std::memset(header + at, kNoOperation, length);
    at += length;
  }
}

}  // namespace

Pieces::Pieces(const Packet& whole, const ParsedPacket& parsed, const Backend& backend)
    : whole_(whole), parsed_(parsed), backend_(backend) {
  if (parsed.ip_version != 4 || parsed.dont_fragment) return;
  header_length_ = view_as<Ipv4Header>(whole.data + parsed.l3_offset)->header_length();
  payload_ = parsed.ip_length - header_length_;
  const uint32_t largest = std::min(path_mtu(backend, parsed), kMaxSingleFrameMtu);
  if (largest < header_length_ + kUnit) return;
  per_piece_ = (largest - header_length_) / kUnit * kUnit;
  const uint32_t count = (payload_ + per_piece_ - 1) / per_piece_;
  count_ = count <= kMaxCount ? count : 0;
}

void Pieces::write(uint32_t index, Packet& out) const {
  assert(index < count_ && out.length == 0);
  const uint32_t begin = index * per_piece_;
  const uint32_t length = std::min(per_piece_, payload_ - begin);
  const uint32_t headers = parsed_.l3_offset + header_length_;
  // All headers are in the first frame.
  std::memcpy(out.data, whole_.data, headers);
  copy_out(whole_, headers + begin, length, out.data + headers);
  out.length = headers + length;

  auto* ip = view_as<Ipv4Header>(out.data + parsed_.l3_offset);
  if (index != 0) blank_options(out.data + parsed_.l3_offset, header_length_);
  const uint16_t fragment = ip->fragment.host();
  const bool last = index + 1 == count_;
  const auto offset = static_cast<uint16_t>((fragment & kIpv4OffsetMask) + begin / kUnit);
  const auto more = static_cast<uint16_t>(last ? fragment & kIpv4MoreFragments : kIpv4MoreFragments);
  ip->fragment = Be16::from_host(static_cast<uint16_t>(offset | more));
  ip->total_length = Be16::from_host(static_cast<uint16_t>(header_length_ + length));
  ip->checksum = Be16{};
  ip->checksum = checksum_finish(checksum_sum(out.data + parsed_.l3_offset, header_length_));

  ParsedPacket piece = parsed_;
  piece.ip_length = header_length_ + length;
  piece.looks_partial = false;
  const auto refused = rewrite_to_backend(out, piece, backend_);
  assert(!refused);
  static_cast<void>(refused);
}

}  // namespace xebec
