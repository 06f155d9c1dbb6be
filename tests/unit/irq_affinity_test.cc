// SPDX-License-Identifier: BSD-2-Clause
// Interrupts: whose queue they are for, where they should go, and that they come back. On a copy of the files that the
// kernel would show, so that no interrupt of this machine moves.
#include "control/irq_affinity.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace xebec {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
namespace fs = std::filesystem;

TEST(InterruptName, TellsTheReceiveQueue) {
  const std::pair<const char*, uint32_t> cases[] = {
      {"eth0-TxRx-3", 3},     {"ice-eth0-TxRx-12", 12},           {"ens5-Tx-Rx-0", 0},   {"eth1-rx-2", 2},
      {"virtio0-input.7", 7}, {"mlx5_comp5@pci:0000:01:00.0", 5}, {"nfp-ens1-rxtx-4", 4}};
  for (const auto& [name, queue] : cases) EXPECT_EQ(queue_of_interrupt(name), queue) << name;
}

TEST(InterruptName, TellsNothingOfOthers) {
  for (const char* name : {"virtio0-output.7", "virtio0-config", "eth0-tx-2", "mlx5_async0@pci:0000:01:00.0",
                           "eth0", "", "7", "nvme0q3", "eth0-TxRx-", "eth0-TxRx-99999999999"})
    EXPECT_FALSE(queue_of_interrupt(name).has_value()) << name;
}

TEST(IrqPlan, MovesWhatMayBeElsewhereToTheQueuesWorker) {
  const std::vector<Interrupt> interrupts = {{40, "virtio0-config", {0, 1}},  {41, "virtio0-input.0", {4}},
                                             {42, "virtio0-output.0", {0}},   {45, "virtio0-input.2", {4, 5}},
                                             {43, "virtio0-input.1", {0, 1}}, {49, "virtio0-input.3", {0}}};
  EXPECT_THAT(plan_irqs(interrupts, {4, 5, 4}), ElementsAre(IrqMove{43, 1, 5}, IrqMove{45, 2, 4}));
}

TEST(IrqAdvice, IsTheCommandsForAFewAndTheKeyForMany) {
  EXPECT_FALSE(advise_irqs("eth0", {}).has_value());
  EXPECT_THAT(
      to_string(*advise_irqs("eth0", {{43, 1, 5}, {45, 2, 4}})),
      HasSubstr("eth0: interrupts of 2 queues may be handled on other CPUs than their workers' (mend: "
                "\"irq_affinity\": \"set\", or echo 5 > /proc/irq/43/smp_affinity_list; "
                "echo 4 > /proc/irq/45/smp_affinity_list)"));
  const std::vector<IrqMove> many(16, IrqMove{43, 1, 5});
  EXPECT_THAT(to_string(*advise_irqs("eth0", many)), testing::Not(HasSubstr("echo")));
}

class IrqFiles : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/xebec-irq-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    fs::create_directories(root_ / "sys/devices/pci/msi_irqs");
    fs::create_directories(root_ / "sys/devices/pci/virtio0");
    fs::create_directories(root_ / "sys/class/net/eth0");
    fs::create_directory_symlink("../../../devices/pci/virtio0", root_ / "sys/class/net/eth0/device");
    add(43, "virtio0-input.0", "0-1");
    add(44, "virtio0-output.0", "1");
    add(45, "virtio0-input.1", "0-1");
  }
  void TearDown() override { fs::remove_all(root_); }

  void add(uint32_t irq, const std::string& name, const std::string& cpus) {
    std::ofstream(root_ / "sys/devices/pci/msi_irqs" / std::to_string(irq)) << "msix\n";
    fs::create_directories(file(irq).parent_path() / name);
    std::ofstream(file(irq)) << cpus << "\n";
  }
  fs::path file(uint32_t irq) const { return root_ / "proc/irq" / std::to_string(irq) / "smp_affinity_list"; }
  std::string at(uint32_t irq) const {
    std::ifstream in(file(irq));
    std::string line;
    std::getline(in, line);
    return line;
  }
  fs::path root_;
};

TEST_F(IrqFiles, AreReadThroughTheVirtioDevice) {
  const auto interrupts = read_interrupts("eth0", root_);
  ASSERT_EQ(interrupts.size(), 3u);
  EXPECT_EQ(interrupts[0].number, 43u);
  EXPECT_EQ(interrupts[0].name, "virtio0-input.0");
  EXPECT_THAT(interrupts[0].cpus, ElementsAre(0, 1));
  EXPECT_THAT(read_interrupts("veth0", root_), IsEmpty());
}

TEST_F(IrqFiles, HoldTheWorkersCpusUntilTheEnd) {
  {
    const auto held = IrqAffinity::apply(plan_irqs(read_interrupts("eth0", root_), {1, 0}), root_);
    ASSERT_TRUE(held.has_value()) << held.error();
    EXPECT_EQ(at(43), "1");
    EXPECT_EQ(at(44), "1");
    EXPECT_EQ(at(45), "0");
  }
  EXPECT_EQ(at(43), "0-1");
  EXPECT_EQ(at(45), "0-1");
}

TEST_F(IrqFiles, StayWhereSomebodyElseHasPutThemSince) {
  {
    const auto held = IrqAffinity::apply({{43, 0, 1}, {45, 1, 0}}, root_);
    ASSERT_TRUE(held.has_value()) << held.error();
    std::ofstream(file(45)) << "7\n";
  }
  EXPECT_EQ(at(43), "0-1");
  EXPECT_EQ(at(45), "7");
}

TEST_F(IrqFiles, AreAllBackWhenOneWouldNotMove) {
  const auto held = IrqAffinity::apply({{43, 0, 1}, {99, 1, 0}}, root_);
  ASSERT_FALSE(held.has_value());
  EXPECT_THAT(held.error(), HasSubstr("cannot move interrupt 99 of queue 1 to CPU 0"));
  EXPECT_EQ(at(43), "0-1");
}

}  // namespace
}  // namespace xebec
