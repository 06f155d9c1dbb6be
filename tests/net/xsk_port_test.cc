// SPDX-License-Identifier: BSD-2-Clause
// Ports, bound to the queues of real veths: what is in their rings when, and who shares the memory with whom.
#include <chrono>

#include <gtest/gtest.h>

#include "dataplane/xsk_port.h"
#include "own_network.h"

namespace xebec {
namespace {

using namespace std::chrono_literals;

constexpr uint32_t kFrames = 2 * kFramesPerPort;

std::unique_ptr<Umem> umem_of(uint32_t frames) {
  auto memory = UmemMemory::anonymous(std::size_t{frames} * kFrameSize);
  return memory ? Umem::create(std::move(*memory), frames) : nullptr;
}

std::unique_ptr<XskPort> port_of(const char* interface) {
  PortOptions options;
  options.interface = interface;
  return std::make_unique<XskPort>(options);
}

class XskPortTest : public OwnNetwork {
 protected:
  void SetUp() override {
    OwnNetwork::SetUp();
    run_command("ip link add v0 type veth peer name p0 && ip link set v0 up && ip link set p0 up");
    run_command("ip link add v1 type veth peer name p1 && ip link set v1 up && ip link set p1 up");
    ASSERT_TRUE(holder_umem_);
    const auto held = holder_->open(*holder_umem_, 0ms);
    ASSERT_TRUE(held) << held.error().message;
  }

  std::unique_ptr<Umem> holder_umem_ = umem_of(kFrames);
  std::unique_ptr<XskPort> holder_ =
      port_of("v0");  // a bind to its queue is refused after the ring was filled
};

TEST_F(XskPortTest, FirstPortOfAMemoryHasAFullFillRingWhenItIsBound) {
  const auto umem = umem_of(kFrames);
  const auto port = port_of("v0");
  const auto opened = port->open(*umem, 0ms);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, EBUSY);
  EXPECT_EQ(umem->counts().receive, kRingSize);
  EXPECT_EQ(umem->counts().free, kFrames - kRingSize);
}

TEST_F(XskPortTest, EveryOtherPortHasOneToo) {
  const auto umem = umem_of(kFrames);
  const auto first = port_of("v1");
  const auto second = port_of("v0");
  ASSERT_TRUE(first->open(*umem, 0ms));
  const auto opened = second->open(*umem, 0ms);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, EBUSY);
  EXPECT_EQ(umem->counts().receive, 2 * kRingSize);
  EXPECT_EQ(umem->counts().free, kFrames - 2 * kRingSize);
}

TEST_F(XskPortTest, PortsOfOneMemoryReceiveAndSendEachByItself) {
  holder_->close();
  const auto umem = umem_of(kFrames);
  const std::unique_ptr<XskPort> ports[] = {port_of("v1"), port_of("v0")};
  for (const auto& port : ports) {
    const auto opened = port->open(*umem, 3s);
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_NE(port->fd(), -1);
  }
  EXPECT_EQ(umem->registered_with(), ports[0]->fd());
  for (const auto& port : ports) {
    Frame frame = umem->allocate();
    std::memset(umem->data(frame), 0xff, kMinFrameLength);
    frame.set_packet(frame.address(), kMinFrameLength);
    ASSERT_EQ(port->transmit().submit({&frame, 1}), 1u);
    port->transmit().flush(false);
    const auto deadline = std::chrono::steady_clock::now() + 5s;
    while (umem->counts().transmit != 0 && std::chrono::steady_clock::now() < deadline)
      port->transmit().reap();
    EXPECT_EQ(umem->counts().transmit, 0u);
    EXPECT_EQ(port->transmit_progress().consumed, 1u);
  }
}

TEST_F(XskPortTest, InterfaceThatIsNotThereIsNamed) {
  const auto umem = umem_of(kFramesPerPort);
  const auto port = port_of("nowhere");
  const auto opened = port->open(*umem, 3s);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().message, "cannot bind an AF_XDP socket to nowhere queue 0 (copy): No such device");
}

}  // namespace
}  // namespace xebec
