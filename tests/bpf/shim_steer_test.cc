// SPDX-License-Identifier: BSD-2-Clause
// What the shim does with a service's packet: socket, heartbeat, fallback verdict, counters.
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>

#include "tests/bpf/loaded_shim.h"

namespace xebec::test {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint8_t kTcp = 6;

uint64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint64_t>(now.tv_sec) * kSecond + static_cast<uint64_t>(now.tv_nsec);
}

class ShimSteer : public testing::Test {
 protected:
  ShimSteer() { shim_.add_service("203.0.113.10", kTcp, 443); }
  ~ShimSteer() override {
    if (socket_ >= 0) close(socket_);
  }

  // A test run has receive queue 0. An AF_XDP socket may be in the map before it is bound.
  void open_socket() {
    socket_ = socket(AF_XDP, SOCK_RAW, 0);
    ASSERT_GE(socket_, 0) << "AF_XDP sockets need CAP_NET_RAW";
    shim_.set_socket(0, socket_);
  }

  void expect_counters(uint64_t steered, uint64_t no_socket, uint64_t stale) {
    EXPECT_EQ(shim_.counter(XEBEC_SHIM_STEERED), steered);
    EXPECT_EQ(shim_.counter(XEBEC_SHIM_NO_SOCKET), no_socket);
    EXPECT_EQ(shim_.counter(XEBEC_SHIM_STALE), stale);
  }

  const Bytes frame_ = FrameBuilder().ethernet().ipv4("192.0.2.1", "203.0.113.10").tcp(1, 443).build();
  const Bytes host_frame_ = FrameBuilder().ethernet().ipv4("192.0.2.1", "203.0.113.1").tcp(1, 443).build();
  LoadedShim shim_;
  int socket_ = -1;
};

TEST_F(ShimSteer, RedirectsToTheSocketOfItsQueue) {
  open_socket();
  EXPECT_EQ(shim_.run(frame_), static_cast<uint32_t>(XDP_REDIRECT));
  expect_counters(1, 0, 0);
}

TEST_F(ShimSteer, PassesTheHostsPacketsWithASocketToo) {
  open_socket();
  EXPECT_EQ(shim_.run(host_frame_), static_cast<uint32_t>(XDP_PASS));
  expect_counters(0, 0, 0);
}

TEST_F(ShimSteer, SteersOnlyFramesSentToItsInterfaceOnceItKnowsTheAddress) {
  const MacAddress own{{2, 0, 0, 0, 0, 0x51}};
  const auto frame_to = [](const MacAddress& mac) {
    Bytes frame = FrameBuilder().ethernet().ipv4("192.0.2.1", "203.0.113.10").tcp(1, 443).build();
    std::copy(std::begin(mac.bytes), std::end(mac.bytes), frame.begin());
    return frame;
  };
  shim_.configure(XDP_DROP, 0, own);
  EXPECT_TRUE(shim_.steers(frame_to(own)));
  for (std::size_t i = 0; i < sizeof own.bytes; ++i) {  // every byte of it counts
    MacAddress other = own;
    other.bytes[i] ^= 1;
    EXPECT_FALSE(shim_.steers(frame_to(other))) << "byte " << i;
  }
  EXPECT_FALSE(shim_.steers(frame_to({{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}})));
  shim_.configure(XDP_DROP, 0, {});
  EXPECT_TRUE(shim_.steers(frame_to({{2, 9, 9, 9, 9, 9}}))) << "no address known: any frame will do";
}

TEST_F(ShimSteer, DropsWithoutASocketIfSoConfigured) {
  EXPECT_EQ(shim_.run(frame_), static_cast<uint32_t>(XDP_DROP));
  expect_counters(0, 1, 0);
}

TEST_F(ShimSteer, PassesWithoutASocketIfSoConfigured) {
  shim_.configure(XDP_PASS, 0);
  EXPECT_EQ(shim_.run(frame_), static_cast<uint32_t>(XDP_PASS));
  expect_counters(0, 1, 0);
}

TEST_F(ShimSteer, TakesAnUnknownFallbackForDrop) {
  for (const uint32_t verdict : {0u, 3u, 4u, 77u, ~0u}) {
    shim_.configure(verdict, 0);
    EXPECT_EQ(shim_.run(frame_), static_cast<uint32_t>(XDP_DROP)) << verdict;
  }
}

TEST_F(ShimSteer, FallsBackWhenTheWorkerIsSilent) {
  open_socket();
  struct Row {
    const char* name;
    uint64_t stale_after_ns;
    uint64_t at_ns;
    bool fresh;
  };
  // Margins of seconds against a clock with a tick of milliseconds.
  const Row rows[] = {
      {"just beaten", 5 * kSecond, now_ns(), true},
      {"no worker yet", 5 * kSecond, 0, false},
      {"long ago", 5 * kSecond, now_ns() - 10 * kSecond, false},
      {"newer than the coarse clock", 5 * kSecond, now_ns() + kSecond, true},
      {"never stale", 0, now_ns() - 10 * kSecond, true},
      {"never stale, no worker yet", 0, 0, true},
  };
  uint64_t steered = 0, stale = 0;
  for (const Row& row : rows) {
    for (const xdp_action fallback : {XDP_DROP, XDP_PASS}) {
      shim_.configure(fallback, row.stale_after_ns);
      shim_.set_heartbeat(0, row.at_ns);
      EXPECT_EQ(shim_.run(frame_), static_cast<uint32_t>(row.fresh ? XDP_REDIRECT : fallback)) << row.name;
      ++(row.fresh ? steered : stale);
      expect_counters(steered, 0, stale);
    }
  }
}

TEST_F(ShimSteer, ListensToTheHeartbeatOfItsOwnQueue) {
  open_socket();
  shim_.configure(XDP_DROP, 5 * kSecond);
  shim_.set_heartbeat(1, now_ns());
  EXPECT_EQ(shim_.run(frame_), static_cast<uint32_t>(XDP_DROP));
  shim_.set_heartbeat(0, now_ns());
  EXPECT_EQ(shim_.run(frame_), static_cast<uint32_t>(XDP_REDIRECT));
  expect_counters(1, 0, 1);
}

TEST_F(ShimSteer, PassesTheHostsPacketsWhenTheWorkerIsSilent) {
  shim_.configure(XDP_DROP, kSecond);
  EXPECT_EQ(shim_.run(host_frame_), static_cast<uint32_t>(XDP_PASS));
  expect_counters(0, 0, 0);
}

}  // namespace
}  // namespace xebec::test
