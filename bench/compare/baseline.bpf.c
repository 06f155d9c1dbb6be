// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A good layer-4 balancer wholly in the kernel, to measure Xebec against: the job of Xebec's forward_batch as an XDP
 * program of the usual make (Katran, Cilium). VIP hash -> LRU connection table -> (miss) Maglev array -> MAC rewrite or
 * encapsulation -> XDP_TX. Connection keys are as small as the family allows, IPv4 and IPv6 in tables of their own, and
 * an established TCP flow's entry is not written: whatever makes the peer faster is on its side.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "baseline.h"

#define inline_always static __attribute__((always_inline)) inline

struct flow4 {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 protocol;
};

struct flow6 {
	__u8 source[16];
	__u8 destination[16];
	__be16 source_port;
	__be16 destination_port;
	__u32 protocol;
};

struct remembered {
	__u32 backend;
	__u32 seen;	/* seconds; kept for UDP only, as TCP ends by FIN, RST or eviction */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BASELINE_MAX_VIPS);
	__type(key, struct baseline_vip_key);
	__type(value, __u32);
} vips SEC(".maps");

/* max_entries and map_flags of both connection tables are the loader's. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct flow4);
	__type(value, struct remembered);
} flows4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct flow6);
	__type(value, struct remembered);
} flows6 SEC(".maps");

/* vip * BASELINE_LOOKUP_SIZE + slot -> backend */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BASELINE_MAX_VIPS * BASELINE_LOOKUP_SIZE);
	__type(key, __u32);
	__type(value, __u32);
} lookup SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BASELINE_MAX_BACKENDS);
	__type(key, __u32);
	__type(value, struct baseline_backend);
} backends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, BASELINE_MAX_BACKENDS);
	__type(key, __u32);
	__type(value, struct baseline_counters);
} counters SEC(".maps");

/* The packets of the measured sequence, read in order. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BASELINE_MAX_TUPLES);
	__type(key, __u32);
	__type(value, struct baseline_tuple);
} tuples SEC(".maps");

/* Set by the program that measures. */
__u32 tuple_count = 1;
__u32 next_tuple;
__u32 tcp_flags = 0x10;
const volatile __u32 v6_frames;
const volatile __u32 undo_bytes;

struct packet {
	void *data;
	void *end;
	void *l4;
	__u32 ip_length;
	__u8 protocol;
	__u8 tos;
	__u8 v6;
	__u8 syn;
	__be16 source_port;
	__be16 destination_port;
};

inline_always __u32 mix(__u32 a, __u32 b, __u32 c)
{
	a = (a ^ c) * 0x9e3779b1u;
	b = (b ^ (a >> 15)) * 0x85ebca77u;
	a = (a ^ (b >> 13)) * 0xc2b2ae3du;
	return a ^ (a >> 16) ^ b;
}

inline_always __u32 pick(__u32 vip, __u32 hash)
{
	__u32 slot = vip * BASELINE_LOOKUP_SIZE + (__u32)(((__u64)hash * BASELINE_LOOKUP_SIZE) >> 32);
	__u32 *backend = bpf_map_lookup_elem(&lookup, &slot);

	return backend ? *backend : 0;
}

/* The flow's backend: remembered, or picked and remembered from now on. */
inline_always __u32 decide(void *flows, const void *key, struct packet *p, __u32 vip, __u32 hash, int *created)
{
	struct remembered fresh = {};
	struct remembered *known = p->syn ? NULL : bpf_map_lookup_elem(flows, key);

	if (known) {
		if (p->protocol == IPPROTO_UDP) {
			__u32 now = bpf_ktime_get_coarse_ns() >> 30;

			if (known->seen != now)
				known->seen = now;
		}
		return known->backend;
	}
	*created = 1;
	fresh.backend = pick(vip, hash);
	fresh.seen = bpf_ktime_get_coarse_ns() >> 30;
	bpf_map_update_elem(flows, key, &fresh, BPF_ANY);
	return fresh.backend;
}

inline_always int parse_l4(struct packet *p)
{
	if (p->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = p->l4;

		if ((void *)(tcp + 1) > p->end)
			return 0;
		p->source_port = tcp->source;
		p->destination_port = tcp->dest;
		p->syn = tcp->syn && !tcp->ack;
		return 1;
	}
	if (p->protocol == IPPROTO_UDP) {
		struct udphdr *udp = p->l4;

		if ((void *)(udp + 1) > p->end)
			return 0;
		p->source_port = udp->source;
		p->destination_port = udp->dest;
		return 1;
	}
	return 0;
}

inline_always __u16 header_checksum(const struct iphdr *ip)
{
	const __u16 *words = (const void *)ip;
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

inline_always int encapsulate(struct xdp_md *ctx, const struct packet *p, const struct baseline_backend *b)
{
	const int overhead = b->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	struct ethhdr *eth;
	void *end;

	if (bpf_xdp_adjust_head(ctx, -overhead))
		return XDP_DROP;
	eth = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (b->v6) {
		struct ipv6hdr *outer = (void *)(eth + 1);

		if ((void *)(outer + 1) > end)
			return XDP_DROP;
		eth->h_proto = bpf_htons(ETH_P_IPV6);
		*(__be32 *)outer = bpf_htonl(6u << 28 | (__u32)p->tos << 20);
		outer->payload_len = bpf_htons(p->ip_length);
		outer->nexthdr = p->v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
		outer->hop_limit = 64;
		__builtin_memcpy(&outer->saddr, b->source, 16);
		__builtin_memcpy(&outer->daddr, b->address, 16);
	} else {
		struct iphdr *outer = (void *)(eth + 1);

		if ((void *)(outer + 1) > end)
			return XDP_DROP;
		eth->h_proto = bpf_htons(ETH_P_IP);
		*(__u8 *)outer = 0x45;
		outer->tos = p->tos;
		outer->tot_len = bpf_htons(p->ip_length + sizeof(*outer));
		outer->id = 0;
		outer->frag_off = bpf_htons(0x4000);
		outer->ttl = 64;
		outer->protocol = p->v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
		outer->check = 0;
		__builtin_memcpy(&outer->saddr, b->source, 4);
		__builtin_memcpy(&outer->daddr, b->address, 4);
		outer->check = header_checksum(outer);
	}
	__builtin_memcpy(eth->h_dest, b->mac, 6);
	__builtin_memcpy(eth->h_source, b->own_mac, 6);
	return XDP_TX;
}

inline_always int send(struct xdp_md *ctx, const struct packet *p, __u32 id, int created)
{
	struct baseline_counters *count = bpf_map_lookup_elem(&counters, &id);
	struct baseline_backend *b = bpf_map_lookup_elem(&backends, &id);
	struct ethhdr *eth = p->data;

	if (!count || !b)
		return XDP_DROP;
	count->packets++;
	count->bytes += p->end - p->data;
	count->new_flows += created;
	if (b->mode == BASELINE_IPIP)
		return encapsulate(ctx, p, b);
	__builtin_memcpy(eth->h_dest, b->mac, 6);
	__builtin_memcpy(eth->h_source, b->own_mac, 6);
	return XDP_TX;
}

inline_always int balance_v4(struct xdp_md *ctx, struct packet *p)
{
	struct iphdr *ip = p->data + sizeof(struct ethhdr);
	struct baseline_vip_key vip_key = {};
	struct flow4 key;
	int created = 0;
	__u32 *vip, id;

	if ((void *)(ip + 1) > p->end || ip->ihl != 5)
		return XDP_PASS;	/* options and fragments: not this one's job */
	if (ip->frag_off & bpf_htons(0x3fff))
		return XDP_PASS;
	p->l4 = ip + 1;
	p->protocol = ip->protocol;
	p->tos = ip->tos;
	p->ip_length = bpf_ntohs(ip->tot_len);
	if (!parse_l4(p))
		return XDP_PASS;
	__builtin_memcpy(vip_key.address, &ip->daddr, 4);
	vip_key.port = p->destination_port;
	vip_key.protocol = p->protocol;
	vip = bpf_map_lookup_elem(&vips, &vip_key);
	if (!vip)
		return XDP_PASS;
	key.source = ip->saddr;
	key.destination = ip->daddr;
	key.source_port = p->source_port;
	key.destination_port = p->destination_port;
	key.protocol = p->protocol;
	id = decide(&flows4, &key, p, *vip,
		    mix(ip->saddr, ip->daddr, (__u32)p->source_port << 16 | p->destination_port), &created);
	return send(ctx, p, id, created);
}

inline_always int balance_v6(struct xdp_md *ctx, struct packet *p)
{
	struct ipv6hdr *ip = p->data + sizeof(struct ethhdr);
	struct baseline_vip_key vip_key = {};
	struct flow6 key;
	int created = 0;
	__u32 *vip, id;

	if ((void *)(ip + 1) > p->end)
		return XDP_PASS;
	p->l4 = ip + 1;
	p->v6 = 1;
	p->protocol = ip->nexthdr;
	p->tos = bpf_ntohl(*(__be32 *)ip) >> 20;
	p->ip_length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	if (!parse_l4(p))
		return XDP_PASS;
	__builtin_memcpy(vip_key.address, &ip->daddr, 16);
	vip_key.port = p->destination_port;
	vip_key.protocol = p->protocol;
	vip_key.v6 = 1;
	vip = bpf_map_lookup_elem(&vips, &vip_key);
	if (!vip)
		return XDP_PASS;
	__builtin_memcpy(key.source, &ip->saddr, 16);
	__builtin_memcpy(key.destination, &ip->daddr, 16);
	key.source_port = p->source_port;
	key.destination_port = p->destination_port;
	key.protocol = p->protocol;
	id = decide(&flows6, &key, p, *vip,
		    mix(ip->saddr.in6_u.u6_addr32[0] ^ ip->saddr.in6_u.u6_addr32[3],
			ip->saddr.in6_u.u6_addr32[1] ^ ip->saddr.in6_u.u6_addr32[2],
			(__u32)p->source_port << 16 | p->destination_port), &created);
	return send(ctx, p, id, created);
}

inline_always int balance_packet(struct xdp_md *ctx)
{
	struct packet p = {};
	struct ethhdr *eth = (void *)(long)ctx->data;

	p.data = eth;
	p.end = (void *)(long)ctx->data_end;
	if ((void *)(eth + 1) > p.end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return balance_v4(ctx, &p);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return balance_v6(ctx, &p);
	return XDP_PASS;
}

/* The balancer, to attach to an interface. */
SEC("xdp")
int balance(struct xdp_md *ctx)
{
	return balance_packet(ctx);
}

/* Makes the frame the next packet of the sequence: BPF_PROG_RUN repeats one frame, a balancer sees many flows. */
inline_always int set_next_packet(struct xdp_md *ctx)
{
	__u32 n = next_tuple;
	struct baseline_tuple *tuple = bpf_map_lookup_elem(&tuples, &n);
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct tcphdr *tcp;

	next_tuple = n + 1 < tuple_count ? n + 1 : 0;
	if (!tuple)
		return 0;
	if (v6_frames) {
		struct ipv6hdr *ip = data + sizeof(struct ethhdr);

		tcp = (void *)(ip + 1);
		if ((void *)(tcp + 1) > end)
			return 0;
		__builtin_memcpy(&ip->saddr, tuple->source, 16);
	} else {
		struct iphdr *ip = data + sizeof(struct ethhdr);

		tcp = (void *)(ip + 1);
		if ((void *)(tcp + 1) > end)
			return 0;
		__builtin_memcpy(&ip->saddr, tuple->source, 4);
	}
	tcp->source = tuple->port;
	tcp->check = tuple->checksum;
	((__u8 *)tcp)[13] = tcp_flags;
	return 1;
}

/* Both of what follows put the frame back as it was; the wrapper pays as many head adjustments as the balancer does. */
inline_always int restore(struct xdp_md *ctx, int by)
{
	struct ethhdr *eth;

	if (bpf_xdp_adjust_head(ctx, by))
		return 0;
	eth = (void *)(long)ctx->data;
	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return 0;
	eth->h_proto = v6_frames ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	return 1;
}

/* The wrapper alone: what is subtracted. */
SEC("xdp")
int next_only(struct xdp_md *ctx)
{
	if (!set_next_packet(ctx))
		return XDP_ABORTED;
	if (undo_bytes && !restore(ctx, 0))
		return XDP_ABORTED;
	return XDP_TX;
}

SEC("xdp")
int next_and_balance(struct xdp_md *ctx)
{
	int verdict;

	if (!set_next_packet(ctx))
		return XDP_ABORTED;
	verdict = balance_packet(ctx);
	if (verdict != XDP_TX)
		return verdict;
	if (undo_bytes && !restore(ctx, undo_bytes))
		return XDP_ABORTED;
	return XDP_TX;
}

char _license[] SEC("license") = "Dual BSD/GPL";
