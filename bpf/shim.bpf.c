// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The shim: which received packets belong to a service, and only that. Those go to the AF_XDP socket of their
 * receive queue, everything else to the kernel as if the shim were not there. docs/shim.md has the table.
 *
 * Every doubt ends in XDP_PASS: what cannot be told to be a service's is the host's, and the host drops what
 * is malformed by itself. The cost for the host's own packets is one hash lookup and what `settings` says, where
 * no VIP is a prefix and nothing is translated.
 *
 * Kernels from 5.12, whose verifier takes pointers to structs as arguments of global functions (the youngest helper
 * that it cannot do without, bpf_ktime_get_coarse_ns, is of 5.11), and with CAP_BPF alone: without CAP_PERFMON the
 * verifier refuses to add a variable to a packet pointer (its answer to Spectre v1). So headers at a fixed place are
 * read through pointers, which is what nearly every packet needs, and those behind IPv4 options or IPv6 extension
 * headers by bpf_xdp_load_bytes (5.18).
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

#define IPV4_OFFSET_MASK 0x1fff /* RFC 791: the fragment offset, in 8-byte units */
#define IPV6_OFFSET_MASK 0xfff8 /* RFC 8200 section 4.5: the same, shifted past two reserved bits and M */

/* ICMP types a worker acts on (dataplane/parse.cc): RFC 792 and RFC 4443. */
#define ICMP_UNREACHABLE 3
#define ICMP_SOURCE_QUENCH 4
#define ICMP_ECHO_REQUEST 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMPV6_FIRST_ERROR 1 /* unreachable, too big, time exceeded, parameter problem */
#define ICMPV6_LAST_ERROR 4
#define ICMPV6_ECHO_REQUEST 128

#define PROTOCOL_SCTP 132

struct vlan_tag {
  __be16 tci;
  __be16 type;
};

/* The first bytes of the transport header, all that is read of it. */
union l4 {
  struct {
    __be16 source;
    __be16 destination;
  } port;
  struct {
    __u8 type;
    __u8 code;
    __be16 checksum;
  } icmp;
};

struct extension_header {
  __u8 next_header;
  __u8 length;         /* its unit depends on the header */
  __be16 offset_flags; /* of a fragment header */
  __u32 rest;
};

/* Set before loading. Where it is false, kernels before 5.18, CAP_PERFMON is needed. */
const volatile __u32 has_xdp_load_bytes = 1;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, XEBEC_MAX_VIPS);
  __type(key, struct xebec_address);
  __type(value, struct xebec_service_value);
} vips SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, XEBEC_MAX_SERVICE_ENTRIES);
  __type(key, struct xebec_service_key);
  __type(value, struct xebec_service_value);
} services SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, XEBEC_MAX_VIPS);
  __type(key, struct xebec_prefix_key);
  __type(value, struct xebec_prefix_value);
} prefixes SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, XEBEC_MAX_RANGE_BLOCKS);
  __type(key, struct xebec_range_key);
  __type(value, struct xebec_service_value);
} ranges SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  /* Old lists go after new ones came, and each has an entry of its own for what it does not name. */
  __uint(max_entries, 2 * (XEBEC_MAX_SOURCE_PREFIXES + XEBEC_MAX_SERVICES));
  __type(key, struct xebec_source_key);
  __type(value, struct xebec_source_value);
} sources SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct xebec_settings);
} settings SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, XEBEC_MAX_QUEUES);
  __type(key, __u32);
  __type(value, struct xebec_heartbeat);
} heartbeats SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, XEBEC_MAX_QUEUES);
  __type(key, __u32);
  __type(value, __u32);
} xsks SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, XEBEC_MAX_NAT_BACKENDS);
  __type(key, struct xebec_service_key);
  __type(value, __u32);
} nat_backends SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, XEBEC_MAX_NAT_SOURCES);
  __type(key, struct xebec_address);
  __type(value, struct xebec_port_range);
} nat_sources SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, XEBEC_MAX_OWN_ADDRESSES);
  __type(key, struct xebec_address);
  __type(value, __u32);
} own SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, XEBEC_MAX_FRAGMENTS);
  __type(key, struct xebec_fragment_key);
  __type(value, __u32);
} nat_fragments SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, XEBEC_SHIM_COUNTERS);
  __type(key, __u32);
  __type(value, __u64);
} counters SEC(".maps");

static __always_inline void count(__u32 counter) {
  __u64* packets = bpf_map_lookup_elem(&counters, &counter);
  if (packets) (*packets)++;
}

/* What a packet is, as far as it goes. */
enum whose {
  THE_HOSTS,
  A_SERVICES,
  DENIED, /* a service's, from a source it does not let in */
  PASSED, /* a service's, which has no backend and leaves it to the host */
};

/* The packet in hand: where it goes, and what it is looked for under. */
struct sought {
  struct xebec_service_key key; /* protocol and port are filled in on the way */
  struct xebec_address source;
  __u8 features;
  __u8 outer; /* bits of the next network to look in; 0: none */
  __u8 passes; /* every service at the VIP leaves its packets to the host */
  __u8 zero;   /* no padding: the verifier wants all of it written */
};

static __always_inline __u8 features_on(void) {
  const __u32 zero = 0;
  const struct xebec_settings* set = bpf_map_lookup_elem(&settings, &zero);
  return set ? set->features : 0;
}

/* Goes on to the longest network of at most `length` bits that contains the address. */
static __always_inline bool go_to_prefix(struct sought* at, const struct xebec_address* address,
                                         __u8 length) {
  struct xebec_prefix_key key;
  key.length = length;
  key.address = *address;
  const struct xebec_prefix_value* found = bpf_map_lookup_elem(&prefixes, &key);
  if (!found) return false;
  at->key.vip = found->network;
  at->key.narrower = found->narrower;
  at->outer = found->outer;
  at->passes = found->passes;
  return true;
}

/* at->key.vip is the destination. Afterwards it is the VIP to begin with. */
static __always_inline bool is_vip(struct sought* at) {
  const struct xebec_service_value* vip = bpf_map_lookup_elem(&vips, &at->key.vip);
  if (vip) {
    at->passes = vip->passes;
    at->features = features_on();
    at->outer = at->features & XEBEC_HAS_PREFIXES ? 128 : 0;
    return true;
  }
  at->features = features_on();
  if (!(at->features & XEBEC_HAS_PREFIXES)) return false;
  const struct xebec_address address = at->key.vip;
  return go_to_prefix(at, &address, 128);
}

static __always_inline const struct xebec_service_value* find_in_ranges(const struct xebec_service_key* key) {
  struct xebec_range_key range;
  range.length = XEBEC_RANGE_FIXED_BITS + 16;
  range.vip = key->vip;
  range.narrower = key->narrower;
  range.protocol = key->protocol;
  range.port = key->port;
  return bpf_map_lookup_elem(&ranges, &range);
}

static __always_inline bool has_ports(__u8 protocol) {
  return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == PROTOCOL_SCTP;
}

/* At one VIP: the exact port, then the narrowest range, then any port. The maps are made so that what a service of any
 * protocol leaves to those of one is not there twice (control/shim_image.cc). */
static __always_inline const struct xebec_service_value* find_at(struct xebec_service_key* key, __u8 features,
                                                                 __u8 protocol, __be16 port) {
  const struct xebec_service_value* found;
  key->protocol = protocol;
  key->port = port;
  found = bpf_map_lookup_elem(&services, key);
  if (found) return found;
  if (features & XEBEC_HAS_RANGES) {
    found = find_in_ranges(key);
    if (found) return found;
  }
  if (port != 0) {
    key->port = 0;
    found = bpf_map_lookup_elem(&services, key);
    if (found) return found;
  }
  if (!(features & XEBEC_HAS_ANY_PROTOCOL) || has_ports(protocol)) return NULL;
  key->protocol = XEBEC_ANY_PROTOCOL;
  return bpf_map_lookup_elem(&services, key);
}

/* The same for one argument and a number: 0: none; else the service's source list and 1, and SERVICE_PASSES. A global function, which the verifier
 * judges once and not in every round of the search (see whose_at_l4()). */
#define SERVICE_PASSES 0x40000000
_Static_assert(XEBEC_MAX_SOURCE_LIST < SERVICE_PASSES, "a list's number and the flag are one number");
__noinline int service_at(struct sought* at, __u32 protocol, __u32 port) {
  if (!at) return 0;
  struct xebec_service_key key = at->key; /* Linux 6.1 takes no key out of a global function's argument */
  const struct xebec_service_value* found = find_at(&key, at->features, protocol, port);
  return found ? (int)((found->source_list + 1) | (found->passes ? SERVICE_PASSES : 0)) : 0;
}

/* As dataplane/source_rules.h: of the prefixes that contain the source the longest decides. */
static __always_inline bool is_denied(__u32 list, const struct xebec_address* source) {
  struct xebec_source_key key;
  key.length = XEBEC_SOURCE_FIXED_BITS + 128;
  key.list = list;
  key.source = *source;
  const struct xebec_source_value* found = bpf_map_lookup_elem(&sources, &key);
  return found && found->denied;
}

/* port: be. The VIP first, then the networks it lies in. */
static __always_inline enum whose whose_by(struct sought* at, __u8 protocol, __be16 port) {
  const struct xebec_address address = at->key.vip;
  __u32 found = service_at(at, protocol, port);
  for (int i = 0; !found && i < XEBEC_MAX_NESTED_VIPS; i++) {
    const __u8 outer = at->outer;
    if (outer == 0 || !go_to_prefix(at, &address, outer)) break;
    found = service_at(at, protocol, port);
  }
  if (!found) return THE_HOSTS;
  const __u32 list = (found & ~SERVICE_PASSES) - 1;
  if (list != 0 && is_denied(list, &at->source)) return DENIED;
  return found & SERVICE_PASSES ? PASSED : A_SERVICES;
}

/* Echo requests and errors are about services. The rest of ICMP is between hosts (echo replies to this host's
 * own pings, redirects, timestamps), and none of it is anything a worker could use. */
static __always_inline bool is_icmp_for_service(__u8 type) {
  return type == ICMP_ECHO_REQUEST || type == ICMP_UNREACHABLE || type == ICMP_SOURCE_QUENCH ||
         type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER_PROBLEM;
}

/* Neighbour discovery (133..137) may come by unicast, to a VIP that the host holds: it must reach the host,
 * as must MLD and every other informational message but the echo request. */
static __always_inline bool is_icmpv6_for_service(__u8 type) {
  return type == ICMPV6_ECHO_REQUEST || (type >= ICMPV6_FIRST_ERROR && type <= ICMPV6_LAST_ERROR);
}

/* Copies what lies at a variable offset of the frame, if it is all there. size: a constant. */
static __always_inline bool read_at(struct xdp_md* ctx, __u32 offset, void* to, __u32 size) {
  if (has_xdp_load_bytes) return bpf_xdp_load_bytes(ctx, offset, to, size) == 0;

  /* No header lies so far; and of a sum beyond 65,535 the verifier believes nothing (MAX_PACKET_OFF). */
  if (offset > 0x7fff) return false;
  void* from = (void*)(long)ctx->data + (offset & 0x7fff); /* the mask is a bound for the verifier */
  if (from + size > (void*)(long)ctx->data_end) return false;
  __builtin_memcpy(to, from, size);
  return true;
}

static __always_inline bool read_fixed(void* from, void* end, union l4* to) {
  if (from + sizeof(*to) > end) return false;
  __builtin_memcpy(to, from, sizeof(*to));
  return true;
}

/* has_l4: `l4` is filled in; the packet has that much behind its IP headers. */
static __always_inline enum whose whose_by_l4(struct sought* at, __u8 protocol, bool ipv6, bool has_l4,
                                              union l4 l4) {
  if (has_ports(protocol)) return has_l4 ? whose_by(at, protocol, l4.port.destination) : THE_HOSTS;
  if (protocol == (ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) {
    if (!has_l4) return THE_HOSTS;
    if (at->passes) return THE_HOSTS;
    return (ipv6 ? is_icmpv6_for_service(l4.icmp.type) : is_icmp_for_service(l4.icmp.type)) ? A_SERVICES
                                                                                            : THE_HOSTS;
  }
  return whose_by(at, protocol, 0);
}

static __always_inline void set_ipv4(struct xebec_address* to, __be32 address) {
  __builtin_memset(&to->bytes[10], 0xff, 2);
  __builtin_memcpy(&to->bytes[12], &address, 4);
}

/* What is known of a packet that may be a backend's reply. */
struct reply {
  struct xebec_fragment_key fragment; /* id 0 unless it is one */
  bool is_fragment;
};

static __always_inline bool translates(void) {
  const __u32 zero = 0;
  const struct xebec_settings* set = bpf_map_lookup_elem(&settings, &zero);
  return set && set->translates;
}

/* With dnat a reply goes to the client himself: to any address but this host's. */
static __always_inline bool may_be_clients(__u32 modes, const struct xebec_address* address) {
  return (modes & XEBEC_DNAT) && !bpf_map_lookup_elem(&own, address);
}

/* From a backend's endpoint to `to`, port `to_port` (be), as one of its services' packets would be: to an address and port that
 * stands for a client, or to a client himself. */
static __always_inline bool is_translated(const struct xebec_address* backend, __u8 protocol, __be16 port,
                                          const struct xebec_address* to, __be16 to_port) {
  struct xebec_service_key key = {.vip = *backend, .port = port, .protocol = protocol};
  const __u32* how = bpf_map_lookup_elem(&nat_backends, &key);
  if (!how) {
    key.port = 0;
    how = bpf_map_lookup_elem(&nat_backends, &key);
  }
  if (!how) return false;
  const __u32 modes = *how;
  const struct xebec_address address = *to; /* a copy as in service_at() */
  if (modes & XEBEC_NAT) {
    const struct xebec_port_range* ports = bpf_map_lookup_elem(&nat_sources, &address);
    const __u16 number = bpf_ntohs(to_port);
    if (ports && number >= ports->first && number <= ports->last) return true;
  }
  return may_be_clients(modes, &address);
}

/* The same by what a later fragment tells: its sender has such an endpoint, whatever the port. */
static __always_inline bool may_be_translated(const struct xebec_address* backend, __u8 protocol,
                                              const struct xebec_address* to) {
  struct xebec_service_key key = {.vip = *backend, .protocol = protocol, .narrower = XEBEC_ALL_ENDPOINTS};
  const __u32* how = bpf_map_lookup_elem(&nat_backends, &key);
  if (!how) return false;
  const __u32 modes = *how;
  const struct xebec_address address = *to;
  if ((modes & XEBEC_NAT) && bpf_map_lookup_elem(&nat_sources, &address)) return true;
  return may_be_clients(modes, &address);
}

static __always_inline bool same_address(const struct xebec_address* a, const struct xebec_address* b) {
  const __u32* words = (const __u32*)a;
  const __u32* others = (const __u32*)b;
  return words[0] == others[0] && words[1] == others[1] && words[2] == others[2] && words[3] == others[3];
}

static __always_inline bool is_extension(__u8 header) {
  return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING || header == IPPROTO_DSTOPTS ||
         header == IPPROTO_FRAGMENT || header == IPPROTO_AH;
}

/* The transport header of a quoted IPv6 packet. header: length of the headers before it, *protocol: which it is. False: it has
 * none, or the quotation ends before. */
static __always_inline bool walk_quoted(struct xdp_md* ctx, __u32 offset, __u8* protocol, __u32* header) {
  for (int i = 0; i < XEBEC_MAX_IPV6_EXTENSIONS; i++) {
    struct extension_header extension;
    if (!is_extension(*protocol)) return true;
    if (!read_at(ctx, offset + *header, &extension, sizeof(extension))) return false;
    if (*protocol == IPPROTO_FRAGMENT) {
      if (extension.offset_flags & bpf_htons(IPV6_OFFSET_MASK)) return false;
      *header += 8;
    } else if (*protocol == IPPROTO_AH) {
      *header += (extension.length + 2) * 4;
    } else {
      *header += (extension.length + 1) * 8;
    }
    *protocol = extension.next_header;
  }
  return !is_extension(*protocol);
}

/* An ICMP error that quotes what was sent to a backend. offset: of the quoted packet. */
static __always_inline bool quotes_translated(struct xdp_md* ctx, const struct reply* reply, bool ipv6,
                                              __u32 offset) {
  struct xebec_address from = {};
  struct xebec_address to = {};
  union l4 l4 = {};
  __u8 protocol;
  __u32 header;

  if (ipv6) {
    struct ipv6hdr ip;
    if (!read_at(ctx, offset, &ip, sizeof(ip))) return false;
    __builtin_memcpy(&from, &ip.saddr, sizeof(from));
    __builtin_memcpy(&to, &ip.daddr, sizeof(to));
    protocol = ip.nexthdr;
    header = sizeof(ip);
    if (!walk_quoted(ctx, offset, &protocol, &header)) return false;
  } else {
    struct iphdr ip;
    if (!read_at(ctx, offset, &ip, sizeof(ip)) || ip.ihl < 5) return false;
    set_ipv4(&from, ip.saddr);
    set_ipv4(&to, ip.daddr);
    if (ip.frag_off & bpf_htons(IPV4_OFFSET_MASK)) return false;
    protocol = ip.protocol;
    header = ip.ihl * 4;
  }
  if (!has_ports(protocol)) return false;
  /* An error goes to the sender of what it quotes. */
  if (!same_address(&from, &reply->fragment.destination)) return false;
  if (!read_at(ctx, offset + header, &l4, sizeof(l4))) return false;
  return is_translated(&to, protocol, l4.port.destination, &from, l4.port.source);
}

/* The same questions as whose_by_l4(), of a packet to no VIP. l4_offset: of `l4` in the frame. */
static __always_inline bool l4_is_reply(struct xdp_md* ctx, const struct reply* reply, __u8 protocol, bool ipv6,
                                        bool has_l4, union l4 l4, __u32 l4_offset) {
  if (!has_l4) return false;
  if (protocol == (ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) {
    const bool error = ipv6 ? l4.icmp.type >= ICMPV6_FIRST_ERROR && l4.icmp.type <= ICMPV6_LAST_ERROR
                            : is_icmp_for_service(l4.icmp.type) && l4.icmp.type != ICMP_ECHO_REQUEST;
    return error && quotes_translated(ctx, reply, ipv6, l4_offset + 8);
  }
  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && protocol != PROTOCOL_SCTP) return false;
  const __u32 translated = is_translated(&reply->fragment.source, protocol, l4.port.source,
                                         &reply->fragment.destination, l4.port.destination);
  /* The host's, too, if its later fragments could be taken for a reply's. */
  if (reply->is_fragment &&
      (translated || may_be_translated(&reply->fragment.source, protocol, &reply->fragment.destination))) {
    struct xebec_fragment_key key = reply->fragment;
    key.protocol = ipv6 ? 0 : protocol; /* behind IPv6 extension headers a later fragment may name another */
    bpf_map_update_elem(&nat_fragments, &key, &translated, BPF_ANY);
  }
  return translated;
}

/* A later fragment goes where its first one went. One that overtakes it is steered if it may be a reply's: the worker lets it
 * wait. A global function for the same reason as those below. */
__noinline int whose_later_fragment(struct reply* reply, __u32 protocol, __u32 ipv6) {
  if (!reply) return THE_HOSTS;
  struct xebec_fragment_key key = reply->fragment;
  key.protocol = ipv6 ? 0 : protocol;
  const __u32* first = bpf_map_lookup_elem(&nat_fragments, &key);
  if (first) return *first ? A_SERVICES : THE_HOSTS;
  return may_be_translated(&key.source, protocol, &key.destination) ? A_SERVICES : THE_HOSTS;
}

/* What has been found out about a packet's L4, for one argument. */
#define L4_IPV6 0x100
#define L4_PRESENT 0x200 /* the packet has as much of it as is read */

static __always_inline __u32 l4_facts(__u8 protocol, bool ipv6, bool has_l4) {
  return protocol | (ipv6 ? L4_IPV6 : 0) | (has_l4 ? L4_PRESENT : 0);
}

/* The two questions at the end of every way through the headers are global functions: the verifier judges them by themselves,
 * once, and not behind each of the ways. Inlined, with prefixes and replies, it gave up after a million instructions where
 * headers are read by packet pointers; and without CAP_PERFMON it forbids what the compiler then does with the stack. It wants
 * pointers checked. */
__noinline int whose_at_l4(struct sought* at, __u32 facts, __u32 l4_bytes) {
  union l4 l4;
  if (!at) return THE_HOSTS;
  __builtin_memcpy(&l4, &l4_bytes, sizeof(l4));
  return whose_by_l4(at, facts & 0xff, (facts & L4_IPV6) != 0, (facts & L4_PRESENT) != 0, l4);
}

__noinline int whose_reply(struct xdp_md* ctx, struct reply* reply, __u32 facts, __u32 l4_bytes, __u32 l4_offset) {
  union l4 l4;
  if (!reply) return THE_HOSTS;
  __builtin_memcpy(&l4, &l4_bytes, sizeof(l4));
  const bool is = l4_is_reply(ctx, reply, facts & 0xff, (facts & L4_IPV6) != 0, (facts & L4_PRESENT) != 0, l4, l4_offset);
  return is ? A_SERVICES : THE_HOSTS;
}

static __always_inline enum whose whose_in_the_end(struct xdp_md* ctx, struct sought* at, struct reply* reply, bool vip,
                                                   __u32 facts, const union l4* l4, __u32 l4_offset) {
  __u32 bytes;
  __builtin_memcpy(&bytes, l4, sizeof(bytes));
  return vip ? whose_at_l4(at, facts, bytes) : whose_reply(ctx, reply, facts, bytes, l4_offset);
}

/* offset: where l3 is in the frame. */
static __always_inline enum whose whose_ipv4(struct xdp_md* ctx, void* l3, void* end, __u32 offset) {
  struct iphdr* ip = l3;
  struct sought at = {};
  struct reply reply = {};
  union l4 l4 = {};
  if (l3 + sizeof(*ip) > end) return THE_HOSTS;

  set_ipv4(&at.key.vip, ip->daddr);
  const bool vip = is_vip(&at);
  if (!vip && !translates()) return THE_HOSTS;
  set_ipv4(&at.source, ip->saddr);

  if (ip->version != 4 || ip->ihl < 5) return THE_HOSTS;
  if (!vip) {
    set_ipv4(&reply.fragment.destination, ip->daddr);
    set_ipv4(&reply.fragment.source, ip->saddr);
    reply.is_fragment = (ip->frag_off & bpf_htons(0x2000 | IPV4_OFFSET_MASK)) != 0;
    if (reply.is_fragment) reply.fragment.id = ip->id;
  }
  /* No ports here, and the payload must not be read as if it had some. The worker remembers the first
   * fragment. */
  if (ip->frag_off & bpf_htons(IPV4_OFFSET_MASK))
    return vip ? (at.passes ? THE_HOSTS : A_SERVICES) : whose_later_fragment(&reply, ip->protocol, 0);
  const __u32 header = ip->ihl * 4;
  /* By the length field as well as by the frame: padding is not a port. */
  bool has_l4 = bpf_ntohs(ip->tot_len) >= header + sizeof(l4);
  if (header == sizeof(*ip)) {
    has_l4 = has_l4 && read_fixed(l3 + sizeof(*ip), end, &l4);
  } else {
    has_l4 = has_l4 && read_at(ctx, offset + header, &l4, sizeof(l4));
  }
  return whose_in_the_end(ctx, &at, &reply, vip, l4_facts(ip->protocol, false, has_l4), &l4, offset + header);
}

/* RFC 4291 section 2.5.5.2: ::ffff:0:0/96 is no address on a wire, and would be mistaken for an IPv4 VIP. */
static __always_inline bool is_ipv4_mapped(const struct in6_addr* address) {
  return address->in6_u.u6_addr32[0] == 0 && address->in6_u.u6_addr32[1] == 0 &&
         address->in6_u.u6_addr32[2] == bpf_htonl(0xffff);
}

/* What is behind the extension headers, the first of which is `next` at `offset`. */
static __always_inline enum whose whose_extended(struct xdp_md* ctx, struct sought* at, struct reply* reply,
                                                 bool vip, __u8 next, __u32 offset, int room) {
  union l4 l4 = {};
  for (int i = 0; i < XEBEC_MAX_IPV6_EXTENSIONS; i++) {
    struct extension_header extension;
    __u32 length;

    if (!is_extension(next)) break;
    if (room < (int)sizeof(extension) || !read_at(ctx, offset, &extension, sizeof(extension)))
      return THE_HOSTS;
    if (next == IPPROTO_FRAGMENT) {
      if (!vip && (extension.offset_flags & bpf_htons(IPV6_OFFSET_MASK | 1))) {
        reply->fragment.id = extension.rest;
        reply->is_fragment = true;
      }
      if (extension.offset_flags & bpf_htons(IPV6_OFFSET_MASK)) /* as for IPv4 */
        return vip ? (at->passes ? THE_HOSTS : A_SERVICES)
                   : whose_later_fragment(reply, extension.next_header, 1);
      length = 8;
    } else if (next == IPPROTO_AH) {
      length = (extension.length + 2) * 4; /* RFC 4302 section 2.2 */
    } else {
      length = (extension.length + 1) * 8;
    }
    next = extension.next_header;
    offset += length;
    room -= (int)length;
  }
  if (is_extension(next)) return THE_HOSTS;
  const bool has_l4 = room >= (int)sizeof(l4) && read_at(ctx, offset, &l4, sizeof(l4));
  return whose_in_the_end(ctx, at, reply, vip, l4_facts(next, true, has_l4), &l4, offset);
}

static __always_inline enum whose whose_ipv6(struct xdp_md* ctx, void* l3, void* end, __u32 offset) {
  struct ipv6hdr* ip = l3;
  struct sought at = {};
  struct reply reply = {};
  union l4 l4 = {};
  if (l3 + sizeof(*ip) > end) return THE_HOSTS;

  if (is_ipv4_mapped(&ip->daddr)) return THE_HOSTS;
  __builtin_memcpy(&at.key.vip, &ip->daddr, sizeof(at.key.vip));
  const bool vip = is_vip(&at);
  if (!vip && !translates()) return THE_HOSTS;
  __builtin_memcpy(&at.source, &ip->saddr, sizeof(at.source));

  if (ip->version != 6) return THE_HOSTS;
  if (!vip) {
    if (is_ipv4_mapped(&ip->saddr)) return THE_HOSTS;
    __builtin_memcpy(&reply.fragment.destination, &ip->daddr, sizeof(reply.fragment.destination));
    __builtin_memcpy(&reply.fragment.source, &ip->saddr, sizeof(reply.fragment.source));
  }
  const int room = bpf_ntohs(ip->payload_len);
  if (is_extension(ip->nexthdr))
    return whose_extended(ctx, &at, &reply, vip, ip->nexthdr, offset + sizeof(*ip), room);
  const bool has_l4 = room >= (int)sizeof(l4) && read_fixed(l3 + sizeof(*ip), end, &l4);
  return whose_in_the_end(ctx, &at, &reply, vip, l4_facts(ip->nexthdr, true, has_l4), &l4, offset + sizeof(*ip));
}

static __always_inline enum whose whose(struct xdp_md* ctx) {
  void* data = (void*)(long)ctx->data;
  void* end = (void*)(long)ctx->data_end;
  struct ethhdr* ethernet = data;
  __u32 offset = sizeof(*ethernet);
  void* at = data + sizeof(*ethernet);
  if (at > end) return THE_HOSTS;

  __be16 type = ethernet->h_proto;
#pragma unroll
  for (int i = 0; i < XEBEC_MAX_VLAN_TAGS; i++) {
    struct vlan_tag* tag = at;
    if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD)) break;
    at += sizeof(*tag);
    offset += sizeof(*tag);
    if (at > end) return THE_HOSTS;
    type = tag->type;
  }
  if (type == bpf_htons(ETH_P_IP)) return whose_ipv4(ctx, at, end, offset);
  if (type == bpf_htons(ETH_P_IPV6)) return whose_ipv6(ctx, at, end, offset);
  return THE_HOSTS;
}

/* A worker that has not come round its loop for that long would leave the packet in its ring. The clock is
 * the one the workers read, so a heartbeat may be newer than a coarse now: the difference is signed. */
static __always_inline bool is_stale(__u32 queue, __u64 stale_after_ns) {
  volatile struct xebec_heartbeat* heartbeat;
  if (stale_after_ns == 0) return false;
  heartbeat = bpf_map_lookup_elem(&heartbeats, &queue);
  if (!heartbeat) return false; /* no such slot, so no socket either: counted as that */
  const __u64 at_ns = heartbeat->at_ns;
  return at_ns == 0 || (__s64)(bpf_ktime_get_coarse_ns() - at_ns) > (__s64)stale_after_ns;
}

/* An interface also sees frames that are not for it: flooded by a switch, or because it is promiscuous. */
static __always_inline bool is_sent_to(struct xdp_md* ctx, const __u8* mac) {
  const struct ethhdr* ethernet = (void*)(long)ctx->data;
  if ((void*)(ethernet + 1) > (void*)(long)ctx->data_end) return false;
  const __u16* is = (const __u16*)ethernet->h_dest;
  const __u16* should = (const __u16*)mac;
  if ((should[0] | should[1] | should[2]) == 0) return true;
  return is[0] == should[0] && is[1] == should[1] && is[2] == should[2];
}

static __always_inline int steer(struct xdp_md* ctx, enum whose packet) {
  const __u32 zero = 0;
  const __u32 queue = ctx->rx_queue_index;
  struct xebec_settings* set = bpf_map_lookup_elem(&settings, &zero);
  if (!set) return XDP_PASS; /* cannot happen, but the verifier does not know */
  if (!is_sent_to(ctx, set->mac)) return XDP_PASS;
  if (packet == DENIED) {
    count(XEBEC_SHIM_DENIED);
    return XDP_DROP;
  }
  if (packet == PASSED) {
    count(XEBEC_SHIM_PASSED);
    return XDP_PASS;
  }

  const __u32 fallback = set->fallback_verdict == XDP_PASS ? XDP_PASS : XDP_DROP;
  if (is_stale(queue, set->stale_after_ns)) {
    count(XEBEC_SHIM_STALE);
    return fallback;
  }
  const long verdict = bpf_redirect_map(&xsks, queue, fallback);
  count(verdict == XDP_REDIRECT ? XEBEC_SHIM_STEERED : XEBEC_SHIM_NO_SOCKET);
  return verdict;
}

SEC("xdp")
int xebec_shim(struct xdp_md* ctx) {
  const enum whose packet = whose(ctx);
  return packet == THE_HOSTS ? XDP_PASS : steer(ctx, packet);
}

char _license[] SEC("license") = "Dual BSD/GPL";
