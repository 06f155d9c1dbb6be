// SPDX-License-Identifier: BSD-2-Clause
#include "control/pcapng.h"

#include <algorithm>
#include <cstring>

namespace xebec {
namespace {

// Block types and option codes of draft-ietf-opsawg-pcapng, sections 4.1 to 4.6.
constexpr uint32_t kSectionHeader = 0x0a0d0d0a, kInterface = 1, kStatistics = 5, kPacket = 6;
constexpr uint32_t kByteOrderMagic = 0x1a2b3c4d;
constexpr uint16_t kComment = 1, kEndOfOptions = 0;
constexpr uint16_t kSectionApplication = 4, kInterfaceName = 2, kInterfaceResolution = 9, kPacketFlags = 2;
constexpr uint16_t kReceived = 4, kDropped = 5, kDelivered = 8;
constexpr uint16_t kEthernet = 1;           // LINKTYPE_ETHERNET
constexpr uint8_t kNanoseconds = 9;         // 10^-9
constexpr std::size_t kMaxOption = 0xffff;  // the field is 16 bits

template <typename T>
void put(std::string& out, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof bytes);
}

void pad(std::string& out) {
  while (out.size() % 4 != 0) out += '\0';
}

void put_option(std::string& out, uint16_t code, std::string_view value) {
  value = value.substr(0, kMaxOption);
  put(out, code);
  put(out, static_cast<uint16_t>(value.size()));
  out += value;
  pad(out);
}

template <typename T>
void put_number(std::string& out, uint16_t code, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  put_option(out, code, {bytes, sizeof bytes});
}

/// A block: its type, its length before and behind. Its body begins at a multiple of four, so that pad() is right.
class Block {
 public:
  Block(std::string& out, uint32_t type) : out_(out) {
    put(body_, type);
    put(body_, uint32_t{0});
  }
  ~Block() {
    put(body_, static_cast<uint32_t>(kEndOfOptions));
    const auto length = static_cast<uint32_t>(body_.size() + sizeof(uint32_t));
    put(body_, length);
    std::memcpy(body_.data() + sizeof(uint32_t), &length, sizeof length);
    out_ += body_;
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  std::string& body() { return body_; }

 private:
  std::string& out_;
  std::string body_;
};

void put_time(std::string& out, uint64_t time_ns) {
  put(out, static_cast<uint32_t>(time_ns >> 32));
  put(out, static_cast<uint32_t>(time_ns));
}

template <typename T>
T read_at(std::string_view bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

uint64_t option_of(std::string_view options, uint16_t wanted) {
  while (options.size() >= 4) {
    const auto code = read_at<uint16_t>(options, 0), length = read_at<uint16_t>(options, 2);
    const std::size_t padded = (std::size_t{length} + 3) / 4 * 4;
    if (code == kEndOfOptions || padded > options.size() - 4) return 0;
    if (code == wanted && length == sizeof(uint64_t)) return read_at<uint64_t>(options, 4);
    options.remove_prefix(4 + padded);
  }
  return 0;
}

}  // namespace

void append_section(std::string& out, std::string_view application) {
  Block block(out, kSectionHeader);
  put(block.body(), kByteOrderMagic);
  put(block.body(), uint16_t{1});
  put(block.body(), uint16_t{0});
  put(block.body(), int64_t{-1});  // length not said: it is being written
  put_option(block.body(), kSectionApplication, application);
}

void append_interface(std::string& out, std::string_view name, uint32_t snaplen, std::string_view comment) {
  Block block(out, kInterface);
  put(block.body(), kEthernet);
  put(block.body(), uint16_t{0});
  put(block.body(), snaplen);
  put_option(block.body(), kInterfaceName, name);
  put_number(block.body(), kInterfaceResolution, kNanoseconds);
  if (!comment.empty()) put_option(block.body(), kComment, comment);
}

void append_packet(std::string& out, const PcapngPacket& packet) {
  Block block(out, kPacket);
  put(block.body(), packet.interface);
  put_time(block.body(), packet.time_ns);
  put(block.body(), static_cast<uint32_t>(packet.bytes.size()));
  put(block.body(), packet.length);
  block.body().append(packet.bytes.begin(), packet.bytes.end());
  pad(block.body());
  put_number(block.body(), kPacketFlags, static_cast<uint32_t>(packet.direction));
  if (!packet.comment.empty()) put_option(block.body(), kComment, packet.comment);
}

void append_statistics(std::string& out, uint32_t interface, uint64_t time_ns, uint64_t written,
                       uint64_t lost) {
  Block block(out, kStatistics);
  put(block.body(), interface);
  put_time(block.body(), time_ns);
  put_number(block.body(), kReceived, written + lost);
  put_number(block.body(), kDropped, lost);
  put_number(block.body(), kDelivered, written);
}

bool add_pcapng_totals(std::string_view blocks, PcapngTotals& totals) {
  while (!blocks.empty()) {
    if (blocks.size() < 12) return false;
    const auto type = read_at<uint32_t>(blocks, 0), length = read_at<uint32_t>(blocks, 4);
    if (length < 12 || length % 4 != 0 || length > blocks.size()) return false;
    if (read_at<uint32_t>(blocks, length - 4) != length) return false;
    if (type == kPacket) ++totals.packets;
    if (type == kStatistics) {
      totals.ended = true;
      constexpr std::size_t kFixed = 20;  // type, length, interface, time
      if (length > kFixed + 4) totals.lost += option_of(blocks.substr(kFixed, length - kFixed - 4), kDropped);
    }
    blocks.remove_prefix(length);
  }
  return true;
}

}  // namespace xebec
