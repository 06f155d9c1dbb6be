// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The injector: sends packets out of a worker's UMEM without an skb. Never sees traffic: userspace runs it by BPF_PROG_RUN
 * with BPF_F_TEST_XDP_LIVE_FRAMES (5.18), once a packet of the list, each time on a fresh XDP frame. It takes the next packet of
 * the list, copies it into the frame and redirects that to the egress interface.
 *
 * The UMEM is the memory of an array map (one chunk an entry), so a packet is copied once, from where the worker rewrote it.
 * bpf_xdp_store_bytes copies a variable length without variable packet pointers, which would need CAP_PERFMON.
 *
 * It is also attached to a tap device of its own that nothing is sent to (control/placeholder.h says why); a packet there finds
 * the list at its end and is dropped.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <bpf/bpf_helpers.h>

#include "abi.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1); /* set before loading: the frames of the worker */
  __type(key, __u32);
  __type(value, __u8[XEBEC_INJECT_CHUNK]);
} inject_umem SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct xebec_inject_list);
} inject_list SEC(".maps");

SEC("xdp")
int xebec_inject(struct xdp_md *ctx) {
  __u32 zero = 0;
  struct xebec_inject_list *list = bpf_map_lookup_elem(&inject_list, &zero);
  if (!list) return XDP_DROP;
  __u32 next = list->next;
  if (next >= list->count || next >= XEBEC_INJECT_MAX_PACKETS) return XDP_DROP;
  list->next = next + 1;

  __u32 chunk = list->packets[next].chunk;
  __u32 begin = list->packets[next].begin;
  __u32 length = list->packets[next].length;
  __u8 *memory = bpf_map_lookup_elem(&inject_umem, &chunk);
  if (!memory || begin > XEBEC_INJECT_MAX_BEGIN) goto failed;
  /* Of a comparison with 0 the verifier of Linux 6.1 concludes nothing. In two steps, lest the compiler subtract. */
  if (length < ETH_HLEN) goto failed;
  asm volatile("" : "+r"(length));
  if (length > XEBEC_INJECT_MAX_LENGTH) goto failed;

  /* Not data_end - data: without CAP_PERFMON a difference of pointers is a leak. */
  if (bpf_xdp_adjust_tail(ctx, (int)length - XEBEC_INJECT_TEMPLATE) != 0) goto failed;
  asm volatile("" : "+r"(begin)); /* what was found out of it is forgotten where it waited on the stack */
  if (bpf_xdp_store_bytes(ctx, 0, memory + (begin & XEBEC_INJECT_MAX_BEGIN), length) != 0) goto failed;
  return bpf_redirect(list->ifindex, 0);

failed:
  list->failed++;
  return XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
