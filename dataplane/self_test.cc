// SPDX-License-Identifier: BSD-2-Clause
// The self-test of a port that was just opened.
#include "dataplane/self_test.h"

#include <cstring>
#include <string_view>
#include <thread>
#include <utility>

#include "dataplane/limits.h"

namespace xebec {
namespace {

// IEEE 802, "Local Experimental EtherType 1".
constexpr uint8_t kEtherType[] = {0x88, 0xb5};
constexpr std::string_view kText = "Xebec self-test";
constexpr std::chrono::milliseconds kPause{1};

Frame make_frame(Umem& umem, const MacAddress& own) {
  Frame frame = umem.allocate();
  frame.set_packet(frame.address(), kMinFrameLength);
  uint8_t* bytes = umem.data(frame);
  std::memset(bytes, 0, kMinFrameLength);
  std::memcpy(bytes, own.bytes, sizeof own.bytes);
  std::memcpy(bytes + 6, own.bytes, sizeof own.bytes);
  std::memcpy(bytes + 12, kEtherType, sizeof kEtherType);
  std::memcpy(bytes + 14, kText.data(), kText.size());
  return frame;
}

}  // namespace

SelfTest test_port(XskPort& port, Umem& umem, const MacAddress& own, std::chrono::milliseconds patience) {
  // No frame is free where the fill ring has them all; it never has (kFramesPerPort).
  Frame frame = make_frame(umem, own);
  if (port.transmit().submit({&frame, 1}) != 1) {
    umem.recycle(std::move(frame));
    return {SelfTest::Result::failed, "the transmit ring takes no frame"};
  }
  const auto deadline = std::chrono::steady_clock::now() + patience;
  bool sent = false;
  for (;;) {
    port.transmit().flush(false);
    port.transmit().reap();
    port.refill();
    sent = umem.counts().transmit == 0;
    if (sent || std::chrono::steady_clock::now() >= deadline) break;
    std::this_thread::sleep_for(kPause);
  }
  if (!sent) return {SelfTest::Result::failed, "a frame given to the transmit ring was not sent"};
  return {SelfTest::Result::ok, {}};
}

const char* to_string(SelfTest::Result result) {
  constexpr const char* kNames[] = {"skipped", "ok", "failed"};
  return kNames[static_cast<std::size_t>(result)];
}

}  // namespace xebec
