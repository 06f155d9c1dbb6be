// SPDX-License-Identifier: BSD-2-Clause
// Which transmit engine a port gets, and what is said of it.
#include "control/transmit_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/xdp_features.h"

namespace xebec {
namespace {

using testing::HasSubstr;

const tl::expected<uint64_t, XdpFeaturesError> kUnknown =
    tl::unexpected(XdpFeaturesError{true, "the kernel does not tell"});
const tl::expected<uint64_t, XdpFeaturesError> kNotNow =
    tl::unexpected(XdpFeaturesError{false, "Too many open files"});

struct Row {
  const char* what;
  TransmitFacts facts;
  bool inject;
  bool ready;
  bool in_vain;
  const char* why;
};

TEST(TransmitPlan, ChoosesTheEngineAndSaysWhy) {
  using enum TransmitMode;
  const Row rows[] = {
      {"auto, zero-copy", {automatic, true, kXdpRedirectTarget}, false, false, false, "zero-copy"},
      {"auto, copy mode", {automatic, false, kXdpRedirectTarget}, true, true, false, "no zero-copy"},
      {"auto, crashes", {automatic, false, kXdpRedirectTarget, true}, false, false, false, "crashes"},
      {"inject by name, crashes", {inject, false, kUnknown, true}, false, false, true, "crashes"},
      {"auto, no target",
       {automatic, false, ~kXdpRedirectTarget},
       true,
       false,
       false,
       "no redirected packets"},
      {"auto, old kernel", {automatic, false, kUnknown}, false, false, false, "does not tell"},
      {"ring by name", {ring, false, kXdpRedirectTarget}, false, false, false, "configured"},
      {"inject by name", {inject, false, kXdpRedirectTarget}, true, true, false, "configured"},
      {"inject by name, old kernel", {inject, false, kUnknown}, true, true, false, "configured"},
      {"auto, no answer now", {automatic, false, kNotNow}, true, false, false, "Too many"},
      {"inject by name, no answer now", {inject, false, kNotNow}, true, false, true, "Too many"},
      {"inject by name, no target", {inject, false, 0u}, true, false, true, "no redirected packets"},
      {"inject and zero-copy by name", {inject, true, kXdpRedirectTarget}, false, false, true, "zero-copy"},
  };
  for (const Row& row : rows) {
    const TransmitChoice choice = choose_transmit(row.facts);
    EXPECT_EQ(choice.inject, row.inject) << row.what;
    EXPECT_EQ(choice.ready, row.ready) << row.what;
    EXPECT_EQ(choice.in_vain, row.in_vain) << row.what;
    EXPECT_THAT(choice.why, HasSubstr(row.why)) << row.what;
  }
}

TEST(TransmitPlan, LeavesLongMtusToTheRingUnlessToldOtherwise) {
  const TransmitChoice inject{.inject = true, .ready = true, .in_vain = false, .why = "no zero-copy"};
  EXPECT_TRUE(choose_by_length(inject, TransmitMode::automatic, 3000 - 22, 3000).inject);
  const TransmitChoice too_long = choose_by_length(inject, TransmitMode::automatic, 3000 - 21, 3000);
  EXPECT_FALSE(too_long.inject);
  EXPECT_FALSE(too_long.ready);
  EXPECT_FALSE(too_long.in_vain);
  EXPECT_THAT(too_long.why, HasSubstr("MTU 2979"));
  EXPECT_TRUE(choose_by_length(inject, TransmitMode::inject, 9000, 3000).inject);
}

}  // namespace
}  // namespace xebec
