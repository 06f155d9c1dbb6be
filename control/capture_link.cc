// SPDX-License-Identifier: BSD-2-Clause
// Link types of captures. Formats are those of tcpdump.org/linktypes.html.
#include "control/capture_link.h"

#include <algorithm>
#include <cstddef>

#include <fmt/format.h>
#include <pcap/pcap.h>

namespace xebec {
namespace {

constexpr std::size_t kCookedLength = 16;   // LINKTYPE_LINUX_SLL
constexpr std::size_t kCooked2Length = 20;  // LINKTYPE_LINUX_SLL2
constexpr std::size_t kFamilyLength = 4;    // LINKTYPE_NULL, _LOOP: an AF_ of the machine it was taken on

// linux/if_packet.h: PACKET_HOST. Others were sent to somebody else, or by this host.
constexpr uint16_t kToThisHost = 0;

constexpr MacAddress kUnknown{{0x02, 0, 0, 0, 0, 0}};  // nobody's: locally administered

uint16_t word_at(std::span<const uint8_t> bytes, std::size_t offset) {
  return static_cast<uint16_t>(bytes[offset] << 8 | bytes[offset + 1]);
}

/// 0 if it is neither.
uint16_t type_by_version(std::span<const uint8_t> packet) {
  const int version = packet.empty() ? 0 : packet[0] >> 4;
  if (version == 4) return kEtherIpv4;
  return version == 6 ? kEtherIpv6 : uint16_t{0};
}

}  // namespace

bool CaptureLink::is_ethernet() const {
  return type_ == DLT_EN10MB;
}

bool CaptureLink::is_known() const {
  constexpr int kKnown[] = {DLT_EN10MB, DLT_LINUX_SLL, DLT_LINUX_SLL2, DLT_RAW,
                            DLT_IPV4,   DLT_IPV6,      DLT_NULL,       DLT_LOOP};
  return std::find(std::begin(kKnown), std::end(kKnown), type_) != std::end(kKnown);
}

std::string CaptureLink::name() const {
  const char* name = pcap_datalink_val_to_name(type_);
  const char* what = pcap_datalink_val_to_description(type_);
  if (name == nullptr) return std::to_string(type_);
  return what == nullptr ? std::string(name) : fmt::format("{} ({})", name, what);
}

std::span<const uint8_t> CaptureLink::frame_of(std::span<const uint8_t> bytes) {
  switch (type_) {
    case DLT_EN10MB:
      return bytes;
    case DLT_LINUX_SLL:
      if (bytes.size() < kCookedLength) return {};
      return cooked(bytes, 14, word_at(bytes, 0), 6, kCookedLength);
    case DLT_LINUX_SLL2:
      if (bytes.size() < kCooked2Length) return {};
      return cooked(bytes, 0, bytes[10], 12, kCooked2Length);
    case DLT_RAW:
    case DLT_IPV4:
    case DLT_IPV6:
      return made_up(kUnknown, type_by_version(bytes), bytes);
    case DLT_NULL:
    case DLT_LOOP:
      if (bytes.size() < kFamilyLength) return {};
      // The AF_ of IPv6 is another number on every system; the packet says what it is.
      return made_up(kUnknown, type_by_version(bytes.subspan(kFamilyLength)), bytes.subspan(kFamilyLength));
    default:
      return {};
  }
}

std::span<const uint8_t> CaptureLink::cooked(std::span<const uint8_t> bytes, std::size_t protocol_at,
                                             uint16_t direction, std::size_t source_at,
                                             std::size_t header_length) {
  if (direction != kToThisHost) return {};
  MacAddress source;
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(source_at), sizeof source.bytes, source.bytes);
  return made_up(source, word_at(bytes, protocol_at), bytes.subspan(header_length));
}

std::span<const uint8_t> CaptureLink::made_up(MacAddress source, uint16_t type,
                                              std::span<const uint8_t> packet) {
  if (type == 0) return {};
  EthernetHeader header;
  header.destination = own_;
  header.source = source;
  header.type = Be16::from_host(type);
  const auto* bytes = reinterpret_cast<const uint8_t*>(&header);
  frame_.assign(bytes, bytes + sizeof header);
  frame_.insert(frame_.end(), packet.begin(), packet.end());
  return frame_;
}

}  // namespace xebec
