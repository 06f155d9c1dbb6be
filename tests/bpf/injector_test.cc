// SPDX-License-Identifier: BSD-2-Clause
// The injector in the real kernel: what it sends arrives, byte for byte, and it leaves nothing behind.
#include "control/injector.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>

#include "control/xdp_features.h"
#include "dataplane/limits.h"
#include "tests/bpf/kernel.h"
#include "tests/support/frame_builder.h"

namespace xebec::test {
namespace {

using testing::HasSubstr;

constexpr uint32_t kFrames = 16;
constexpr uint16_t kEtherType = 0x88b5;  // IEEE 802: for experiments; no stack takes it

std::unique_ptr<Injector> load() {
  auto injector = Injector::load(kFrames);
  if (!injector) throw std::runtime_error(injector.error() + " (these tests need root and /dev/net/tun)");
  return std::move(*injector);
}

/// A veth pair whose far end takes redirected frames.
class Wire {
 public:
  Wire() : ifindex_(network_.add_veth("near", "far", 1)) {
    ip("link set far mtu 4000");
    ip("link set near mtu 4000");
    set_gro("on");
    socket_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    sockaddr_ll at{};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(kEtherType);
    at.sll_ifindex = static_cast<int>(if_nametoindex("far"));
    if (bind(socket_, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0)
      throw std::runtime_error("packet socket");
  }
  ~Wire() { close(socket_); }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  int ifindex() const { return ifindex_; }
  void set_gro(const std::string& state) {
    if (std::system(("ethtool -K far gro " + state).c_str()) != 0) throw std::runtime_error("ethtool");
  }
  /// The next frame to arrive; empty if none does within the deadline.
  Bytes arrived(int deadline_ms = 5000) {
    pollfd waiting{socket_, POLLIN, 0};
    if (poll(&waiting, 1, deadline_ms) != 1) return {};
    Bytes frame(8192);
    const ssize_t length = recv(socket_, frame.data(), frame.size(), 0);
    frame.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
    return frame;
  }

 private:
  PrivateNetwork network_;
  int ifindex_;
  int socket_ = -1;
};

/// Has `frames` injected in one call, each from the chunk of its place in the list, `begin` bytes into it.
/// Returns how many the program refused.
uint32_t inject(const Injector& injector, const UmemMemory& memory, int ifindex,
                const std::vector<Bytes>& frames, uint16_t begin = kFrameHeadroom) {
  const InjectOptions options = injector.options(ifindex, 4000);
  InjectList& list = *options.list;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    std::copy(frames[i].begin(), frames[i].end(), memory.data() + i * kFrameSize + begin);
    list.packets[i] = {static_cast<uint32_t>(i), begin, static_cast<uint16_t>(frames[i].size())};
  }
  list.next = list.failed = 0;
  list.ifindex = options.ifindex;
  list.count = static_cast<uint32_t>(frames.size());
  EXPECT_EQ(run_injector(options.program_fd, list.count), 0);
  EXPECT_EQ(list.next, frames.size());
  return list.failed;
}

Bytes random_frame(std::size_t length, std::mt19937& random) {
  Bytes frame(length);
  std::generate(frame.begin(), frame.end(), [&] { return static_cast<uint8_t>(random()); });
  frame[0] = 2;  // not a group's address
  frame[12] = kEtherType >> 8;
  frame[13] = kEtherType & 0xff;
  return frame;
}

TEST(Injector, SendsFramesOfEveryLengthByteForByteAndInOrder) {
  Wire wire;
  const auto injector = load();
  const auto memory = injector->memory();
  ASSERT_TRUE(memory);
  EXPECT_GE(injector->max_length(), 1514u + 40 + 8) << "MTU 1500 in a tunnel, with VLAN tags";
  std::mt19937 random(1);
  for (uint32_t length = kMinFrameLength; length <= injector->max_length(); length += kFrames) {
    std::vector<Bytes> frames;
    for (uint32_t i = 0; i < kFrames && length + i <= injector->max_length(); ++i) {
      frames.push_back(random_frame(length + i, random));
    }
    ASSERT_EQ(inject(*injector, *memory, wire.ifindex(), frames), 0u);
    for (const Bytes& frame : frames) ASSERT_EQ(wire.arrived(), frame) << frame.size() << " bytes";
  }
}

TEST(Injector, SendsFromWhereThePacketBegins) {
  Wire wire;
  const auto injector = load();
  const auto memory = injector->memory();
  ASSERT_TRUE(memory);
  std::mt19937 random(2);
  for (const uint16_t begin : std::initializer_list<uint16_t>{0, 1, 216, 256, 511}) {
    const Bytes frame = random_frame(100, random);
    ASSERT_EQ(inject(*injector, *memory, wire.ifindex(), {frame}, begin), 0u);
    ASSERT_EQ(wire.arrived(), frame) << "at " << begin;
  }
}

TEST(Injector, RefusesAndCountsWhatDoesNotFit) {
  Wire wire;
  const auto injector = load();
  const auto memory = injector->memory();
  ASSERT_TRUE(memory);
  std::mt19937 random(3);
  const Bytes good = random_frame(60, random);
  const Bytes too_long = random_frame(injector->max_length() + 1, random);
  EXPECT_EQ(inject(*injector, *memory, wire.ifindex(), {too_long, good, too_long}), 2u);
  EXPECT_EQ(wire.arrived(), good);
  EXPECT_EQ(inject(*injector, *memory, wire.ifindex(), {good}, 512), 1u) << "begins too far into its chunk";
}

TEST(Injector, IsAttachedNativelyToADeviceThatGoesWithIt) {
  const PrivateNetwork network;
  auto injector = load();
  const std::string name = injector->placeholder();
  EXPECT_THAT(name, HasSubstr("xebec-inj"));
  EXPECT_NE(native_program(static_cast<int>(if_nametoindex(name.c_str()))), 0u);
  auto second = load();
  EXPECT_NE(second->placeholder(), name);
  second.reset();
  injector.reset();
  EXPECT_EQ(if_nametoindex(name.c_str()), 0u);
}

TEST(Injector, LeavesNoDeviceWhenItsProcessIsKilled) {
  const PrivateNetwork network;
  const std::string name = in_child([] {
    const auto injector = load();
    const std::string result = injector->placeholder();
    if (if_nametoindex(result.c_str()) == 0) return "no device " + result;
    std::_Exit(write(STDERR_FILENO, result.data(), result.size()) < 0);  // no destructor runs
  });
  EXPECT_EQ(name, "xebec-inj0");
  EXPECT_TRUE(eventually([&] { return if_nametoindex(name.c_str()) == 0; }));
}

TEST(Injector, LoadsWithoutCapPerfmon) {
  const PrivateNetwork network;
  EXPECT_EQ(in_child([] {
              keep_only_capabilities({CAP_BPF, CAP_NET_ADMIN});
              const auto injector = Injector::load(kFrames);
              return injector ? std::string("loaded") : injector.error();
            }),
            "loaded");
}

TEST(Injector, SaysWhatIsMissingWhereItCannotLoad) {
  const PrivateNetwork network;
  const std::string said = in_child([] {
    keep_only_capabilities({});
    const auto injector = Injector::load(kFrames);
    return injector ? std::string("loaded") : injector.error();
  });
  EXPECT_THAT(said, HasSubstr("CAP_BPF"));
}

TEST(XdpFeatures, TellsThatAVethTakesRedirectedFramesOnlyWhileItsPeerHasGro) {
  Wire wire;
  const auto features = [&] { return xdp_features(wire.ifindex()).value_or(0) & kXdpRedirectTarget; };
  EXPECT_NE(features(), 0u);
  const auto events = XdpFeatureEvents::open();
  ASSERT_TRUE(events) << events.error();
  const auto told = [&] {
    pollfd waiting{(*events)->fd(), POLLIN, 0};
    return poll(&waiting, 1, 0) == 1;
  };
  EXPECT_FALSE(told());
  wire.set_gro("off");
  EXPECT_TRUE(told());
  (*events)->drain();
  EXPECT_FALSE(told());
  EXPECT_EQ(features(), 0u);
  wire.set_gro("on");
  EXPECT_NE(features(), 0u);
}

TEST(XdpFeatures, SaysWhyThereIsNoAnswer) {
  const PrivateNetwork network;
  const auto features = xdp_features(999);
  ASSERT_FALSE(features);
  EXPECT_THAT(features.error().message, HasSubstr("No such device"));
  EXPECT_FALSE(features.error().never);
}

}  // namespace
}  // namespace xebec::test
