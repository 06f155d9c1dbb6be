// SPDX-License-Identifier: BSD-2-Clause
// The forwarding table: an immutable snapshot of services, backends and next hops. Built on the control
// thread, published by one pointer, read by the workers (dataplane/published.h).
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/algorithm.h"
#include "dataplane/flow_key.h"
#include "dataplane/flow_timeouts.h"
#include "dataplane/hash_input.h"
#include "dataplane/ip_address.h"
#include "dataplane/limits.h"
#include "dataplane/maglev.h"
#include "dataplane/port_segments.h"
#include "dataplane/quic_routes.h"
#include "dataplane/service_match.h"
#include "dataplane/source_rates.h"
#include "dataplane/source_rules.h"

namespace xebec {

/// How a backend is reached. docs/modes.md says what each does to a packet.
enum class Mode : uint8_t {
  dsr_l2,  ///< only the MAC addresses change
  ipip,    ///< outer IPv4 or IPv6 around the packet (RFC 2003, 2473, 4213)
  gue,     ///< the same and UDP between them, with or without a GUE header (draft-ietf-intarea-gue)
  gre,     ///< the same and a GRE header between them (RFC 2784)
  vxlan,   ///< the same and UDP, VXLAN and an inner Ethernet header between them (RFC 7348)
  dnat,    ///< destination address and port become the backend's; replies come back through here
  nat,     ///< the source, too, becomes one of ours
};
/// The packet travels inside another one.
constexpr bool is_tunnel(Mode mode) {
  return mode >= Mode::ipip && mode <= Mode::vxlan;
}
/// The packet's addresses change, and those of the replies: dataplane/nat.h.
constexpr bool is_nat(Mode mode) {
  return mode >= Mode::dnat;
}

/// How a backend of mode nat is told who its client is (dataplane/client_note.h).
enum class ClientNote : uint8_t {
  none,
  toa,    ///< TCP option 254 of the segments that open a connection
  proxy,  ///< PROXY protocol v2: before a connection's first byte, in every datagram
};

/// NextHop::vlan, beside the VLAN ids 1 to 4094.
inline constexpr uint16_t kVlanKeep = 0;           ///< tags leave as they came
inline constexpr uint16_t kVlanNone = UINT16_MAX;  ///< no tag leaves

/// Where to send a frame on the link.
struct NextHop {
  MacAddress destination{};
  MacAddress source{};
  uint16_t interface = 0;  ///< index into the daemon's interfaces
  uint16_t mtu = 0;        ///< of the egress interface, IP bytes
  bool resolved = false;
  uint16_t vlan = kVlanKeep;  ///< host order: the one 802.1Q tag it leaves with, kVlanKeep or kVlanNone
};

/// One backend of one service. Stands in Table::backends() at its id. An id stays with (service, address) from table
/// to table, so that flows and counters outlive a change. What dsr-l2 and ipip read is the first cache line.
struct alignas(64) Backend {
  IpAddress address;
  IpAddress
      tunnel_source;  ///< outer source, family of `address`; of mode nat the source, unless the table has a list
  NextHop next_hop;
  uint32_t service = 0;  ///< index into Table::services()
  Mode mode = Mode::dsr_l2;
  bool usable = false;        ///< false: takes no packet, neither new flows nor remembered ones
  uint8_t source_spread = 0;  ///< low bits of tunnel_source that a hash of the flow replaces

  // The second line.
  bool keeps_connections = false;  ///< not usable, and those that it has go there all the same (OnDown::keep)
  bool gue_header = false;         ///< gue: variant 0, with its header; else variant 1, IP right behind UDP
  bool udp6_checksum =
      true;                  ///< gue, vxlan over IPv6: false sends 0, which the backend must allow (RFC 6935)
  uint16_t tunnel_port = 0;  ///< gue, vxlan: UDP destination, host order
  uint16_t port = 0;         ///< dnat, nat: the backend's, host order; 0: the packet's
  uint32_t vni = 0;          ///< vxlan: 24 bits
  ClientNote client_note = ClientNote::none;  ///< nat
  MacAddress inner_destination{};             ///< vxlan
  MacAddress inner_source{};                  ///< vxlan

  /// An id that a flow remembers may mean another service's backend by now.
  bool takes_packets_of(uint32_t asking) const { return usable && service == asking; }
  /// Some packets go there.
  bool is_used() const { return usable || keeps_connections; }
};
static_assert(sizeof(Backend) == 128);

/// What becomes of packets of a service that no backend takes.
enum class NoBackend : uint8_t {
  drop,
  refuse,  ///< TCP is reset, of other protocols the port is unreachable
  pass,  ///< the shim leaves them to the host's stack; a worker, which cannot, drops those that were on their way
};

/// What becomes of the connections (TCP, SCTP) of a backend that takes no packets any more. Other flows move to another one.
enum class OnDown : uint8_t {
  rehash,  ///< move to another backend
  keep,    ///< stay as long as it can be reached, if only its health keeps it out
  reset,   ///< the client is told by a TCP reset; of SCTP as rehash
};

/// The lookup array that a service had before its backends changed. A packet from the middle of a connection that
/// is not remembered (after a restart, or when ECMP moved the flow from another node) was most likely placed by it.
struct PreviousLookup {
  std::shared_ptr<const MaglevTable> lookup;
  std::vector<uint32_t> backend_ids;  ///< lookup's index -> id; an id may be gone by now
  uint64_t replaced_ns = 0;           ///< monotonic: a connection opened since was placed by another array
  uint64_t until_ns = 0;              ///< monotonic; not asked from then on
};

/// Service::mss_clamp, beside numbers: by the backend's egress MTU where its mode makes packets longer, or not at all.
inline constexpr uint16_t kMssClampAuto = UINT16_MAX;
inline constexpr uint16_t kMssClampOff = 0;

/// What may be sent in Xebec's own name.
struct IcmpPolicy {
  uint32_t errors_per_s = kIcmpErrorsPerSecond;  ///< per worker; 0 = none
  uint32_t echo_replies_per_s = kEchoRepliesPerSecond;
  uint32_t resets_per_s = kResetsPerSecond;
  bool operator==(const IcmpPolicy&) const = default;
};

struct Service {
  std::string name;
  IpAddress vip;
  uint16_t port = 0;       ///< host order, 0 = any; of a range the first
  uint8_t protocol = 0;    ///< kProtoTcp, kProtoUdp, kProtoSctp or kProtoAny
  bool stateless = false;  ///< no flow is remembered: every packet goes where the lookup array says
  uint16_t mss_clamp = kMssClampOff;  ///< the largest MSS a SYN may announce, or one of the two words above
  /// Stateless, with source rules or QUIC connection ids: what the short way has to ask about, in one flag. Table sets it.
  bool exceptional = false;
  uint8_t vip_length = IpPrefix::kFullLength;  ///< less: `vip` is the network of a prefix
  bool fragment = false;                       ///< IPv4 without DF that is too big is sent in pieces
  uint8_t timeout_class = 0;                   ///< index into TableParts::timeouts
  NoBackend no_backend = NoBackend::drop;      ///< at present; `pass` only while no backend is used
  OnDown on_down = OnDown::rehash;
  HashInput hash_input = HashInput::five_tuple;
  uint16_t last_port = 0;  ///< of a range; 0: `port` alone
  std::shared_ptr<const MaglevTable>
      lookup;                         ///< shared with the previous table where nothing changed; never null
  std::vector<uint32_t> backend_ids;  ///< lookup's index -> id
  std::shared_ptr<const PreviousLookup> previous;  ///< null: no change of late, or the service is stateless
  std::shared_ptr<const SourceRules> sources;      ///< null: everybody may speak to it
  std::shared_ptr<const QuicRoutes> quic;          ///< null: connection ids mean nothing
  NewFlowLimit limit;
  uint64_t limit_key =
      0;  ///< whose tokens those are: of the name, so that they outlive a change. Table sets it

  // Of new flows alone, and behind what every packet reads.
  Algorithm algorithm = Algorithm::maglev;  ///< `lookup` is there whatever it is
  uint32_t load_factor_percent = 0;         ///< maglev_bounded: a backend's part is so much of its share
  std::shared_ptr<const std::vector<uint16_t>>
      turns;                      ///< make_turns(weights), for all that do not go by hash alone
  std::vector<uint32_t> weights;  ///< of backend_ids, for the same; none is 0
  uint64_t weight_sum = 0;        ///< Table sets it

  ServiceMatch match() const { return {{vip, vip_length}, port, last_port, protocol}; }
};

/// What Table::make() takes; the builder (control/table_builder.h) fills it.
struct TableParts {
  uint64_t generation = 0;
  HashSecret secret;
  std::vector<Service> services;
  std::vector<Backend> backends;      ///< indexed by id; gaps are not usable
  std::vector<IpAddress> local_vips;  ///< every service address, for ICMP
  std::vector<IpAddress>
      nat_sources_v4;  ///< what mode nat chooses the source from; empty: Backend::tunnel_source
  std::vector<IpAddress> nat_sources_v6;
  std::array<uint16_t, kMaxInterfaces> mtus{};  ///< of the interfaces; 0: not known, none is kept to
  IcmpPolicy icmp;
  /// By timeout class, at most kTimeoutClasses; empty: the workers' flow tables keep what they have.
  std::vector<FlowTimeouts> timeouts;
};

class Table {
 public:
  /// Checks every invariant the data path relies on (indices in range, one service a key, lookup slots that
  /// name usable backends of their own service) and throws std::invalid_argument naming the broken one: a
  /// table that was made is safe to publish.
  static std::unique_ptr<const Table> make(TableParts parts);

  uint64_t generation() const { return parts_.generation; }
  const HashSecret& secret() const { return parts_.secret; }
  std::span<const Service> services() const { return parts_.services; }
  std::span<const Backend> backends() const { return parts_.backends; }
  const IcmpPolicy& icmp() const { return parts_.icmp; }
  std::span<const FlowTimeouts> timeouts() const { return parts_.timeouts; }
  /// True if some usable backend has a mode that puts a header in front of the packet.
  bool encapsulates() const { return encapsulates_; }
  /// True if some backend's replies come through here, whether or not it takes packets at present.
  bool translates() const { return translates_; }
  std::span<const IpAddress> nat_sources(bool v4) const {
    return v4 ? parts_.nat_sources_v4 : parts_.nat_sources_v6;
  }
  uint16_t mtu_of(uint16_t interface) const {
    return interface < kMaxInterfaces ? parts_.mtus[interface] : 0;
  }

  static constexpr uint32_t kNone = UINT32_MAX;

  /// Index of the most specific service (dataplane/service_match.h says what that is). kNone if there is none. port: as on
  /// the wire; 0 of a protocol without ports.
  uint32_t find_service(const IpAddress& vip, uint8_t protocol, Be16 port) const;
  /// True if some service has this address, itself or in a prefix.
  bool is_vip(const IpAddress& address) const { return may_be_vip(address) && is_indexed_vip(address); }
  /// True if some service at this address has a usable backend with weight: the VIP is alive, and answers
  /// echo requests.
  bool is_vip_served(const IpAddress& address) const;

 private:
  explicit Table(TableParts parts);

  /// In words: a key put together from bytes and hashed at once would wait for its own stores (store forwarding fails
  /// from small to large): a third of this lookup's samples. With vip_filter_ and flow_hash() in registers a packet went from
  /// 185-198 to 166-175 ns.
  struct Key {
    uint64_t address[2];
    uint64_t port_protocol;
    /// narrower: what a prefix lacks to an address. A VIP itself has protocol and port 0; the list of its port ranges
    /// for a protocol has `ranges` set.
    static Key of(const IpAddress& vip, Be16 port, uint8_t protocol, uint8_t narrower = 0,
                  bool ranges = false) {
      Key key;
      std::memcpy(key.address, vip.bytes.data(), sizeof key.address);
      key.port_protocol =
          port.raw() | uint64_t{protocol} << 16 | uint64_t{narrower} << 24 | uint64_t{ranges} << 32;
      return key;
    }
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Slot {
    Key key{};
    uint32_t value = kNone;
  };
  static_assert(sizeof(Slot) == 32);

  static constexpr uint32_t kVipIdle = 0;    // value of a VIP's slot: no service there has a usable backend
  static constexpr uint32_t kVipServed = 1;  // ... some service has

  bool is_indexed_vip(const IpAddress& address) const;
  /// Position in index_ of the slot that holds `key`, or of the free one where it would stand.
  std::size_t position_of(const Key& key) const;
  bool may_be_vip(const IpAddress& address) const {
    const uint64_t bit = filter_bit_of(address);
    return (vip_filter_[bit / 64] >> bit % 64 & 1) != 0;
  }
  // Not keyed: who knows it can make his packets take the walk, which is all that is saved here.
  uint64_t filter_bit_of(const IpAddress& address) const {
    const Key key = Key::of(address, Be16{}, 0);
    // Turned, so that the low halves of prefix and host part do not meet. One multiplication: the bit is waited for.
    return ((std::rotl(key.address[0], 29) + key.address[1]) * 0x9e3779b97f4a7c15u) >> filter_shift_;
  }
  void index_vip(const IpAddress& address, bool served, uint8_t narrower = 0);
  void index_service(uint32_t service, ServiceMatch::Pass pass);
  void index_ranges();
  void widen_filter();
  // Where there are prefixes, ranges or services of any protocol; or a service is not found.
  uint32_t find_wide(const IpAddress& vip, uint8_t protocol, Be16 port) const;
  uint32_t find_at(const IpAddress& network, uint8_t narrower, uint8_t protocol, Be16 port) const;
  uint32_t find_in_ranges(const IpAddress& network, uint8_t narrower, uint8_t protocol, Be16 port) const;
  uint32_t find(const Key& key) const { return index_[position_of(key)].value; }

  TableParts parts_;
  bool encapsulates_ = false;
  bool translates_ = false;
  std::vector<Slot>
      index_;  // open addressing, power of two, at most half full; VIPs stand in it with protocol 0
  // One bit a VIP among 32 or more, to say "not a VIP" of every packet's source without a walk. A walk that ends at a free
  // slot or goes past a taken one is a branch nobody can predict: a sixth of the lookup's samples.
  // Where there are prefixes every bit is set: then all addresses are walked for, and nobody else pays for that.
  std::vector<uint64_t> vip_filter_;
  uint32_t filter_shift_ = 0;
  bool wide_ = false;                    // some service is of a prefix, a range of ports or any protocol
  std::vector<uint8_t> prefix_lengths_;  // of VIPs that are prefixes, the longest first
  std::vector<PortSegment> segments_;    // of all ranges; the owner is a service
  struct SegmentList {
    uint32_t begin = 0;
    uint32_t end = 0;
  };
  std::vector<SegmentList> segment_lists_;  // a value of a `ranges` key is an index
};

}  // namespace xebec
