/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the in-kernel baseline balancer and the program that fills its maps both know. Integer types only.
 */
#ifndef XEBEC_BASELINE_H
#define XEBEC_BASELINE_H

#include <linux/types.h>

#define BASELINE_LOOKUP_SIZE 65537
#define BASELINE_MAX_VIPS 64
#define BASELINE_MAX_BACKENDS 4096
#define BASELINE_MAX_TUPLES (1 << 20)

enum baseline_mode { BASELINE_DSR_L2, BASELINE_IPIP };

/* Addresses in network order; an IPv4 address in the first four bytes. */
struct baseline_vip_key {
	__u8 address[16];
	__be16 port;
	__u8 protocol;
	__u8 v6;
};

/* 64 bytes: a cache line. */
struct baseline_backend {
	__u8 mac[6];
	__u8 own_mac[6];
	__u8 address[16];	/* outer destination */
	__u8 source[16];	/* outer source */
	__u8 mode;		/* enum baseline_mode */
	__u8 v6;		/* family of the outer header */
	__u8 pad[18];
};

struct baseline_counters {
	__u64 packets;
	__u64 bytes;
	__u64 new_flows;
};

/* One packet of the measured sequence: what distinguishes its flow. The checksum makes its TCP header right. */
struct baseline_tuple {
	__u8 source[16];
	__be16 port;
	__u16 checksum;
};

#endif
