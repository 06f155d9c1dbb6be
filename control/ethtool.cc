// SPDX-License-Identifier: BSD-2-Clause
// What a driver tells through ethtool.
#include "control/ethtool.h"

#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace xebec {
namespace {

// Linux 6.3, newer than Debian 12's <linux/ethtool_netlink.h>: ETHTOOL_MSG_RSS_GET, and ETHTOOL_A_RSS_*.
constexpr uint8_t kMsgRssGet = 38;
constexpr uint16_t kRssHashFunction = 3;
constexpr uint16_t kRssIndirection = 4;
constexpr uint16_t kRssKey = 5;

// An indirection table has 128 entries on most NICs, 2,048 on the largest known; a key 40 or 52 bytes. Beyond this a
// driver is not believed.
constexpr uint32_t kMaxIndirection = 65'536;
constexpr uint32_t kMaxKey = 1024;

/// One SIOCETHTOOL call; false if the kernel or the driver does not answer.
bool ioctl_ethtool(const std::string& interface, void* request) {
  if (interface.size() >= IFNAMSIZ) return false;
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  ifreq ifr{};
  std::memcpy(ifr.ifr_name, interface.c_str(), interface.size());
  ifr.ifr_data = static_cast<char*>(request);
  const bool ok = ioctl(fd, SIOCETHTOOL, &ifr) == 0;
  close(fd);
  return ok;
}

/// A field of fixed width that need not be terminated.
template <std::size_t N>
std::string field(const char (&text)[N]) {
  return {text, strnlen(text, N)};
}

/// Before 6.3: sizes first, then the whole.
std::optional<ReceiveHashing> hashing_by_ioctl(const std::string& interface) {
  ethtool_rxfh sizes{};
  sizes.cmd = ETHTOOL_GRSSH;
  if (!ioctl_ethtool(interface, &sizes)) return std::nullopt;
  if (sizes.indir_size > kMaxIndirection || sizes.key_size > kMaxKey) return std::nullopt;
  const std::size_t table_bytes = sizes.indir_size * sizeof(uint32_t);
  std::vector<uint32_t> words((sizeof sizes + table_bytes + sizes.key_size + 3) / 4);
  std::memcpy(words.data(), &sizes, sizeof sizes);
  if (!ioctl_ethtool(interface, words.data())) return std::nullopt;
  std::memcpy(&sizes, words.data(), sizeof sizes);
  const auto* bytes = reinterpret_cast<const uint8_t*>(words.data()) + sizeof sizes;
  ReceiveHashing hashing;
  hashing.functions = sizes.hfunc;
  hashing.indirection.resize(table_bytes / sizeof(uint32_t));
  if (table_bytes != 0) std::memcpy(hashing.indirection.data(), bytes, table_bytes);
  hashing.key.assign(bytes + table_bytes, bytes + table_bytes + std::min(sizes.key_size, kMaxKey));
  return hashing;
}

/// One bit of a verbose bitset. Where the set has a mask (a change of some bits), only those with a value are on.
void take_feature(const nlattr* bit, bool only_valued, FeatureNames& names) {
  std::string name;
  bool valued = false;
  visit_nest(bit, [&](const nlattr* part) {
    if (mnl_attr_get_type(part) == ETHTOOL_A_BITSET_BIT_NAME) name = text_of(part);
    if (mnl_attr_get_type(part) == ETHTOOL_A_BITSET_BIT_VALUE) valued = true;
  });
  if (!name.empty() && (valued || !only_valued)) names.insert(std::move(name));
}

FeatureNames read_bitset(const nlattr* bitset) {
  bool no_mask = false;
  const nlattr* bits = nullptr;
  visit_nest(bitset, [&](const nlattr* part) {
    if (mnl_attr_get_type(part) == ETHTOOL_A_BITSET_NOMASK) no_mask = true;
    if (mnl_attr_get_type(part) == ETHTOOL_A_BITSET_BITS) bits = part;
  });
  FeatureNames names;
  if (bits != nullptr) visit_nest(bits, [&](const nlattr* bit) { take_feature(bit, !no_mask, names); });
  return names;
}

}  // namespace

Channels read_channels(const nlmsghdr* message) {
  Channels c;
  visit_attributes(message, [&](const nlattr* a) {
    switch (mnl_attr_get_type(a)) {
      case ETHTOOL_A_CHANNELS_RX_MAX:
        c.max_rx = u32_of(a);
        break;
      case ETHTOOL_A_CHANNELS_TX_MAX:
        c.max_tx = u32_of(a);
        break;
      case ETHTOOL_A_CHANNELS_COMBINED_MAX:
        c.max_combined = u32_of(a);
        break;
      case ETHTOOL_A_CHANNELS_RX_COUNT:
        c.rx = u32_of(a);
        break;
      case ETHTOOL_A_CHANNELS_TX_COUNT:
        c.tx = u32_of(a);
        break;
      case ETHTOOL_A_CHANNELS_COMBINED_COUNT:
        c.combined = u32_of(a);
        break;
      default:
        break;
    }
  });
  return c;
}

ReceiveHashing read_receive_hashing(const nlmsghdr* message) {
  ReceiveHashing hashing;
  visit_attributes(message, [&](const nlattr* a) {
    const std::size_t bytes = mnl_attr_get_payload_len(a);
    const auto* data = static_cast<const uint8_t*>(mnl_attr_get_payload(a));
    if (mnl_attr_get_type(a) == kRssHashFunction) hashing.functions = u32_of(a);
    if (mnl_attr_get_type(a) == kRssKey && bytes <= kMaxKey) hashing.key.assign(data, data + bytes);
    if (mnl_attr_get_type(a) == kRssIndirection && bytes % sizeof(uint32_t) == 0 && bytes != 0 &&
        bytes / sizeof(uint32_t) <= kMaxIndirection) {
      hashing.indirection.resize(bytes / sizeof(uint32_t));
      std::memcpy(hashing.indirection.data(), data, bytes);
    }
  });
  return hashing;
}

RingSizes read_ring_sizes(const nlmsghdr* message) {
  RingSizes rings;
  visit_attributes(message, [&](const nlattr* a) {
    switch (mnl_attr_get_type(a)) {
      case ETHTOOL_A_RINGS_RX_MAX:
        rings.max_rx = u32_of(a);
        break;
      case ETHTOOL_A_RINGS_TX_MAX:
        rings.max_tx = u32_of(a);
        break;
      case ETHTOOL_A_RINGS_RX:
        rings.rx = u32_of(a);
        break;
      case ETHTOOL_A_RINGS_TX:
        rings.tx = u32_of(a);
        break;
      default:
        break;
    }
  });
  return rings;
}

FeatureNames read_active_features(const nlmsghdr* message) {
  FeatureNames names;
  visit_attributes(message, [&](const nlattr* a) {
    if (mnl_attr_get_type(a) == ETHTOOL_A_FEATURES_ACTIVE) names = read_bitset(a);
  });
  return names;
}

Ethtool::Ethtool() {
  if (auto netlink = GenericNetlink::open(ETHTOOL_GENL_NAME, ETHTOOL_GENL_VERSION))
    netlink_.emplace(std::move(*netlink));
}

std::optional<GenericMessage> Ethtool::ask(uint8_t command, const std::string& interface) {
  if (!netlink_ || interface.size() >= IFNAMSIZ) return std::nullopt;
  // Every request's header is its attribute 1 (ETHTOOL_A_CHANNELS_HEADER and its likes).
  auto answer = netlink_->ask(command, [&](nlmsghdr* request) {
    nlattr* header = mnl_attr_nest_start(request, ETHTOOL_A_CHANNELS_HEADER);
    mnl_attr_put_strz(request, ETHTOOL_A_HEADER_DEV_NAME, interface.c_str());
    mnl_attr_nest_end(request, header);
  });
  if (!answer) return std::nullopt;
  return std::move(*answer);
}

std::optional<Channels> Ethtool::channels(const std::string& interface) {
  if (const auto answer = ask(ETHTOOL_MSG_CHANNELS_GET, interface)) return read_channels(answer->header());
  ethtool_channels c{};
  c.cmd = ETHTOOL_GCHANNELS;
  if (!ioctl_ethtool(interface, &c)) return std::nullopt;
  return Channels{c.rx_count, c.tx_count, c.combined_count, c.max_rx, c.max_tx, c.max_combined};
}

std::optional<ReceiveHashing> Ethtool::receive_hashing(const std::string& interface) {
  if (const auto answer = ask(kMsgRssGet, interface)) return read_receive_hashing(answer->header());
  return hashing_by_ioctl(interface);
}

std::optional<RingSizes> Ethtool::ring_sizes(const std::string& interface) {
  if (const auto answer = ask(ETHTOOL_MSG_RINGS_GET, interface)) return read_ring_sizes(answer->header());
  ethtool_ringparam r{};
  r.cmd = ETHTOOL_GRINGPARAM;
  if (!ioctl_ethtool(interface, &r)) return std::nullopt;
  return RingSizes{r.rx_pending, r.tx_pending, r.rx_max_pending, r.tx_max_pending};
}

std::optional<FeatureNames> Ethtool::active_features(const std::string& interface) {
  if (const auto answer = ask(ETHTOOL_MSG_FEATURES_GET, interface))
    return read_active_features(answer->header());
  ethtool_value flags{};
  flags.cmd = ETHTOOL_GFLAGS;  // knows five features by bit; those that matter are among them
  if (!ioctl_ethtool(interface, &flags)) return std::nullopt;
  FeatureNames names;
  if ((flags.data & ETH_FLAG_LRO) != 0) names.insert("rx-lro");
  if ((flags.data & ETH_FLAG_RXVLAN) != 0) names.insert("rx-vlan-hw-parse");
  return names;
}

DriverInfo Ethtool::driver_info(const std::string& interface) {
  ethtool_drvinfo info{};
  info.cmd = ETHTOOL_GDRVINFO;
  if (!ioctl_ethtool(interface, &info) || info.driver[0] == '\0') return {"unknown", {}, {}, {}};
  return {field(info.driver), field(info.version), field(info.fw_version), field(info.bus_info)};
}

tl::expected<std::unique_ptr<ChannelEvents>, std::string> ChannelEvents::open() {
  auto netlink = GenericNetlink::open(ETHTOOL_GENL_NAME, ETHTOOL_GENL_VERSION);
  if (!netlink) return tl::unexpected(netlink.error().message);
  if (auto r = netlink->listen(ETHTOOL_MCGRP_MONITOR_NAME); !r) return tl::unexpected(r.error().message);
  return std::unique_ptr<ChannelEvents>(new ChannelEvents(std::move(*netlink)));
}

bool ChannelEvents::drain() {
  bool changed = false;
  const bool complete = netlink_.drain(
      [&](const GenericMessage& message) { changed |= message.command() == ETHTOOL_MSG_CHANNELS_NTF; });
  return changed || !complete;
}

}  // namespace xebec
