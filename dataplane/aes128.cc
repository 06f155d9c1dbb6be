// SPDX-License-Identifier: BSD-2-Clause
// AES-128. Section numbers are those of FIPS 197.
#include "dataplane/aes128.h"

#include <cstddef>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace xebec {
namespace {

using Block = Aes128::Block;

// Eight bytes of the state in one word, byte i in bits 8i to 8i+7: each operation is done on all of them.
using Lanes = uint64_t;
constexpr Lanes kOnes = 0x0101010101010101;

constexpr Lanes all(uint8_t byte) {
  return kOnes * byte;
}

// Times x in GF(2^8), section 4.2.1.
constexpr Lanes times_x(Lanes a) {
  return ((a & all(0x7f)) << 1) ^ ((a >> 7 & kOnes) * 0x1b);
}

constexpr Lanes multiply(Lanes a, Lanes b) {
  Lanes product = 0;
  for (int bit = 0; bit < 8; ++bit) {
    product ^= a & ((b >> bit & kOnes) * 0xff);
    a = times_x(a);
  }
  return product;
}

// a^254, which is 1/a, and 0 for 0.
constexpr Lanes invert(Lanes a) {
  const Lanes a2 = multiply(a, a);
  const Lanes a3 = multiply(a2, a);
  const Lanes a6 = multiply(a3, a3);
  const Lanes a12 = multiply(a6, a6);
  Lanes power = multiply(a12, a3);                             // a^15
  for (int i = 0; i < 4; ++i) power = multiply(power, power);  // a^240
  return multiply(multiply(power, a12), a2);
}

constexpr Lanes rotate_left(Lanes a, int bits) {
  const auto low = static_cast<uint8_t>((1u << bits) - 1);
  return (a << bits & ~all(low)) | (a >> (8 - bits) & all(low));
}

// Sections 5.1.1 and 5.3.2.
constexpr Lanes substitute(Lanes a) {
  const Lanes b = invert(a);
  return b ^ rotate_left(b, 1) ^ rotate_left(b, 2) ^ rotate_left(b, 3) ^ rotate_left(b, 4) ^ all(0x63);
}
constexpr Lanes substitute_back(Lanes a) {
  return invert(rotate_left(a, 1) ^ rotate_left(a, 3) ^ rotate_left(a, 6) ^ all(0x05));
}
static_assert((substitute(0x53) & 0xff) == 0xed && (substitute_back(0xed) & 0xff) == 0x53, "section 5.1.1");

// The bytes of each column (four of them) turned, so that byte i is what byte i + n was.
constexpr Lanes turn_columns(Lanes a, int n) {
  const int bits = 8 * n;
  const Lanes kept = (uint64_t{1} << (32 - bits)) - 1;
  const Lanes mask = kept | kept << 32;
  return (a >> bits & mask) | (a << (32 - bits) & ~mask);
}

// Sections 5.1.3 and 5.3.3.
constexpr Lanes mix(Lanes a) {
  const Lanes next = turn_columns(a, 1);
  return times_x(a ^ next) ^ next ^ turn_columns(a, 2) ^ turn_columns(a, 3);
}
constexpr Lanes mix_back(Lanes a) {
  return mix(a ^ times_x(times_x(a ^ turn_columns(a, 2))));
}

template <typename Operation>
void on_lanes(Block& block, Operation&& operation) {
  for (std::size_t half = 0; half < 2; ++half) {
    Lanes lanes;
    std::memcpy(&lanes, block.data() + 8 * half, sizeof lanes);
    lanes = operation(lanes);
    std::memcpy(block.data() + 8 * half, &lanes, sizeof lanes);
  }
}

void add(Block& state, const Block& key) {
  for (std::size_t i = 0; i < state.size(); ++i) state[i] = static_cast<uint8_t>(state[i] ^ key[i]);
}

// Sections 5.1.2 and 5.3.1: row r, which is every fourth byte from r on, turns by r columns.
void shift_rows(Block& state, std::size_t columns_per_row) {
  const Block before = state;
  for (std::size_t i = 0; i < state.size(); ++i) state[i] = before[(i + columns_per_row * 4 * (i % 4)) % 16];
}
constexpr std::size_t kForth = 1;
constexpr std::size_t kBack = 3;  // of four

// Section 5.2.
void expand_key(const Block& key, Block* round_keys, std::size_t count) {
  round_keys[0] = key;
  uint8_t constant = 1;
  for (std::size_t round = 1; round < count; ++round) {
    const Block& last = round_keys[round - 1];
    Block& next = round_keys[round];
    uint32_t word;
    std::memcpy(&word, last.data() + 12, sizeof word);
    word = static_cast<uint32_t>(substitute(word));
    word = word >> 8 | word << 24;
    word ^= constant;
    constant = static_cast<uint8_t>(times_x(constant));
    for (std::size_t column = 0; column < 4; ++column) {
      uint32_t before;
      std::memcpy(&before, last.data() + 4 * column, sizeof before);
      word ^= before;
      std::memcpy(next.data() + 4 * column, &word, sizeof word);
    }
  }
}

bool cpu_has_aes() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("aes") != 0;
#else
  return false;
#endif
}

}  // namespace

Aes128::Aes128(const Block& key, Engine engine) : hardware_(engine == Engine::automatic && cpu_has_aes()) {
  expand_key(key, encrypt_keys_.data(), encrypt_keys_.size());
  for (std::size_t round = 0; round <= kRounds; ++round) {
    decrypt_keys_[round] = encrypt_keys_[kRounds - round];
    if (round != 0 && round != kRounds) on_lanes(decrypt_keys_[round], mix_back);
  }
}

Aes128::Block Aes128::encrypt(const Block& plain) const {
  if (hardware_) return encrypt_hardware(plain);
  Block state = plain;
  add(state, encrypt_keys_[0]);
  for (std::size_t round = 1; round <= kRounds; ++round) {
    on_lanes(state, substitute);
    shift_rows(state, kForth);
    if (round != kRounds) on_lanes(state, mix);
    add(state, encrypt_keys_[round]);
  }
  return state;
}

Aes128::Block Aes128::decrypt(const Block& cipher) const {
  if (hardware_) return decrypt_hardware(cipher);
  Block state = cipher;
  add(state, decrypt_keys_[0]);
  for (std::size_t round = 1; round <= kRounds; ++round) {
    on_lanes(state, substitute_back);
    shift_rows(state, kBack);
    if (round != kRounds) on_lanes(state, mix_back);
    add(state, decrypt_keys_[round]);
  }
  return state;
}

#if defined(__x86_64__)

namespace {

[[gnu::target("aes,sse2")]] __m128i load(const Block& block) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(block.data()));
}

}  // namespace

[[gnu::target("aes,sse2")]] Aes128::Block Aes128::encrypt_hardware(const Block& plain) const {
  __m128i state = _mm_xor_si128(load(plain), load(encrypt_keys_[0]));
  for (std::size_t round = 1; round < kRounds; ++round)
    state = _mm_aesenc_si128(state, load(encrypt_keys_[round]));
  state = _mm_aesenclast_si128(state, load(encrypt_keys_[kRounds]));
  Block out;
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out.data()), state);
  return out;
}

[[gnu::target("aes,sse2")]] Aes128::Block Aes128::decrypt_hardware(const Block& cipher) const {
  __m128i state = _mm_xor_si128(load(cipher), load(decrypt_keys_[0]));
  for (std::size_t round = 1; round < kRounds; ++round)
    state = _mm_aesdec_si128(state, load(decrypt_keys_[round]));
  state = _mm_aesdeclast_si128(state, load(decrypt_keys_[kRounds]));
  Block out;
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out.data()), state);
  return out;
}

#else

Aes128::Block Aes128::encrypt_hardware(const Block& plain) const {
  return plain;  // never called: there is no such hardware
}
Aes128::Block Aes128::decrypt_hardware(const Block& cipher) const {
  return cipher;
}

#endif

}  // namespace xebec
