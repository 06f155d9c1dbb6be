// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/xsk_socket.h"

#include <linux/if_xdp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "dataplane/limits.h"

namespace xebec {
namespace {

/// What the inline functions of <xdp/xsk.h> want of a ring that was just made: nothing in it.
template <typename Ring>
void place(Ring& ring, void* at, const xdp_ring_offset& offset) {
  const auto field = [at](uint64_t bytes) { return static_cast<uint8_t*>(at) + bytes; };
  ring = {};
  ring.mask = kRingSize - 1;
  ring.size = kRingSize;
  ring.producer = reinterpret_cast<uint32_t*>(field(offset.producer));
  ring.consumer = reinterpret_cast<uint32_t*>(field(offset.consumer));
  ring.flags = reinterpret_cast<uint32_t*>(field(offset.flags));
  ring.ring = field(offset.desc);
}

}  // namespace

tl::expected<void, IoError> XskSocket::open() {
  close();
  fd_ = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  const int error = fd_ < 0 ? errno : make_rings();
  if (error == 0) return {};
  close();
  return tl::unexpected(
      IoError{error, fmt::format("cannot make an AF_XDP socket: {}",
                                 error == EPERM ? "needs CAP_NET_RAW" : std::strerror(error))});
}

int XskSocket::make_rings() {
  const int size = kRingSize;
  for (const int option : {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING}) {
    if (setsockopt(fd_, SOL_XDP, option, &size, sizeof size) != 0) return errno;
  }
  xdp_mmap_offsets offsets{};
  socklen_t length = sizeof offsets;
  if (getsockopt(fd_, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length) != 0) return errno;
  struct Wanted {
    uint64_t page_offset;
    std::size_t bytes;
  };
  const Wanted wanted[] = {{XDP_UMEM_PGOFF_FILL_RING, offsets.fr.desc + kRingSize * sizeof(uint64_t)},
                           {XDP_UMEM_PGOFF_COMPLETION_RING, offsets.cr.desc + kRingSize * sizeof(uint64_t)},
                           {XDP_PGOFF_RX_RING, offsets.rx.desc + kRingSize * sizeof(xdp_desc)},
                           {XDP_PGOFF_TX_RING, offsets.tx.desc + kRingSize * sizeof(xdp_desc)}};
  for (std::size_t i = 0; i < std::size(wanted); ++i) {
    void* at = mmap(nullptr, wanted[i].bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_,
                    static_cast<off_t>(wanted[i].page_offset));
    if (at == MAP_FAILED) return errno;
    mappings_[i] = {at, wanted[i].bytes};
  }
  place(fill_, mappings_[0].at, offsets.fr);
  place(completion_, mappings_[1].at, offsets.cr);
  place(rx_, mappings_[2].at, offsets.rx);
  place(tx_, mappings_[3].at, offsets.tx);
  // Of a ring that we write to, xsk_prod_nb_free wants the consumer's place with a ring's length added.
  fill_.cached_cons = tx_.cached_cons = kRingSize;
  return 0;
}

int XskSocket::bind(Umem& umem, int ifindex, uint32_t queue, uint16_t flags) {
  sockaddr_xdp address{};
  address.sxdp_family = AF_XDP;
  address.sxdp_ifindex = static_cast<uint32_t>(ifindex);
  address.sxdp_queue_id = queue;
  if (umem.registered_with() == fd_) {
    address.sxdp_flags = flags;
  } else {  // no other flag may stand beside it: as the first was bound, so is this
    address.sxdp_flags = XDP_SHARED_UMEM;
    address.sxdp_shared_umem_fd = static_cast<uint32_t>(umem.registered_with());
  }
  return ::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

void XskSocket::close() {
  for (Mapping& mapping : mappings_) {
    if (mapping.at != nullptr) munmap(mapping.at, mapping.bytes);
    mapping = {};
  }
  fill_ = tx_ = {};
  completion_ = rx_ = {};
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

}  // namespace xebec
