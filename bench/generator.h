/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the load generator's BPF programs and the program that runs them both know. Integer types only.
 */
#ifndef XEBEC_GENERATOR_H
#define XEBEC_GENERATOR_H

#include <linux/types.h>

struct generator_settings {
	__u32 ifindex;		/* where packets leave and come back */
	__u32 flows;
	__u32 first_source;	/* host order; flow n has address first_source + n / 4096, port 1024 + n % 4096 */
	__u32 ip_sum;		/* of the IP header without source address and checksum */
	__u32 l4_sum;		/* of pseudo-header, L4 header and payload without source address, port and checksum */
	__u32 frame_bytes;
	__be32 vip;
	__be16 port;
	__be16 run;		/* of this run of the generator, in each packet's IP identification */
	__u8 protocol;
	__u8 own_mac[6];
	__u8 to_mac[6];		/* the balancer's */
	__u8 back_mac[6];	/* destination of what comes back: this to the one that ends in back_last */
	__u8 back_last;
};

struct generator_counters {
	__u64 returned;
	__u64 stale;	/* of a run before: a starved balancer sends its full ring when nobody counts any more */
	__u64 wrong;	/* came back, but not as it should */
};

#endif
