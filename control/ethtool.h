// SPDX-License-Identifier: BSD-2-Clause
// What a driver tells through ethtool: queue counts, receive hashing, features, ring sizes. By the netlink family
// "ethtool" (Linux 5.6), and where a message is younger than the kernel, by the ioctl that came before it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "control/generic_netlink.h"

namespace xebec {

/// Queue counts now, and the most the driver can.
struct Channels {
  uint32_t rx = 0;  ///< queues that only receive
  uint32_t tx = 0;
  uint32_t combined = 0;  ///< queues that do both
  uint32_t max_rx = 0, max_tx = 0, max_combined = 0;
  uint32_t receive() const { return rx + combined; }
  /// How `ethtool -L` calls the receiving ones.
  const char* receive_word() const { return combined != 0 || max_combined != 0 ? "combined" : "rx"; }
  bool operator==(const Channels&) const = default;
};

/// How the NIC chooses a receive queue: queue = indirection[hash(packet, key) % size].
struct ReceiveHashing {
  uint32_t functions = 0;  ///< ETH_RSS_HASH_*: bit 0 Toeplitz, 1 XOR, 2 CRC32; 0: unknown
  std::vector<uint8_t> key;
  std::vector<uint32_t> indirection;
  bool operator==(const ReceiveHashing&) const = default;
};

struct RingSizes {
  uint32_t rx = 0, tx = 0, max_rx = 0, max_tx = 0;
  bool operator==(const RingSizes&) const = default;
};

struct DriverInfo {
  std::string driver;    ///< "veth", "virtio_net", "ice"; "unknown" if it does not say
  std::string version;   ///< in-tree drivers: the kernel's
  std::string firmware;  ///< may be empty
  std::string bus;       ///< "0000:01:00.0"; may be empty
  bool operator==(const DriverInfo&) const = default;
};

/// The kernel's names of the features that are on ("rx-vlan-hw-parse").
using FeatureNames = std::set<std::string>;

// The messages' contents. What a message lacks, or has in the wrong size, keeps its default.
Channels read_channels(const nlmsghdr* message);
ReceiveHashing read_receive_hashing(const nlmsghdr* message);
RingSizes read_ring_sizes(const nlmsghdr* message);
FeatureNames read_active_features(const nlmsghdr* message);

/// Asks about interfaces; an empty answer: the driver has no such thing, or the kernel does not tell. One thread.
class Ethtool {
 public:
  Ethtool();

  std::optional<Channels> channels(const std::string& interface);
  std::optional<ReceiveHashing> receive_hashing(const std::string& interface);
  std::optional<RingSizes> ring_sizes(const std::string& interface);
  std::optional<FeatureNames> active_features(const std::string& interface);
  static DriverInfo driver_info(const std::string& interface);

 private:
  std::optional<GenericMessage> ask(uint8_t command, const std::string& interface);
  std::optional<GenericNetlink> netlink_;  // absent: only the ioctls are there
};

/// Tells when the queue count of an interface was changed through ethtool.
class ChannelEvents {
 public:
  static tl::expected<std::unique_ptr<ChannelEvents>, std::string> open();
  int fd() const { return netlink_.fd(); }
  /// Takes what is there; true if counts may have changed.
  bool drain();

 private:
  explicit ChannelEvents(GenericNetlink netlink) : netlink_(std::move(netlink)) {}
  GenericNetlink netlink_;
};

}  // namespace xebec
