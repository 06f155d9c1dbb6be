// SPDX-License-Identifier: BSD-2-Clause
// On which queue of an interface the replies of mode nat will arrive, as RSS foretells it for every port that could be chosen:
// so a worker chooses one whose replies come home. Nothing depends on it: any worker translates any reply.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/flow_key.h"

namespace xebec {

/// What NICs hash by one set of fields: many take the ports of TCP and leave those of UDP out.
enum class HashClass : uint8_t { tcp4, udp4, tcp6, udp6 };
inline constexpr std::size_t kHashClasses = 4;
inline constexpr std::array<std::string_view, kHashClasses> kHashClassNames = {"tcp4", "udp4", "tcp6",
                                                                               "udp6"};
inline constexpr uint8_t kAllHashClasses = (1u << kHashClasses) - 1;
constexpr uint8_t bit_of(HashClass c) {
  return static_cast<uint8_t>(1u << static_cast<unsigned>(c));
}
/// nullopt: of a protocol whose ports few NICs look at.
std::optional<HashClass> hash_class_of(const FlowKey& packet);

/// Immutable; read by all workers.
class ReplyQueues {
 public:
  /// Of one connection whose port, the replies' destination port, is to be chosen.
  class Search {
   public:
    uint32_t queue(uint16_t port) const {
      uint32_t hash = rest_;
      for (unsigned bit = 0; bit < kPortBits; ++bit) {
        const auto mask = static_cast<uint32_t>(-static_cast<int32_t>((port >> bit) & 1u));
        hash ^= (*adds_)[bit] & mask;
      }
      return indirection_[hash % indirection_.size()];
    }
    HashClass hash_class() const { return class_; }

   private:
    friend class ReplyQueues;
    using PortBits = std::array<uint32_t, 16>;
    Search(uint32_t rest, const PortBits* adds, std::span<const uint32_t> indirection, HashClass c)
        : rest_(rest), adds_(adds), indirection_(indirection), class_(c) {}
    uint32_t rest_;         // the hash if the port were 0
    const PortBits* adds_;  // what each bit of the port, the lowest first, changes in it: Toeplitz is linear
    std::span<const uint32_t> indirection_;
    HashClass class_;
  };

  /// Toeplitz key and indirection table of the interface. classes: bits of those to be foretold; of which the key is too short,
  /// or without a table, none is.
  ReplyQueues(std::span<const uint8_t> key, std::span<const uint32_t> indirection, uint8_t classes);

  /// Of those that were to be, the classes that can be foretold.
  uint8_t classes() const { return classes_; }
  /// reply: all but the destination port. nullopt: nothing is foretold of such.
  std::optional<Search> search(const FlowKey& reply) const;

 private:
  static constexpr unsigned kPortBits = 16;
  std::vector<uint8_t> key_;
  std::vector<uint32_t> indirection_;
  uint8_t classes_;
  Search::PortBits ipv4_{};
  Search::PortBits ipv6_{};
};

}  // namespace xebec
