// SPDX-License-Identifier: BSD-2-Clause
// What a QUIC connection id says. Section numbers are those of draft-ietf-quic-load-balancers-21.
#include "dataplane/quic_id.h"

#include <algorithm>
#include <cstddef>

namespace xebec {
namespace {

// RFC 8999 sections 5.1 and 5.2: a long header is flags, version, length of the id, the id; a short one flags, the id.
constexpr uint8_t kLongHeader = 0x80;
constexpr std::size_t kLongIdLengthAt = 5;
constexpr std::size_t kLongIdAt = 6;
constexpr std::size_t kShortIdAt = 1;

// What Katran asks for (QUIC_MIN_CONNID_LEN, katran/lib/bpf/balancer_consts.h).
constexpr std::size_t kMinKatranId = 8;

constexpr std::size_t kBlock = 16;

ServerId id_of(const uint8_t* bytes, std::size_t length) {
  ServerId id;
  std::copy_n(bytes, length, id.bytes.begin());
  id.length = static_cast<uint8_t>(length);
  return id;
}

// Section 5.4.2: a Feistel network over the two halves of the block. Of an odd number of bytes, the middle one belongs to
// both halves by four bits: the left half ends in four zeros, the right one begins with them.
class FourPass {
 public:
  FourPass(const Aes128& cipher, const uint8_t* block, std::size_t length)
      : cipher_(cipher), length_(length), half_((length + 1) / 2) {
    std::copy_n(block, half_, left_.begin());
    std::copy_n(block + (length - half_), half_, right_.begin());
    trim();
  }

  // Three passes give the left half, which holds the server id unless that is longer than the nonce.
  void decrypt(bool both_halves, uint8_t* out) {
    pass(4, right_, left_);
    pass(3, left_, right_);
    pass(2, right_, left_);
    if (both_halves) pass(1, left_, right_);
    std::copy_n(right_.begin(), half_, out + (length_ - half_));
    const uint8_t shared = length_ % 2 != 0 ? right_[0] : uint8_t{0};
    std::copy_n(left_.begin(), half_, out);
    out[half_ - 1] = static_cast<uint8_t>(out[half_ - 1] | shared);
  }

 private:
  void pass(uint8_t number, const Aes128::Block& from, Aes128::Block& to) {
    Aes128::Block input{};
    std::copy_n(from.begin(), half_, input.begin());
    input[14] = static_cast<uint8_t>(length_);
    input[15] = number;
    const Aes128::Block mask = cipher_.encrypt(input);
    for (std::size_t i = 0; i < half_; ++i) to[i] = static_cast<uint8_t>(to[i] ^ mask[i]);
    trim();
  }
  void trim() {
    if (length_ % 2 == 0) return;
    left_[half_ - 1] &= 0xf0;
    right_[0] &= 0x0f;
  }

  const Aes128& cipher_;
  std::size_t length_;
  std::size_t half_;
  Aes128::Block left_{};
  Aes128::Block right_{};
};

}  // namespace

std::span<const uint8_t> quic_destination_id(std::span<const uint8_t> payload) {
  if (payload.size() <= kShortIdAt) return {};
  if ((payload[0] & kLongHeader) == 0) return payload.subspan(kShortIdAt);
  if (payload.size() < kLongIdAt) return {};
  const std::size_t length = payload[kLongIdLengthAt];
  if (payload.size() - kLongIdAt < length) return {};
  return payload.subspan(kLongIdAt, length);
}

ServerId QuicLbCode::decode(std::span<const uint8_t> connection_id) const {
  const std::size_t length = std::size_t{server_id_length} + nonce_length;
  if (server_id_length == 0 || connection_id.size() < 1 + length) return {};
  const uint8_t* const block = connection_id.data() + 1;
  if (!cipher) return id_of(block, server_id_length);
  if (length == kBlock) {  // section 5.4.1
    Aes128::Block encrypted;
    std::copy_n(block, kBlock, encrypted.begin());
    const Aes128::Block plain = cipher->decrypt(encrypted);
    return id_of(plain.data(), server_id_length);
  }
  std::array<uint8_t, kMaxQuicBlock> plain{};
  FourPass(*cipher, block, length).decrypt(server_id_length > length / 2, plain.data());
  return id_of(plain.data(), server_id_length);
}

// parse_quic(), katran/lib/bpf/pckt_parsing.h. Katran passes over client Initial and 0-RTT packets by their type bits, which
// mean that in version 1 only; here no version is looked at.
ServerId katran_server_id(std::span<const uint8_t> connection_id) {
  if (connection_id.size() < kMinKatranId) return {};
  const uint8_t* const c = connection_id.data();
  uint32_t number = 0;
  switch (c[0] >> 6) {
    case 1:
      number = (c[0] & 0x3fu) << 10 | uint32_t{c[1]} << 2 | c[2] >> 6;
      break;
    case 2:
      number = uint32_t{c[1]} << 16 | uint32_t{c[2]} << 8 | c[3];
      break;
    case 3:
      number = uint32_t{c[1]} << 24 | uint32_t{c[2]} << 16 | uint32_t{c[3]} << 8 | c[4];
      break;
    default:
      break;
  }
  if (number == 0) return {};
  const uint8_t bytes[kKatranIdLength] = {static_cast<uint8_t>(number >> 24),
                                          static_cast<uint8_t>(number >> 16),
                                          static_cast<uint8_t>(number >> 8), static_cast<uint8_t>(number)};
  return id_of(bytes, sizeof bytes);
}

}  // namespace xebec
