// SPDX-License-Identifier: BSD-2-Clause
// Frames: the conservation law, and what the audit of debug builds catches.
#include "dataplane/umem.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <random>
#include <string>
#include <vector>

namespace xebec {
namespace {

void expect_conserved(const Umem& umem) {
  const FrameCounts c = umem.counts();
  EXPECT_EQ(c.free + c.receive + c.transmit + c.in_hand, umem.count());
}

TEST(Umem, BeginsWithEveryFrameFree) {
  const auto umem = Umem::create_unregistered(64);
  ASSERT_NE(umem, nullptr);
  EXPECT_EQ(umem->counts().free, 64u);
  expect_conserved(*umem);
}

/// HugePages_Free of /proc/meminfo.
std::size_t free_hugepages() {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("HugePages_Free:")) return std::stoul(line.substr(15));
  }
  return 0;
}

TEST(UmemMemory, LeavesReservedHugepagesToOthersIfToldSo) {
  const auto memory = UmemMemory::anonymous(4u << 20, false);
  ASSERT_TRUE(memory.has_value());
  EXPECT_FALSE(memory->hugepages());
  memory->data()[(4u << 20) - 1] = 1;
}

TEST(UmemMemory, TakesReservedHugepagesWhereThereAreAnyAndOthersWhereNot) {
  const bool enough = free_hugepages() >= 2;
  const auto memory = UmemMemory::anonymous(4u << 20);
  ASSERT_TRUE(memory.has_value());
  EXPECT_EQ(memory->hugepages(), enough);
  memory->data()[(4u << 20) - 1] = 1;
}

TEST(Umem, HandsOutFramesWithHeadroomUntilNoneIsLeft) {
  const auto umem = Umem::create_unregistered(2);
  Frame a = umem->allocate();
  Frame b = umem->allocate();
  Frame none = umem->allocate();
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(a.address() % kFrameSize, kFrameHeadroom);
  EXPECT_NE(Umem::chunk_of(a.address()), Umem::chunk_of(b.address()));
  umem->recycle(std::move(a));
  umem->recycle(std::move(b));
  EXPECT_EQ(umem->counts().free, 2u);
}

TEST(UmemMemory, IsSharedWithWhoeverElseMapsTheDescriptor) {
  const int fd = memfd_create("packets", MFD_CLOEXEC);
  ASSERT_EQ(ftruncate(fd, 2 * kFrameSize), 0);
  auto ours = UmemMemory::shared(fd, 2 * kFrameSize);
  const auto theirs = UmemMemory::shared(fd, 2 * kFrameSize);
  close(fd);
  ASSERT_TRUE(ours && theirs);
  const UmemMemory moved = std::move(*ours);
  moved.data()[kFrameSize] = 42;
  EXPECT_EQ(theirs->data()[kFrameSize], 42);
  EXPECT_EQ(ours->data(), nullptr);
}

TEST(UmemMemory, SaysWhyThereIsNone) {
  const auto memory = UmemMemory::shared(-1, kFrameSize);
  ASSERT_FALSE(memory);
  EXPECT_EQ(memory.error().code, EBADF);
}

TEST(Umem, ReusesTheFrameFreedLastBecauseItIsWarm) {
  const auto umem = Umem::create_unregistered(8);
  Frame a = umem->allocate();
  const uint64_t address = a.address();
  umem->recycle(std::move(a));
  Frame b = umem->allocate();
  EXPECT_EQ(b.address(), address);
  umem->recycle(std::move(b));
}

TEST(Umem, ConservesFramesOverRandomJourneys) {
  constexpr uint32_t kFrames = 128;
  const auto umem = Umem::create_unregistered(kFrames);
  std::mt19937 random(1);
  std::vector<uint64_t> filled, sent;
  const auto take = [&](std::vector<uint64_t>& from) {
    const std::size_t i = random() % from.size();
    const uint64_t address = from[i];
    from[i] = from.back();
    from.pop_back();
    return address;
  };
  for (int step = 0; step < 20'000; ++step) {
    switch (random() % 3) {
      case 0:
        if (Frame f = umem->allocate(); !f.empty()) filled.push_back(umem->give_to_fill(std::move(f)));
        break;
      case 1:
        if (!filled.empty()) {
          Frame f = umem->take_received(take(filled) + kFrameHeadroom, 60);
          // Encapsulation moves the packet's start: the chunk stays the same.
          if (random() % 2 == 0) f.set_packet(f.address() - 20, 80);
          if (random() % 4 == 0) {
            umem->recycle(std::move(f));
          } else {
            sent.push_back(umem->give_to_transmit(std::move(f)));
          }
        }
        break;
      default:
        if (!sent.empty()) umem->take_completed(take(sent));
    }
    expect_conserved(*umem);
  }
  EXPECT_EQ(umem->counts().receive, filled.size());
  EXPECT_EQ(umem->counts().transmit, sent.size());
  EXPECT_EQ(umem->counts().in_hand, 0u);
}

#ifdef XEBEC_FRAME_AUDIT
using UmemAuditDeathTest = ::testing::Test;

TEST(UmemAuditDeathTest, AbortsOnACompletionThatWasNeverSent) {
  const auto umem = Umem::create_unregistered(4);
  EXPECT_DEATH(umem->take_completed(kFrameSize), "frame audit");
}

TEST(UmemAuditDeathTest, AbortsOnAnAddressOutsideTheUmem) {
  const auto umem = Umem::create_unregistered(4);
  EXPECT_DEATH(umem->take_received(100 * kFrameSize, 60), "frame audit");
}

TEST(UmemAuditDeathTest, AbortsOnAFrameDroppedOnTheFloor) {
  const auto umem = Umem::create_unregistered(4);
  EXPECT_DEATH({ const Frame f = umem->allocate(); }, "");
}

TEST(UmemAudit, OverwritesRecycledFramesSoThatStaleBytesShow) {
  const auto umem = Umem::create_unregistered(1);
  Frame f = umem->allocate();
  uint8_t* data = umem->data(f);
  data[0] = 1;
  umem->recycle(std::move(f));
  EXPECT_EQ(data[0], 0xa5);
}
#endif

}  // namespace
}  // namespace xebec
