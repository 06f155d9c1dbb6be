// SPDX-License-Identifier: BSD-2-Clause
// AES-128, one block at a time (FIPS 197): what connection ids are encrypted with (dataplane/quic_id.h).
//
// No secret chooses an address or a branch: neither in the CPU's own instructions (AES-NI, asked for at run time) nor in
// the portable code, which computes the S-box instead of looking it up. So nobody who shares a cache with a worker, or
// times it, learns of the key.
#pragma once

#include <array>
#include <cstdint>

namespace xebec {

class Aes128 {
 public:
  using Block = std::array<uint8_t, 16>;
  enum class Engine : uint8_t {
    automatic,  ///< the CPU's instructions where it has them
    portable,   ///< 50 times slower; for tests, and other CPUs
  };

  explicit Aes128(const Block& key, Engine engine = Engine::automatic);

  Block encrypt(const Block& plain) const;
  Block decrypt(const Block& cipher) const;
  bool is_hardware() const { return hardware_; }

 private:
  static constexpr uint32_t kRounds = 10;
  using RoundKeys = std::array<Block, kRounds + 1>;
  Block encrypt_hardware(const Block& plain) const;
  Block decrypt_hardware(const Block& cipher) const;

  alignas(16) RoundKeys encrypt_keys_{};
  alignas(16) RoundKeys decrypt_keys_{};  ///< of the equivalent inverse cipher, FIPS 197 section 5.3.5
  bool hardware_ = false;
};

}  // namespace xebec
