// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A backend's end of the tunnel where the kernel has no module for it: takes the outer headers of ipip, gre, gue (variant 0
 * and 1 on UDP port 6080) and vxlan (port 4789) off, in any combination of IPv4 and IPv6, and lets the stack see the inner
 * packet. What it does not know exactly it leaves to the stack, which will not like it. Attached in native mode to the
 * backend's eth0.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define GRE_LENGTH 4
#define GUE_LENGTH 4
#define GUE_PORT 6080
#define VXLAN_PORT 4789
#define VXLAN_LENGTH 8

/* Bytes of GRE header, and in *type what is inside; 0: not one of ours. */
static __always_inline __u32 gre(__u8 *at, void *end, __be16 *type)
{
	if ((void *)(at + GRE_LENGTH) > end || at[0] || at[1])
		return 0;
	__builtin_memcpy(type, at + 2, 2);
	return GRE_LENGTH;
}

/* The same of UDP with GUE or VXLAN behind it. */
static __always_inline __u32 udp(__u8 *at, void *end, __be16 *type)
{
	struct udphdr *header = (void *)at;
	__u8 *next = at + sizeof(*header);

	if ((void *)(next + VXLAN_LENGTH + sizeof(struct ethhdr)) > end)
		return 0;
	if (header->dest == bpf_htons(VXLAN_PORT)) {
		if (next[0] != 8 || next[1] || next[2] || next[3] || next[7])
			return 0;
		__builtin_memcpy(type, next + VXLAN_LENGTH + 12, 2);
		return sizeof(*header) + VXLAN_LENGTH + sizeof(struct ethhdr);
	}
	if (header->dest != bpf_htons(GUE_PORT))
		return 0;
	switch (next[0] >> 4) {
	case 4: /* variant 1: the IP version */
		*type = bpf_htons(ETH_P_IP);
		return sizeof(*header);
	case 6:
		*type = bpf_htons(ETH_P_IPV6);
		return sizeof(*header);
	case 0:
		if (next[0] || next[2] || next[3])
			return 0;
		if (next[1] == IPPROTO_IPIP)
			*type = bpf_htons(ETH_P_IP);
		else if (next[1] == IPPROTO_IPV6)
			*type = bpf_htons(ETH_P_IPV6);
		else
			return 0;
		return sizeof(*header) + GUE_LENGTH;
	}
	return 0;
}

SEC("xdp.frags")
int decap(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct ethhdr kept;
	__u32 outer;
	__u32 behind = 0;
	__be16 type = 0;
	__u8 inner;

	if (data + sizeof(*eth) > end)
		return XDP_PASS;
	kept = *eth;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + sizeof(*eth);

		if ((void *)(ip + 1) > end || ip->ihl != 5)
			return XDP_PASS;
		outer = sizeof(*ip);
		inner = ip->protocol;
		if (inner == IPPROTO_UDP)
			behind = udp((void *)(ip + 1), end, &type);
		else if (inner == IPPROTO_GRE)
			behind = gre((void *)(ip + 1), end, &type);
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = data + sizeof(*eth);

		if ((void *)(ip + 1) > end)
			return XDP_PASS;
		outer = sizeof(*ip);
		inner = ip->nexthdr;
		if (inner == IPPROTO_UDP)
			behind = udp((void *)(ip + 1), end, &type);
		else if (inner == IPPROTO_GRE)
			behind = gre((void *)(ip + 1), end, &type);
	} else {
		return XDP_PASS;
	}
	if (inner == IPPROTO_IPIP)
		kept.h_proto = bpf_htons(ETH_P_IP);
	else if (inner == IPPROTO_IPV6)
		kept.h_proto = bpf_htons(ETH_P_IPV6);
	else if (behind)
		kept.h_proto = type;
	else
		return XDP_PASS;
	if (bpf_xdp_adjust_head(ctx, (int)(outer + behind)))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + sizeof(kept) > end)
		return XDP_ABORTED;
	*(struct ethhdr *)data = kept;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
