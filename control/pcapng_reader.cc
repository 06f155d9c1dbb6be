// SPDX-License-Identifier: BSD-2-Clause
// Reads pcapng, block by block.
#include "control/pcapng_reader.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace xebec {
namespace {

using Bytes = std::span<const uint8_t>;

// Block types, and the codes of an interface's options.
constexpr uint32_t kSection = 0x0a0d0d0a;
constexpr uint32_t kInterface = 1;
constexpr uint32_t kOldPacket = 2;
constexpr uint32_t kSimplePacket = 3;
constexpr uint32_t kPacket = 6;
constexpr uint16_t kOptionResolution = 9;
constexpr uint16_t kOptionOffset = 14;

constexpr uint32_t kByteOrder = 0x1a2b3c4d;
// Type and length before the body, the length again behind it.
constexpr uint32_t kAround = 12;
// As libpcap: no packet is so long; a file that says so is broken, and the memory would be wanted at once.
constexpr uint32_t kMaxBlock = 16 * 1024 * 1024;

uint32_t big(Bytes b, std::size_t at) {
  return uint32_t{b[at]} << 24 | uint32_t{b[at + 1]} << 16 | uint32_t{b[at + 2]} << 8 | b[at + 3];
}
uint32_t little(Bytes b, std::size_t at) {
  return uint32_t{b[at + 3]} << 24 | uint32_t{b[at + 2]} << 16 | uint32_t{b[at + 1]} << 8 | b[at];
}

/// if_tsresol as units a second. 0: more than 64 bits can count.
uint64_t units_of(uint8_t resolution) {
  const unsigned exponent = resolution & 0x7fu;
  if ((resolution & 0x80u) != 0) return exponent < 64 ? uint64_t{1} << exponent : 0;
  if (exponent > 19) return 0;
  uint64_t units = 1;
  for (unsigned i = 0; i < exponent; ++i) units *= 10;
  return units;
}

}  // namespace

uint32_t PcapngReader::u32(Bytes bytes, std::size_t at) const {
  return big_endian_ ? big(bytes, at) : little(bytes, at);
}
uint16_t PcapngReader::u16(Bytes bytes, std::size_t at) const {
  const auto one = bytes[at], two = bytes[at + 1];
  return static_cast<uint16_t>(big_endian_ ? one << 8 | two : two << 8 | one);
}

/// False at the end; then it ended early if something had come.
bool PcapngReader::read(void* to, std::size_t size) {
  const std::size_t got = std::fread(to, 1, size, file_.get());
  if (got != size && got != 0) ended_early_ = true;
  return got == size;
}

tl::expected<std::optional<uint32_t>, std::string> PcapngReader::read_block() {
  uint8_t head[12];  // of a section, with what tells its byte order
  if (!read(head, 8)) return std::nullopt;
  std::size_t have = 0;
  if (big(head, 0) == kSection) {
    if (!read(head + 8, 4)) {
      ended_early_ = true;
      return std::nullopt;
    }
    have = 4;
    if (big(head, 8) != kByteOrder && little(head, 8) != kByteOrder)
      return tl::unexpected(std::string("a section without a byte order"));
    big_endian_ = big(head, 8) == kByteOrder;
    in_section_ = true;
  } else if (!in_section_) {
    return tl::unexpected(std::string("it does not begin with a section header"));
  }
  const uint32_t length = u32(head, 4);
  if (length < kAround + have || length % 4 != 0 || length > kMaxBlock)
    return tl::unexpected(fmt::format("a block of {} bytes, which no block has", length));
  body_.assign(head + 8, head + 8 + have);
  body_.resize(length - kAround);
  uint8_t again[4];
  if (!read(body_.data() + have, body_.size() - have) || !read(again, sizeof again)) {
    ended_early_ = true;
    return std::nullopt;
  }
  if (u32(again, 0) != length)
    return tl::unexpected(fmt::format("a block of {} bytes that ends as one of {}", length, u32(again, 0)));
  return u32(head, 0);
}

void PcapngReader::add_interface() {
  Interface interface;
  if (body_.size() >= 8) {
    interface.link = u16(body_, 0);
    interface.snapshot = u32(body_, 4);
  }
  for (std::size_t at = 8; at + 4 <= body_.size();) {
    const uint16_t code = u16(body_, at), length = u16(body_, at + 2);
    at += 4;
    if (code == 0 || at + length > body_.size()) break;
    if (code == kOptionResolution && length >= 1) interface.resolution = body_[at];
    if (code == kOptionOffset && length >= 8) {
      const uint64_t high = u32(body_, big_endian_ ? at : at + 4),
                     low = u32(body_, big_endian_ ? at + 4 : at);
      interface.offset_s = static_cast<int64_t>(high << 32 | low);
    }
    at += (length + 3u) / 4 * 4;
  }
  interfaces_.push_back(interface);
}

/// Of the block in body_, whose packet begins behind `fixed` bytes. captured: no more than the block has.
PcapngReader::Packet PcapngReader::packet(std::size_t fixed, uint32_t interface, uint64_t time,
                                          uint32_t captured, uint32_t length) const {
  Packet p;
  p.bytes = Bytes(body_).subspan(fixed, std::min<std::size_t>(captured, body_.size() - fixed));
  p.length = std::max(length, static_cast<uint32_t>(p.bytes.size()));
  if (interface >= interfaces_.size()) return p;
  const Interface& from = interfaces_[interface];
  p.link = from.link;
  if (const uint64_t units = units_of(from.resolution); units != 0) {
    const long double rest = static_cast<long double>(time % units) / static_cast<long double>(units);
    p.nanoseconds = static_cast<uint32_t>(std::clamp(std::llround(rest * 1e9L), 0LL, 999'999'999LL));
    // A clock that is set off beyond all times stands still.
    if (__builtin_add_overflow(static_cast<int64_t>(std::min<uint64_t>(time / units, INT64_MAX)),
                               from.offset_s, &p.seconds))
      p.seconds = INT64_MAX;
  }
  return p;
}

/// Empty: the block is no packet's. One too short for its own fields is a packet without bytes.
std::optional<PcapngReader::Packet> PcapngReader::packet_of(uint32_t type) const {
  const std::size_t size = body_.size();
  switch (type) {
    case kPacket:
      if (size < 20) return Packet{};
      return packet(20, u32(body_, 0), time_at(4), u32(body_, 12), u32(body_, 16));
    case kOldPacket:
      if (size < 20) return Packet{};
      return packet(20, u16(body_, 0), time_at(4), u32(body_, 12), u32(body_, 16));
    case kSimplePacket: {
      if (size < 4) return Packet{};
      const uint32_t length = u32(body_, 0);
      const uint32_t snapshot = interfaces_.empty() ? 0 : interfaces_[0].snapshot;
      return packet(4, 0, 0, snapshot == 0 ? length : std::min(length, snapshot), length);
    }
    default:
      return std::nullopt;
  }
}

tl::expected<std::optional<PcapngReader::Packet>, std::string> PcapngReader::next() {
  while (true) {
    uint32_t type = 0;
    if (ahead_) {
      type = *ahead_;
      ahead_.reset();
    } else {
      const auto read = read_block();
      if (!read) return tl::unexpected(read.error());
      if (!*read) return std::nullopt;
      type = **read;
    }
    if (type == kSection) interfaces_.clear();
    if (type == kInterface) add_interface();
    if (const auto found = packet_of(type)) return found;
  }
}

tl::expected<std::optional<int>, std::string> PcapngReader::first_link() {
  while (interfaces_.empty()) {
    const auto type = read_block();
    if (!type) return tl::unexpected(type.error());
    if (!*type) return std::nullopt;
    if (packet_of(**type)) {
      ahead_ = **type;
      return std::nullopt;
    }
    if (**type == kInterface) add_interface();
  }
  return interfaces_.front().link;
}

}  // namespace xebec
