// SPDX-License-Identifier: BSD-2-Clause
// The shim, loaded but attached to nothing: frames go in by BPF_PROG_TEST_RUN, verdicts come out.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "bpf/abi.h"
#include "control/shim_image.h"
#include "dataplane/wire.h"
#include "tests/support/frame_builder.h"

struct shim_bpf;

namespace xebec::test {

/// How the program reads what lies at a variable offset; kernels before 5.18 have only the packet pointer.
enum class VariableReads : uint8_t { helper, packet_pointer };

class LoadedShim {
 public:
  /// Throws std::runtime_error that says what privilege is needed. Falls back to XDP_DROP, never takes a
  /// worker for dead.
  explicit LoadedShim(VariableReads reads = VariableReads::helper);
  ~LoadedShim();
  LoadedShim(const LoadedShim&) = delete;
  LoadedShim& operator=(const LoadedShim&) = delete;

  void add_service(std::string_view vip, uint8_t protocol, uint16_t port);
  /// A backend of a service that translates. how: XEBEC_NAT, XEBEC_DNAT or both. Turns the search for replies on.
  void add_nat_backend(std::string_view address, uint8_t protocol, uint16_t port, uint32_t how);
  void add_nat_source(std::string_view address, uint16_t first_port, uint16_t last_port);
  void add_own_address(std::string_view address);
  /// All there are, as the product would write them.
  void set_services(const std::vector<SteeredService>& services);
  void configure(uint32_t fallback_verdict, uint64_t stale_after_ns, const MacAddress& mac = {});
  void set_heartbeat(uint32_t queue, uint64_t at_ns);
  void set_socket(uint32_t queue, int xsk_fd);

  /// The XDP verdict. Fails the test if the program changed the frame. 14 bytes at least: the kernel runs no
  /// shorter frame.
  uint32_t run(const Bytes& frame);
  uint64_t counter(xebec_shim_counter which) const;
  /// True if the frame was taken for a service's: dropped and counted for want of a socket. Fails the test
  /// unless the other answer is XDP_PASS without any counter moving.
  bool steers(const Bytes& frame);

 private:
  shim_bpf* skeleton_;
  uint8_t translates_ = 0;
  std::array<MapImage, kShimMaps> held_;
  uint8_t features_ = 0;
};

/// A table with these services and no backends.
std::unique_ptr<const Table> table_of(const std::vector<SteeredService>& services);

}  // namespace xebec::test
