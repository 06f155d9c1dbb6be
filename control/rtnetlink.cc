// SPDX-License-Identifier: BSD-2-Clause
// Reading and writing rtnetlink messages.
#include "control/rtnetlink.h"

#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "dataplane/wire.h"

namespace xebec {
namespace {

/// The fixed header of a message; nullptr if it is too short for one.
template <typename T>
const T* header_of(const nlmsghdr* message) {
  if (mnl_nlmsg_get_payload_len(message) < sizeof(T)) return nullptr;
  return static_cast<const T*>(mnl_nlmsg_get_payload(message));
}

template <typename F>
void for_each_between(const void* begin, const void* end, F each) {
  const auto left = [&](const nlattr* attribute) {
    return static_cast<int>(static_cast<const char*>(end) - reinterpret_cast<const char*>(attribute));
  };
  for (const auto* attribute = static_cast<const nlattr*>(begin); mnl_attr_ok(attribute, left(attribute));
       attribute = mnl_attr_next(attribute)) {
    each(mnl_attr_get_type(attribute), attribute);
  }
}

template <typename Header, typename F>
void for_each_attribute(const nlmsghdr* message, F each) {
  for_each_between(mnl_nlmsg_get_payload_offset(message, sizeof(Header)), mnl_nlmsg_get_payload_tail(message),
                   each);
}

template <typename F>
void for_each_nested(const nlattr* parent, F each) {
  const auto* begin = static_cast<const char*>(mnl_attr_get_payload(parent));
  for_each_between(begin, begin + mnl_attr_get_payload_len(parent), each);
}

/// A number or struct; nullopt if the attribute is too short for it.
template <typename T>
std::optional<T> value_of(const nlattr* attribute) {
  if (mnl_attr_get_payload_len(attribute) < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, mnl_attr_get_payload(attribute), sizeof value);
  return value;
}

std::optional<IpAddress> address_from(const void* bytes, std::size_t size, int family) {
  if (family == AF_INET && size >= 4) {
    Be32 address;
    std::memcpy(address.bytes, bytes, 4);
    return IpAddress::from_v4(address);
  }
  if (family == AF_INET6 && size >= 16) {
    uint8_t address[16];
    std::memcpy(address, bytes, 16);
    return IpAddress::from_v6(address);
  }
  return std::nullopt;
}

std::optional<IpAddress> address_of(const nlattr* attribute, int family) {
  return address_from(mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute), family);
}

std::optional<MacAddress> mac_of(const nlattr* attribute) {
  if (mnl_attr_get_payload_len(attribute) != sizeof(MacAddress)) return std::nullopt;
  return value_of<MacAddress>(attribute);
}

uint8_t family_of(const IpAddress& address) {
  return address.is_v4() ? AF_INET : AF_INET6;
}

void put_address(nlmsghdr* request, uint16_t type, const IpAddress& address) {
  if (address.is_v4()) {
    mnl_attr_put(request, type, 4, address.v4().bytes);
  } else {
    mnl_attr_put(request, type, address.bytes.size(), address.bytes.data());
  }
}

ndmsg* put_neighbour_header(nlmsghdr* request, const NeighbourKey& key) {
  auto* header = static_cast<ndmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ndmsg)));
  header->ndm_family = family_of(key.address);
  header->ndm_ifindex = key.ifindex;
  return header;
}

std::string string_of(const nlattr* attribute) {
  const char* text = static_cast<const char*>(mnl_attr_get_payload(attribute));
  return {text, strnlen(text, mnl_attr_get_payload_len(attribute))};
}

/// IFLA_LINKINFO: the id that an 802.1Q device tags with; 0 of any other device, those of 802.1ad among them.
uint16_t vlan_of(const nlattr* information) {
  std::string kind;
  uint16_t id = 0;
  Be16 protocol = Be16::from_host(kEtherVlan);  // absent before Linux 3.10
  for_each_nested(information, [&](int type, const nlattr* attribute) {
    if (type == IFLA_INFO_KIND) kind = string_of(attribute);
    if (type != IFLA_INFO_DATA) return;
    for_each_nested(attribute, [&](int data_type, const nlattr* data) {
      if (data_type == IFLA_VLAN_ID) id = value_of<uint16_t>(data).value_or(0);
      if (data_type == IFLA_VLAN_PROTOCOL) protocol = value_of<Be16>(data).value_or(Be16{});
    });
  });
  return kind == "vlan" && protocol == Be16::from_host(kEtherVlan) ? id : uint16_t{0};
}

/// IFLA_LINKINFO: whether the device is a bond, and whether it is a bond's member that the bond does not use.
void read_bond(const nlattr* information, LinkState& link) {
  std::string kind, member_of;
  uint8_t state = 0;
  for_each_nested(information, [&](int type, const nlattr* attribute) {
    if (type == IFLA_INFO_KIND) kind = string_of(attribute);
    if (type == IFLA_INFO_SLAVE_KIND) member_of = string_of(attribute);
    if (type != IFLA_INFO_SLAVE_DATA) return;
    for_each_nested(attribute, [&](int data_type, const nlattr* data) {
      if (data_type == IFLA_BOND_SLAVE_STATE) state = value_of<uint8_t>(data).value_or(0);
    });
  });
  link.bond = kind == "bond";
  link.backup = member_of == "bond" && state != 0;  // BOND_STATE_ACTIVE, include/uapi/linux/if_bonding.h
}

}  // namespace

std::optional<int> link_index(const nlmsghdr* message) {
  const auto* header = header_of<ifinfomsg>(message);
  if (header == nullptr || header->ifi_family != AF_UNSPEC) return std::nullopt;
  return header->ifi_index;
}

bool read_link(const nlmsghdr* message, LinkState& link) {
  const auto* header = header_of<ifinfomsg>(message);
  if (header == nullptr || header->ifi_family != AF_UNSPEC) return false;
  link.ifindex = header->ifi_index;
  link.up = (header->ifi_flags & IFF_UP) != 0;
  link.carrier = (header->ifi_flags & IFF_LOWER_UP) != 0;
  int master = 0;
  int lower = 0;
  bool elsewhere = false;  // the lower link is another namespace's, where the same number is another link
  bool whole = false;
  for_each_attribute<ifinfomsg>(message, [&](int type, const nlattr* attribute) {
    if (type == IFLA_IFNAME) {
      link.name = string_of(attribute);
    } else if (type == IFLA_MTU) {
      link.mtu = value_of<uint32_t>(attribute).value_or(link.mtu);
      whole = true;
    } else if (type == IFLA_MASTER) {
      master = static_cast<int>(value_of<uint32_t>(attribute).value_or(0));
    } else if (type == IFLA_ADDRESS) {
      link.mac = mac_of(attribute).value_or(MacAddress{});
    } else if (type == IFLA_LINK) {
      lower = static_cast<int>(value_of<uint32_t>(attribute).value_or(0));
    } else if (type == IFLA_LINK_NETNSID) {
      elsewhere = true;
    } else if (type == IFLA_LINKINFO) {
      link.vlan = vlan_of(attribute);
      read_bond(attribute, link);
    }
  });
  if (elsewhere || lower != 0) link.lower = elsewhere ? 0 : lower;
  // What has left its bond is told of without the attribute; but a message that has no MTU either is about something else.
  if (master != 0 || whole) link.master = master;
  if (link.master == 0) link.backup = false;
  return true;
}

std::optional<NeighbourEntry> read_neighbour(const nlmsghdr* message) {
  const auto* header = header_of<ndmsg>(message);
  if (header == nullptr || (header->ndm_flags & NTF_PROXY) != 0) return std::nullopt;
  NeighbourEntry entry;
  entry.key.ifindex = header->ndm_ifindex;
  entry.state = header->ndm_state;
  entry.flags = header->ndm_flags;
  std::optional<IpAddress> address;
  for_each_attribute<ndmsg>(message, [&](int type, const nlattr* attribute) {
    if (type == NDA_DST) address = address_of(attribute, header->ndm_family);
    if (type == NDA_LLADDR) entry.mac = mac_of(attribute);
    if (type == NDA_FLAGS_EXT) entry.extended_flags = value_of<uint32_t>(attribute).value_or(0);
    if (type == NDA_PROTOCOL) entry.protocol = value_of<uint8_t>(attribute).value_or(0);
  });
  if (!address) return std::nullopt;  // also entries of bridges, which have no address of ours
  entry.key.address = *address;
  return entry;
}

std::optional<RouteAnswer> read_route(const nlmsghdr* message) {
  const auto* header = header_of<rtmsg>(message);
  if (header == nullptr) return std::nullopt;
  RouteAnswer route;
  for_each_attribute<rtmsg>(message, [&](int type, const nlattr* attribute) {
    if (type == RTA_OIF) route.ifindex = static_cast<int>(value_of<uint32_t>(attribute).value_or(0));
    if (type == RTA_GATEWAY) route.gateway = address_of(attribute, header->rtm_family);
    if (type == RTA_PREFSRC) route.preferred_source = address_of(attribute, header->rtm_family);
    if (type == RTA_VIA &&
        mnl_attr_get_payload_len(attribute) > sizeof(rtvia)) {  // IPv4 over an IPv6 neighbour
      const auto* via = static_cast<const rtvia*>(mnl_attr_get_payload(attribute));
      route.gateway = address_from(via->rtvia_addr, mnl_attr_get_payload_len(attribute) - sizeof(rtvia),
                                   via->rtvia_family);
    }
  });
  // RTN_LOCAL is the host itself: nothing leaves, so there is no next hop to send to. Neither is there one
  // for unreachable, prohibited, blackholed, broadcast and multicast destinations.
  route.usable = header->rtm_type == RTN_UNICAST && route.ifindex > 0;
  if (!route.usable) return RouteAnswer{};
  return route;
}

std::optional<Prefix> read_route_prefix(const nlmsghdr* message) {
  const auto* header = header_of<rtmsg>(message);
  if (header == nullptr) return std::nullopt;
  if (header->rtm_family != AF_INET && header->rtm_family != AF_INET6) return std::nullopt;
  const uint8_t zeros[16] = {};
  std::optional<IpAddress> address = address_from(zeros, sizeof zeros, header->rtm_family);
  for_each_attribute<rtmsg>(message, [&](int type, const nlattr* attribute) {
    if (type == RTA_DST) address = address_of(attribute, header->rtm_family);
  });
  if (!address) return std::nullopt;
  const std::size_t family_offset = header->rtm_family == AF_INET ? 96 : 0;
  const std::size_t bits = std::min<std::size_t>(family_offset + header->rtm_dst_len, 128);
  Prefix prefix{*address, *address};
  for (std::size_t bit = bits; bit < 128; ++bit) {
    const auto mask = static_cast<uint8_t>(0x80u >> (bit % 8));
    prefix.first.bytes[bit / 8] = static_cast<uint8_t>(prefix.first.bytes[bit / 8] & ~mask);
    prefix.last.bytes[bit / 8] = static_cast<uint8_t>(prefix.last.bytes[bit / 8] | mask);
  }
  return prefix;
}

void ask_route(nlmsghdr* request, const IpAddress& destination) {
  request->nlmsg_type = RTM_GETROUTE;
  auto* header = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(rtmsg)));
  header->rtm_family = family_of(destination);
  header->rtm_dst_len = destination.is_v4() ? 32 : 128;
  put_address(request, RTA_DST, destination);
}

void ask_neighbour(nlmsghdr* request, const NeighbourKey& key) {
  request->nlmsg_type = RTM_GETNEIGH;
  put_neighbour_header(request, key);
  put_address(request, NDA_DST, key.address);
}

void order_neighbour(nlmsghdr* request, const NeighbourKey& key, const NeighbourOrder& order) {
  request->nlmsg_type = RTM_NEWNEIGH;
  request->nlmsg_flags |= NLM_F_ACK;
  if (order.create) request->nlmsg_flags |= NLM_F_CREATE | NLM_F_EXCL;
  put_neighbour_header(request, key)->ndm_flags = NTF_USE;
  put_address(request, NDA_DST, key.address);
  if (order.managed) mnl_attr_put_u32(request, NDA_FLAGS_EXT, NTF_EXT_MANAGED);
  if (order.protocol != 0) mnl_attr_put_u8(request, NDA_PROTOCOL, order.protocol);
}

}  // namespace xebec
