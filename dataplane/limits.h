// SPDX-License-Identifier: BSD-2-Clause
// The sizes and bounds of the data plane, each with its reason. Tuning numbers of one file stand in that file.
#pragma once

#include <cstddef>
#include <cstdint>

namespace xebec {

/// Packets handled together. 64 receive descriptors are one cache-line-friendly gulp, and the stages of
/// forward_batch need some dozens of independent loads in flight to hide a cache miss; larger batches push
/// the first packets' headers out of L1 before the rewrite stage comes back to them.
inline constexpr std::size_t kBatchSize = 64;

/// UMEM chunk. A page: the kernel asks for a power of two up to the page size for aligned chunks, and the
/// packet must fit behind 256 bytes of headroom with MTU 1500, VLAN tags and room to encapsulate.
inline constexpr uint32_t kFrameSize = 4096;

/// What the kernel leaves free before a received packet: XDP_PACKET_HEADROOM, include/uapi/linux/bpf.h.
inline constexpr uint32_t kFrameHeadroom = 256;

/// Largest frame that fits one chunk behind its headroom.
inline constexpr uint32_t kMaxFrameLength = kFrameSize - kFrameHeadroom;

/// A packet longer than a frame arrives in several (XDP_USE_SG, Linux 6.6): at most so many. The kernel's own bound
/// is MAX_SKB_FRAGS + 1 = 18 by default; what is received must be sendable as one skb.
inline constexpr uint32_t kMaxPacketFrames = 18;

/// Ethernet and two VLAN tags: what a frame has beside the MTU.
inline constexpr uint32_t kMaxLinkHeader = 14 + 2 * 4;

/// The largest MTU whose packets fit one frame, and the largest that can be served: one frame is spared, and room
/// for an outer IPv6 header.
inline constexpr uint32_t kMaxSingleFrameMtu = kMaxFrameLength - kMaxLinkHeader;
inline constexpr uint32_t kMaxMtu = (kMaxPacketFrames - 1) * kMaxFrameLength - kMaxLinkHeader - 40;

/// Descriptors per ring. A burst has to wait somewhere while its worker is not running: 2,048 minimum-size
/// frames are 1.4 ms of 1 Gbit/s, about one scheduler slip, and 10 Gbit/s of 1500 B for 2.4 ms.
inline constexpr uint32_t kRingSize = 2048;

/// Frames of one port (fill + receive + transmit + completion + in hand) that its worker's UMEM has to hold:
/// the fill ring full, the transmit ring full, as many again on their way through the kernel, and one batch
/// in hand.
inline constexpr uint32_t kFramesPerPort = 4 * kRingSize;

/// Ethernet's minimum frame without FCS (IEEE 802.3): shorter ones are padded, with zeros.
inline constexpr uint32_t kMinFrameLength = 60;

/// IPv6 extension headers walked before a packet is given up: hop-by-hop, destination, routing, fragment, AH,
/// destination is the longest order RFC 8200 section 4.1 recommends, plus two. The shim's
/// XEBEC_MAX_IPV6_EXTENSIONS (bpf/abi.h) is the same number, so that both find the same ports.
inline constexpr uint32_t kMaxIpv6Extensions = 8;

/// VLAN tags looked behind: 802.1Q inside 802.1ad. The shim's XEBEC_MAX_VLAN_TAGS.
inline constexpr uint32_t kMaxVlanTags = 2;

/// Default size of a service's lookup array. Prime; 65537 slots share 100 backends with < 1 % imbalance (the
/// Maglev paper, section 5.3).
inline constexpr uint32_t kDefaultLookupSize = 65537;

/// Bound of one service. Slots are 16-bit indices into the service's own backend list.
inline constexpr uint32_t kMaxBackendsPerService = 4096;

inline constexpr uint32_t kMaxServices = 4096;

/// Backend ids in use at one time, over all services. Sizes the per-worker counter array (24 bytes each, 3
/// MiB).
inline constexpr uint32_t kMaxBackends = 131072;

inline constexpr uint32_t kMaxWeight = 1000;

/// Bounded-load Maglev: a backend is given at most so much of its share of the flows. At 125 the fullest has a quarter more than
/// its share, and most flows still go where their hash says (tests/unit/picker_test.cc has both).
inline constexpr uint32_t kDefaultLoadFactorPercent = 125;

/// For so long after a change of a service's backends, a connection that nobody remembers goes where the lookup array
/// of before the change had it (Table, PreviousLookup). Every connection that sends a packet within the time is
/// remembered again by then; a longer one would help the idle and wrong those opened since that were forgotten.
inline constexpr uint64_t kSecondChanceNs = 60'000'000'000;

/// Frames of later fragments that came before their first, kept by a worker: those of six datagrams of 60 kB at MTU 1500; 3 %
/// of a port's frames.
inline constexpr uint32_t kHeldFrames = 256;
/// The first fragment is on its way, behind by what another queue or another path took longer: a scheduler's slip is
/// milliseconds, a round trip over the world 300 ms, but nobody reorders by that much.
inline constexpr uint64_t kHeldNs = 100'000'000;

/// Interfaces one daemon may serve.
inline constexpr uint32_t kMaxInterfaces = 16;

/// Every link carries so much of IPv4 (RFC 791).
inline constexpr uint32_t kMinIpv4Mtu = 68;

/// Every link carries so much of IPv6 (RFC 8200 section 5): no sender makes smaller packets, whatever it is told.
inline constexpr uint32_t kMinIpv6Mtu = 1280;

/// Echo replies a worker sends for VIPs unless configured. Plenty for every monitor; a ping flood costs no more than that.
inline constexpr uint32_t kEchoRepliesPerSecond = 1000;
/// ICMP errors: what Linux allows a whole host (net.ipv4.icmp_msgs_per_sec). A sender needs one for each path.
inline constexpr uint32_t kIcmpErrorsPerSecond = 1000;
/// TCP resets that a worker sends for VIPs unless configured: each is shorter than what it answers, so this bounds work, not
/// harm; a client whose reset was not sent asks again. Ten thousand are a percent of a worker.
inline constexpr uint32_t kResetsPerSecond = 10'000;
/// A tenth of a second's share at once, and one at least.
inline constexpr uint32_t kIcmpBurstDivisor = 10;

/// Flow-table entries per worker unless configured.
inline constexpr uint32_t kDefaultFlowCapacity = 1u << 18;

static_assert((kRingSize & (kRingSize - 1)) == 0, "AF_XDP rings are powers of two");
static_assert((kFrameSize & (kFrameSize - 1)) == 0, "aligned UMEM chunks are powers of two");
static_assert(kMaxBackendsPerService < UINT16_MAX, "lookup slots are 16 bits");
static_assert(kBatchSize <= kRingSize);
static_assert(kMaxPacketFrames <= kBatchSize, "a batch must hold the longest packet");

}  // namespace xebec
