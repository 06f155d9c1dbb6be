// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The shim: which received packets belong to a service, and only that. Those go to the AF_XDP socket of their
 * receive queue, everything else to the kernel as if the shim were not there. docs/shim.md has the table.
 *
 * Every doubt ends in XDP_PASS: what cannot be told to be a service's is the host's, and the host drops what
 * is malformed by itself. The cost for the host's own packets is one hash lookup.
 *
 * Kernels from 5.15, and with CAP_BPF alone: without CAP_PERFMON the verifier refuses to add a variable to a
 * packet pointer (its answer to Spectre v1). So headers at a fixed place are read through pointers, which is
 * what nearly every packet needs, and those behind IPv4 options or IPv6 extension headers by
 * bpf_xdp_load_bytes (5.18).
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
  __uint(max_entries, XEBEC_MAX_SERVICES);
  __type(key, struct xebec_service_key);
  __type(value, struct xebec_service_value);
} services SEC(".maps");

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

/* The exact port first, then any port. key->vip is filled in; port: be. */
static __always_inline bool is_service(struct xebec_service_key* key, __u8 protocol, __be16 port) {
  key->protocol = protocol;
  key->port = port;
  if (bpf_map_lookup_elem(&services, key)) return true;
  if (port == 0) return false;
  key->port = 0;
  return bpf_map_lookup_elem(&services, key) != NULL;
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

  void* from = (void*)(long)ctx->data + (offset & 0xffff); /* the mask is a bound for the verifier */
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
static __always_inline bool l4_is_ours(struct xebec_service_key* key, __u8 protocol, bool ipv6, bool has_l4,
                                       union l4 l4) {
  if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == PROTOCOL_SCTP)
    return has_l4 && is_service(key, protocol, l4.port.destination);
  if (protocol == (ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
    return has_l4 && (ipv6 ? is_icmpv6_for_service(l4.icmp.type) : is_icmp_for_service(l4.icmp.type));
  return is_service(key, protocol, 0);
}

/* What is known of a packet that may be a backend's reply. */
struct reply {
  struct xebec_fragment_key fragment; /* id 0 unless it is one */
  bool is_fragment;
};

static __always_inline bool translates(void) {
  const __u32 zero = 0;
  const struct xebec_settings* set = bpf_map_lookup_elem(&settings, &zero);
  return set && (set->flags & XEBEC_TRANSLATES);
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
  if (modes & XEBEC_NAT) {
    const struct xebec_port_range* ports = bpf_map_lookup_elem(&nat_sources, to);
    const __u16 number = bpf_ntohs(to_port);
    if (ports && number >= ports->first && number <= ports->last) return true;
  }
  return (modes & XEBEC_DNAT) && !bpf_map_lookup_elem(&own, to);
}

static __always_inline bool same_address(const struct xebec_address* a, const struct xebec_address* b) {
  const __u32* words = (const __u32*)a;
  const __u32* others = (const __u32*)b;
  return words[0] == others[0] && words[1] == others[1] && words[2] == others[2] && words[3] == others[3];
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
  } else {
    struct iphdr ip;
    if (!read_at(ctx, offset, &ip, sizeof(ip)) || ip.ihl < 5) return false;
    __builtin_memset(&from.bytes[10], 0xff, 2);
    __builtin_memcpy(&from.bytes[12], &ip.saddr, 4);
    __builtin_memset(&to.bytes[10], 0xff, 2);
    __builtin_memcpy(&to.bytes[12], &ip.daddr, 4);
    if (ip.frag_off & bpf_htons(IPV4_OFFSET_MASK)) return false;
    protocol = ip.protocol;
    header = ip.ihl * 4;
  }
  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) return false;
  /* An error goes to the sender of what it quotes. */
  if (!same_address(&from, &reply->fragment.destination)) return false;
  if (!read_at(ctx, offset + header, &l4, sizeof(l4))) return false;
  return is_translated(&to, protocol, l4.port.destination, &from, l4.port.source);
}

/* The same questions as l4_is_ours(), of a packet to no VIP. l4_offset: of `l4` in the frame. */
static __always_inline bool l4_is_reply(struct xdp_md* ctx, const struct reply* reply, __u8 protocol, bool ipv6,
                                        bool has_l4, union l4 l4, __u32 l4_offset) {
  const __u32 one = 1;
  if (!has_l4) return false;
  if (protocol == (ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) {
    const bool error = ipv6 ? l4.icmp.type >= ICMPV6_FIRST_ERROR && l4.icmp.type <= ICMPV6_LAST_ERROR
                            : is_icmp_for_service(l4.icmp.type) && l4.icmp.type != ICMP_ECHO_REQUEST;
    return error && quotes_translated(ctx, reply, ipv6, l4_offset + 8);
  }
  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && protocol != PROTOCOL_SCTP) return false;
  if (!is_translated(&reply->fragment.source, protocol, l4.port.source, &reply->fragment.destination,
                     l4.port.destination))
    return false;
  if (reply->is_fragment) {
    struct xebec_fragment_key key = reply->fragment;
    key.protocol = ipv6 ? 0 : protocol; /* behind IPv6 extension headers a later fragment may name another */
    bpf_map_update_elem(&nat_fragments, &key, &one, BPF_ANY);
  }
  return true;
}

static __always_inline bool is_fragment_of_reply(const struct reply* reply, __u8 protocol) {
  struct xebec_fragment_key key = reply->fragment;
  key.protocol = protocol;
  return bpf_map_lookup_elem(&nat_fragments, &key) != NULL;
}

/* offset: where l3 is in the frame. */
static __always_inline bool ipv4_is_ours(struct xdp_md* ctx, void* l3, void* end, __u32 offset) {
  struct iphdr* ip = l3;
  struct xebec_service_key key = {};
  struct reply reply = {};
  union l4 l4 = {};
  if (l3 + sizeof(*ip) > end) return false;

  __builtin_memset(&key.vip.bytes[10], 0xff, 2);
  __builtin_memcpy(&key.vip.bytes[12], &ip->daddr, 4);
  const bool vip = bpf_map_lookup_elem(&vips, &key.vip) != NULL;
  if (!vip && !translates()) return false;

  if (ip->version != 4 || ip->ihl < 5) return false;
  if (!vip) {
    reply.fragment.destination = key.vip;
    __builtin_memset(&reply.fragment.source.bytes[10], 0xff, 2);
    __builtin_memcpy(&reply.fragment.source.bytes[12], &ip->saddr, 4);
    reply.is_fragment = (ip->frag_off & bpf_htons(0x2000 | IPV4_OFFSET_MASK)) != 0;
    if (reply.is_fragment) reply.fragment.id = ip->id;
  }
  /* No ports here, and the payload must not be read as if it had some. The worker remembers the first
   * fragment. */
  if (ip->frag_off & bpf_htons(IPV4_OFFSET_MASK)) return vip || is_fragment_of_reply(&reply, ip->protocol);
  const __u32 header = ip->ihl * 4;
  /* By the length field as well as by the frame: padding is not a port. */
  bool has_l4 = bpf_ntohs(ip->tot_len) >= header + sizeof(l4);
  if (header == sizeof(*ip)) {
    has_l4 = has_l4 && read_fixed(l3 + sizeof(*ip), end, &l4);
  } else {
    has_l4 = has_l4 && read_at(ctx, offset + header, &l4, sizeof(l4));
  }
  if (!vip) return l4_is_reply(ctx, &reply, ip->protocol, false, has_l4, l4, offset + header);
  return l4_is_ours(&key, ip->protocol, false, has_l4, l4);
}

/* RFC 4291 section 2.5.5.2: ::ffff:0:0/96 is no address on a wire, and would be mistaken for an IPv4 VIP. */
static __always_inline bool is_ipv4_mapped(const struct in6_addr* address) {
  return address->in6_u.u6_addr32[0] == 0 && address->in6_u.u6_addr32[1] == 0 &&
         address->in6_u.u6_addr32[2] == bpf_htonl(0xffff);
}

static __always_inline bool is_extension(__u8 header) {
  return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING || header == IPPROTO_DSTOPTS ||
         header == IPPROTO_FRAGMENT || header == IPPROTO_AH;
}

/* What is behind the extension headers, the first of which is `next` at `offset`. */
static __always_inline bool extended_is_ours(struct xdp_md* ctx, struct xebec_service_key* key,
                                             struct reply* reply, bool vip, __u8 next, __u32 offset, int room) {
  union l4 l4 = {};
  for (int i = 0; i < XEBEC_MAX_IPV6_EXTENSIONS; i++) {
    struct extension_header extension;
    __u32 length;

    if (!is_extension(next)) break;
    if (room < (int)sizeof(extension) || !read_at(ctx, offset, &extension, sizeof(extension))) return false;
    if (next == IPPROTO_FRAGMENT) {
      if (!vip && (extension.offset_flags & bpf_htons(IPV6_OFFSET_MASK | 1))) {
        reply->fragment.id = extension.rest;
        reply->is_fragment = true;
      }
      if (extension.offset_flags & bpf_htons(IPV6_OFFSET_MASK)) /* as for IPv4 */
        return vip || is_fragment_of_reply(reply, 0);
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
  if (is_extension(next)) return false;
  const bool has_l4 = room >= (int)sizeof(l4) && read_at(ctx, offset, &l4, sizeof(l4));
  if (!vip) return l4_is_reply(ctx, reply, next, true, has_l4, l4, offset);
  return l4_is_ours(key, next, true, has_l4, l4);
}

static __always_inline bool ipv6_is_ours(struct xdp_md* ctx, void* l3, void* end, __u32 offset) {
  struct ipv6hdr* ip = l3;
  struct xebec_service_key key = {};
  struct reply reply = {};
  union l4 l4 = {};
  if (l3 + sizeof(*ip) > end) return false;

  if (is_ipv4_mapped(&ip->daddr)) return false;
  __builtin_memcpy(&key.vip, &ip->daddr, sizeof(key.vip));
  const bool vip = bpf_map_lookup_elem(&vips, &key.vip) != NULL;
  if (!vip && !translates()) return false;

  if (ip->version != 6) return false;
  if (!vip) {
    if (is_ipv4_mapped(&ip->saddr)) return false;
    reply.fragment.destination = key.vip;
    __builtin_memcpy(&reply.fragment.source, &ip->saddr, sizeof(reply.fragment.source));
  }
  const int room = bpf_ntohs(ip->payload_len);
  if (is_extension(ip->nexthdr))
    return extended_is_ours(ctx, &key, &reply, vip, ip->nexthdr, offset + sizeof(*ip), room);
  const bool has_l4 = room >= (int)sizeof(l4) && read_fixed(l3 + sizeof(*ip), end, &l4);
  if (!vip) return l4_is_reply(ctx, &reply, ip->nexthdr, true, has_l4, l4, offset + sizeof(*ip));
  return l4_is_ours(&key, ip->nexthdr, true, has_l4, l4);
}

static __always_inline bool is_ours(struct xdp_md* ctx) {
  void* data = (void*)(long)ctx->data;
  void* end = (void*)(long)ctx->data_end;
  struct ethhdr* ethernet = data;
  __u32 offset = sizeof(*ethernet);
  void* at = data + sizeof(*ethernet);
  if (at > end) return false;

  __be16 type = ethernet->h_proto;
#pragma unroll
  for (int i = 0; i < XEBEC_MAX_VLAN_TAGS; i++) {
    struct vlan_tag* tag = at;
    if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD)) break;
    at += sizeof(*tag);
    offset += sizeof(*tag);
    if (at > end) return false;
    type = tag->type;
  }
  if (type == bpf_htons(ETH_P_IP)) return ipv4_is_ours(ctx, at, end, offset);
  if (type == bpf_htons(ETH_P_IPV6)) return ipv6_is_ours(ctx, at, end, offset);
  return false;
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

static __always_inline int steer(struct xdp_md* ctx) {
  const __u32 zero = 0;
  const __u32 queue = ctx->rx_queue_index;
  struct xebec_settings* set = bpf_map_lookup_elem(&settings, &zero);
  if (!set) return XDP_PASS; /* cannot happen, but the verifier does not know */
  if (!is_sent_to(ctx, set->mac)) return XDP_PASS;

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
  return is_ours(ctx) ? steer(ctx) : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
