// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The load generator's two ends: `generate` makes each live frame a packet of the next flow and sends it out; `returned`
 * counts what comes back, looks whether it is what a balancer should have made of it, and drops it.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "generator.h"

const volatile struct generator_settings settings;

/* The packet's number. One CPU generates, so a plain one. */
__u32 next_packet;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct generator_counters);
} counters SEC(".maps");

/* Consecutive numbers to flows in no order that a cache could follow: the finalizer of MurmurHash3. */
static __always_inline __u32 flow_of(__u32 n)
{
	n ^= n >> 16;
	n *= 0x85ebca6b;
	n ^= n >> 13;
	n *= 0xc2b2ae35;
	n ^= n >> 16;
	return (__u64)n * settings.flows >> 32;
}

static __always_inline __u16 checksum_of(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

static __always_inline void copy_mac(__u8 *to, const volatile __u8 *from)
{
#pragma unroll
	for (int i = 0; i < ETH_ALEN; i++)
		to[i] = from[i];
}

static __always_inline int same_mac(const __u8 *a, const volatile __u8 *b, int length)
{
	int same = 1;

#pragma unroll
	for (int i = 0; i < ETH_ALEN; i++)
		if (i < length)
			same &= a[i] == b[i];
	return same;
}

/*
 * The frame's memory comes from a page pool and may hold what a balancer made of an earlier packet, whose addresses
 * it changed in place. So every field that a balancer may write or that tells flows apart is written each time.
 */
SEC("xdp")
int generate(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);	/* TCP's ports are at the same place */
	__u32 flow = flow_of(next_packet++);
	__u32 source = bpf_htonl(settings.first_source + (flow >> 12));
	__u16 port = bpf_htons(1024 + (flow & 0xfff));
	__u32 of_source = (source & 0xffff) + (source >> 16);

	if ((void *)(udp + 1) > end)
		return XDP_ABORTED;
	copy_mac(eth->h_dest, settings.to_mac);
	copy_mac(eth->h_source, settings.own_mac);
	ip->saddr = source;
	ip->check = checksum_of(settings.ip_sum + of_source);
	udp->source = port;
	if (settings.protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = (void *)(ip + 1);

		if ((void *)(tcp + 1) > end)
			return XDP_ABORTED;
		tcp->check = checksum_of(settings.l4_sum + of_source + port);
	} else {
		__u16 check = checksum_of(settings.l4_sum + of_source + port);

		udp->check = check ? check : 0xffff;
	}
	return bpf_redirect(settings.ifindex, 0);
}

/* Whether the frame is one of ours, with the addresses a balancer should have given it, and otherwise unchanged. */
static __always_inline int right(const struct ethhdr *eth, const struct iphdr *ip, const struct udphdr *udp, __u64 length)
{
	__u16 source_port = bpf_ntohs(udp->source);

	return length == settings.frame_bytes && same_mac(eth->h_source, settings.to_mac, ETH_ALEN) &&
	       same_mac(eth->h_dest, settings.back_mac, ETH_ALEN - 1) && eth->h_dest[5] >= settings.back_mac[5] &&
	       eth->h_dest[5] <= settings.back_last && ip->daddr == settings.vip && ip->protocol == settings.protocol &&
	       udp->dest == settings.port && source_port >= 1024 && source_port < 1024 + 4096;
}

SEC("xdp")
int returned(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct generator_counters *count;
	__u32 zero = 0;

	if ((void *)(udp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;	/* ARP and neighbour discovery */
	count = bpf_map_lookup_elem(&counters, &zero);
	if (!count)
		return XDP_ABORTED;
	if (ip->id != settings.run)
		count->stale++;
	else if (right(eth, ip, udp, end - data))
		count->returned++;
	else
		count->wrong++;
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
