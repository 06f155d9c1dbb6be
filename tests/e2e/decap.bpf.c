// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A backend's end of the tunnel where the kernel has no ipip module: takes the outer IPv4 or IPv6 header off IPv4 or
 * IPv6 in any combination and lets the stack see the inner packet. Attached in native mode to the backend's eth0.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

SEC("xdp.frags")
int decap(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct ethhdr kept;
	__u32 outer;
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
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = data + sizeof(*eth);

		if ((void *)(ip + 1) > end)
			return XDP_PASS;
		outer = sizeof(*ip);
		inner = ip->nexthdr;
	} else {
		return XDP_PASS;
	}
	if (inner == IPPROTO_IPIP)
		kept.h_proto = bpf_htons(ETH_P_IP);
	else if (inner == IPPROTO_IPV6)
		kept.h_proto = bpf_htons(ETH_P_IPV6);
	else
		return XDP_PASS;
	if (bpf_xdp_adjust_head(ctx, (int)outer))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + sizeof(kept) > end)
		return XDP_ABORTED;
	*(struct ethhdr *)data = kept;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
