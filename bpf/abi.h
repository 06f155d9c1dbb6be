/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the BPF programs and userspace both read and write: map keys, map values, counters.
 *
 * Integer types only, sizes asserted, no pointers: this is the one definition, included by clang -target bpf
 * and by the C++ side alike. "be" in a comment means network byte order; everything else is host order.
 *
 *   packet -> shim:  vips[dst address]                 absent: a reply? else XDP_PASS, the host's own traffic
 *                    services[dst address, proto, port] then ranges, then services with port 0 = any
 *                    (prefixes[dst address]            the same for the networks it lies in, longest first)
 *                    (sources[list, src address]       denied? known by now, done below)
 *                    settings.mac is the destination? no: XDP_PASS, another host's
 *                    denied: XDP_DROP. The service passes: XDP_PASS, it has no backend and leaves its packets to the host
 *                    heartbeats[rx queue] fresh?       stale: settings.fallback_verdict
 *                    xsks[rx queue]                    empty: settings.fallback_verdict
 *
 *   a reply of a translating service (only where settings.translates says that there is one):
 *                    nat_backends[src address, proto, port] then the same with port 0 = any; absent: XDP_PASS
 *                    XEBEC_NAT:  nat_sources[dst address] has the destination port
 *                    XEBEC_DNAT: own[dst address] is absent: it goes to a client, not to this host
 *                    later fragments: nat_fragments[src, dst, id, proto], which the first one has left; if none
 *                    has, as above, by nat_backends[src address, proto] and nat_sources or own
 */
#ifndef XEBEC_BPF_ABI_H
#define XEBEC_BPF_ABI_H

#include <linux/types.h>

/* Receive queues one interface may have. Sizes the XSKMAP and the heartbeat array; more queues than this is
 * refused at start. 256 is what the largest NICs expose per port (mlx5, ice). */
#define XEBEC_MAX_QUEUES 256

/* Bounds of the service maps; the control plane refuses a configuration beyond them. */
#define XEBEC_MAX_VIPS 4096
#define XEBEC_MAX_SERVICES 4096

/* Entries of `services`: one for any protocol and any port stands there under TCP, UDP, SCTP and XEBEC_ANY_PROTOCOL. */
#define XEBEC_MAX_SERVICE_ENTRIES (4 * XEBEC_MAX_SERVICES)

/* Entries of `ranges`. A range is at most 30 blocks of ports, three times that for any protocol; one cut up by others in it
 * more. */
#define XEBEC_MAX_RANGE_BLOCKS 131072

/* Source prefixes of all services. An entry is some 100 bytes, in memory as they come. */
#define XEBEC_MAX_SOURCE_PREFIXES 65536

/* VIPs that are prefixes and lie in one another: so many are searched, the longest first. */
#define XEBEC_MAX_NESTED_VIPS 8

/* Protocol of a service that takes every one; reserved by IANA. */
#define XEBEC_ANY_PROTOCOL 255

/* Tags the shim and the worker's parser both look behind: 802.1Q inside 802.1ad. */
#define XEBEC_MAX_VLAN_TAGS 2

/* Extension headers walked before a packet is given up: hop-by-hop, destination, routing, fragment, AH,
 * destination is the longest order RFC 8200 section 4.1 recommends, plus two. */
#define XEBEC_MAX_IPV6_EXTENSIONS 8

/* An address in 16 bytes, be; IPv4 as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2). An IPv6 packet that carries
 * such an address on the wire is never ours. */
struct xebec_address {
  __u8 bytes[16];
};

/* Key of `services`. protocol: IANA number. port: be; 0 = any port of that protocol. narrower: 0 for an address; of a
 * network what its prefix lacks to 128 bits. */
struct xebec_service_key {
  struct xebec_address vip;
  __u16 port;
  __u8 protocol;
  __u8 narrower;
};

/* Value of `vips`, `services` and `ranges`. source_list: of the service, below XEBEC_MAX_SOURCE_LIST; 0: none. Of a VIP 0.
 * passes: 1: no backend takes packets of the service, and the host's stack is to have them; of a VIP: so do all services there,
 * and what belongs to no single one of them (pings, ICMP errors, later fragments) is the host's, too. */
struct xebec_service_value {
  __u32 source_list;
  __u32 passes;
};
#define XEBEC_MAX_SOURCE_LIST 0x20000000

/* Key of `prefixes`, an LPM trie (BPF_MAP_TYPE_LPM_TRIE): bits of the address, at most 128. */
struct xebec_prefix_key {
  __u32 length;
  struct xebec_address address;
};

/* Value of `prefixes`. outer: length of the longest prefix that this one lies in and that is a VIP; 0: none. passes: as of a
 * VIP. */
struct xebec_prefix_value {
  struct xebec_address network;
  __u8 narrower;
  __u8 outer;
  __u8 passes;
  __u8 zero;
};

/* Key of `ranges`, an LPM trie. length: XEBEC_RANGE_FIXED_BITS and up to 16 bits of the port. */
#define XEBEC_RANGE_FIXED_BITS 144
struct xebec_range_key {
  __u32 length;
  struct xebec_address vip;
  __u8 narrower;
  __u8 protocol;
  __u16 port; /* be */
};

/* Key of `sources`, an LPM trie. length: 32 bits of the list and up to 128 of the address. */
#define XEBEC_SOURCE_FIXED_BITS 32
struct xebec_source_key {
  __u32 length;
  __u32 list;
  struct xebec_address source;
};

/* Value of `sources`. The prefix of no address bits says what becomes of a source that no other contains. */
struct xebec_source_value {
  __u32 denied;
};

/* Value of `nat_backends`: how its services translate; either or both. Key: a backend's endpoint as xebec_service_key, narrower 0;
 * and one with port 0 and narrower XEBEC_ALL_ENDPOINTS for all of a backend's endpoints of the protocol, which is what a later
 * fragment, that has no port, can be looked for by. */
#define XEBEC_NAT 1
#define XEBEC_DNAT 2
#define XEBEC_ALL_ENDPOINTS 1

/* Value of `nat_sources`: the ports that stand for clients, host order, inclusive. */
struct xebec_port_range {
  __u16 first;
  __u16 last;
};

/* Key of `nat_fragments`. Value: 1: the first fragment was a reply's, 0: the host's. id: IPv4 or IPv6 identification, be, IPv4's in the first two bytes. */
struct xebec_fragment_key {
  struct xebec_address source;
  struct xebec_address destination;
  __u32 id;
  __u8 protocol;
  __u8 zero[3];
};

/* Bounds of the maps for replies: backends of translating services; addresses they are translated to; addresses the host has;
 * datagrams whose fragments are on their way (the kernel forgets the oldest). */
#define XEBEC_MAX_NAT_BACKENDS 262144
#define XEBEC_MAX_NAT_SOURCES 256
#define XEBEC_MAX_OWN_ADDRESSES 4096
#define XEBEC_MAX_FRAGMENTS 4096

/* The one entry of `settings`. */
struct xebec_settings {
  /* XDP_DROP or XDP_PASS: what VIP traffic gets when no live worker serves its queue. */
  __u32 fallback_verdict;
  /* The interface's own address. A frame sent to another one is not this host's, whatever its IP header says: a switch
   * that floods must not make two balancers forward one packet. All zero: any frame will do. */
  __u8 mac[6];
  /* XEBEC_HAS_*: which of the further maps hold anything. The others are not looked into. */
  __u8 features;
  __u8 translates; /* 1: some service does, replies are looked for */
  __u8 zero[4];
  /* A worker whose heartbeat is older than this is taken for dead. 0 = never. Nanoseconds. */
  __u64 stale_after_ns;
};

#define XEBEC_HAS_PREFIXES 1
#define XEBEC_HAS_RANGES 2
#define XEBEC_HAS_ANY_PROTOCOL 4

/* Entry of `heartbeats`, index = rx queue, one cache line each so that workers do not share one.
 * Written by the queue's worker with CLOCK_MONOTONIC(_COARSE), nanoseconds; 0 = no worker yet. */
struct xebec_heartbeat {
  __u64 at_ns;
  __u64 pad[7];
};

/* Index into `counters`, a per-CPU array of __u64 packets. VIP traffic only: the host's own traffic is not
 * counted. Without prefixes and translation it costs a lookup in `vips` and a look at the one entry of `settings`. */
enum xebec_shim_counter {
  XEBEC_SHIM_STEERED,   /* redirected to the socket of its queue */
  XEBEC_SHIM_NO_SOCKET, /* the queue has no socket: fallback verdict */
  XEBEC_SHIM_STALE,     /* the queue's worker is silent: fallback verdict */
  XEBEC_SHIM_DENIED,    /* the service's rules deny the source: dropped */
  XEBEC_SHIM_PASSED,    /* the service has no backend and says pass: the host's stack has it */
  XEBEC_SHIM_COUNTERS
};

/* The inject program's UMEM map: one chunk an entry, so that the whole map is one packet memory. */
#define XEBEC_INJECT_CHUNK 4096

/* Packets one call of the inject program may send (kernel-side batches are smaller, see dataplane/inject_transmit.cc). */
#define XEBEC_INJECT_MAX_PACKETS 1024

/* Where in its chunk a packet may begin, and how long it may be: begin + length <= chunk, as the verifier wants it shown.
 * A packet is received at 256 and encapsulation moves it towards 0. A live frame has a page less the kernel's own head, 256
 * bytes of headroom and the skb's tail: the limit userspace finds by a probe is below this one. */
#define XEBEC_INJECT_MAX_BEGIN 511
#define XEBEC_INJECT_MAX_LENGTH (XEBEC_INJECT_CHUNK - XEBEC_INJECT_MAX_BEGIN - 1)

/* Length of every XDP frame as the program finds it. Small, because the kernel copies the template into each new page. */
#define XEBEC_INJECT_TEMPLATE 64

/* One packet to inject: chunk number, where it begins in the chunk, its length. */
struct xebec_inject_packet {
  __u32 chunk;
  __u16 begin;
  __u16 length;
};

/* The inject program's list, its one mmapped entry: userspace writes count, ifindex and packets and sets next and failed to 0
 * before a call; the program runs once a packet and moves next. */
struct xebec_inject_list {
  __u32 next;
  __u32 count;
  __u32 ifindex; /* where they go */
  __u32 failed;  /* packets that did not fit their frame */
  struct xebec_inject_packet packets[XEBEC_INJECT_MAX_PACKETS];
};

#ifdef __cplusplus
#define XEBEC_ABI_ASSERT(x) static_assert(x, #x)
#else
#define XEBEC_ABI_ASSERT(x) _Static_assert(x, #x)
#endif
XEBEC_ABI_ASSERT(sizeof(struct xebec_address) == 16);
XEBEC_ABI_ASSERT(sizeof(struct xebec_service_key) == 20);
XEBEC_ABI_ASSERT(sizeof(struct xebec_service_value) == 8);
XEBEC_ABI_ASSERT(sizeof(struct xebec_prefix_key) == 20);
XEBEC_ABI_ASSERT(sizeof(struct xebec_prefix_value) == 20);
XEBEC_ABI_ASSERT(sizeof(struct xebec_range_key) == 24);
XEBEC_ABI_ASSERT(sizeof(struct xebec_source_key) == 24);
XEBEC_ABI_ASSERT(sizeof(struct xebec_source_value) == 4);
XEBEC_ABI_ASSERT(sizeof(struct xebec_settings) == 24);
XEBEC_ABI_ASSERT(sizeof(struct xebec_port_range) == 4);
XEBEC_ABI_ASSERT(sizeof(struct xebec_fragment_key) == 40);
XEBEC_ABI_ASSERT(sizeof(struct xebec_heartbeat) == 64);
XEBEC_ABI_ASSERT(sizeof(struct xebec_inject_packet) == 8);
XEBEC_ABI_ASSERT(sizeof(struct xebec_inject_list) == 16 + 8 * XEBEC_INJECT_MAX_PACKETS);

#endif
