// SPDX-License-Identifier: BSD-2-Clause
// The self-test of a port, and a worker whose sockets are bound anew, on a real veth.
#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "control/netdev.h"
#include "dataplane/self_test.h"
#include "dataplane/worker.h"
#include "own_network.h"

namespace xebec {
namespace {

using namespace std::chrono_literals;

struct Opened {
  std::unique_ptr<Umem> umem;
  std::vector<WorkerPort> ports;
};

Opened open_v0() {
  Opened out;
  PortOptions options;
  options.interface = "v0";
  out.ports.push_back({std::make_unique<XskPort>(options), nullptr});
  XskPort& port = *out.ports.front().port;
  auto memory = UmemMemory::anonymous(std::size_t{kFramesPerPort} * kFrameSize);
  EXPECT_TRUE(memory.has_value());
  out.umem = Umem::create(std::move(*memory), kFramesPerPort);
  const auto opened = port.open(*out.umem, 3s);
  EXPECT_TRUE(opened.has_value()) << (opened ? "" : opened.error().message);
  return out;
}

class WorkerReopenTest : public OwnNetwork {
 protected:
  void SetUp() override {
    OwnNetwork::SetUp();
    run_command("ip link add v0 type veth peer name p0 && ip link set v0 up && ip link set p0 up");
  }
};

TEST_F(WorkerReopenTest, PortSendsItsTestFrame) {
  Opened opened = open_v0();
  XskPort& port = *opened.ports.front().port;
  const SelfTest test = test_port(port, *opened.umem, *mac_of("v0"), 1000ms);
  EXPECT_EQ(test.result, SelfTest::Result::ok) << test.why;
  EXPECT_EQ(port.transmit_progress().waiting, 0u);
  EXPECT_EQ(port.transmit_progress().consumed, 1u);
  EXPECT_EQ(opened.umem->counts().transmit, 0u);
  opened.ports.front().port->close();
}

TEST_F(WorkerReopenTest, PortOfAnInterfaceThatIsDownFailsItsTestAndKeepsTheFrame) {
  Opened opened = open_v0();
  run_command("ip link set v0 down");
  XskPort& port = *opened.ports.front().port;
  const SelfTest test = test_port(port, *opened.umem, *mac_of("v0"), 20ms);
  EXPECT_EQ(test.result, SelfTest::Result::failed);
  EXPECT_EQ(test.why, "a frame given to the transmit ring was not sent");
  EXPECT_EQ(port.transmit_progress().waiting, 1u);
  opened.ports.front().port->close();
}

TEST_F(WorkerReopenTest, WorkerRunsOnWithOtherSockets) {
  Published<Table> tables(Table::make(TableParts{}));
  Opened opened = open_v0();
  Worker worker({}, std::move(opened.umem), std::move(opened.ports), tables);
  tables.add_reader(worker.reader());
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(worker.start().has_value());
    const uint64_t before = worker.loop().rounds.read();
    const auto deadline = std::chrono::steady_clock::now() + 5s;
    while (worker.loop().rounds.read() == before && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(1ms);
    EXPECT_GT(worker.loop().rounds.read(), before);
    worker.stop();
    const FrameCounts c = worker.umem()->counts();
    EXPECT_EQ(c.free + c.receive + c.transmit + c.in_hand, kFramesPerPort);
    worker.close_ports();
    EXPECT_EQ(worker.umem(), nullptr);
    EXPECT_TRUE(worker.ports().empty());
    Opened next = open_v0();
    worker.adopt(std::move(next.umem), std::move(next.ports));
  }
  EXPECT_EQ(worker.loop().frames_free.read() + worker.loop().frames_receive.read(), kFramesPerPort);
}

}  // namespace
}  // namespace xebec
